"""The model's writes as batches of the port, and the port's pages as the model's versions."""

from __future__ import annotations

from collections.abc import Sequence

from soundstage.core import version
from soundstage.engines.records import port
from soundstage.testing.model import Condition, Version, Write


def batch_of(write: Write) -> port.Batch:
    """`write` as the port takes it."""
    deleted = version.delete(write.time_us, write.token)
    puts = [
        (key, version.put(write.time_us, write.token, found.value, found.expires_us, found.metadata))
        for key, found in write.puts.items()
    ]
    return port.Batch(
        cells=[*puts, *((key, deleted) for key in write.markers)],
        ranges=[port.RangeDelete(start, end, deleted) for start, end in write.ranges],
        partition=deleted if write.whole else None,
    )


def conditional_of(token: str, conditions: Sequence[Condition], digest: bytes, limit_us: int) -> port.Conditional:
    """The conditions of a write, as the port takes them."""
    return port.Conditional(
        conditions=[
            port.Condition(key, None if stamp is None else port.Stamp(stamp.time_us, stamp.token))
            for key, stamp in conditions
        ],
        token=token,
        digest=digest,
        limit_us=limit_us,
    )


def shown(rows: Sequence[port.Row]) -> dict[bytes, Version]:
    """What rows say, by key, in their order. Raises `ValueError` for a cell that is none."""
    return {key: Version(*version.split(cell)) for key, cell in rows}
