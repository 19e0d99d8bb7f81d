"""The stage's own records: small conditional tables on its system engine.

Every write is conditional, so that two processes that share an engine never undo each other, and is
repeated under the same token when its answer was lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from soundstage.core import version
from soundstage.core.environment import Environment
from soundstage.core.hlc import TokenClock
from soundstage.core.policy import Budget as RetryBudget
from soundstage.core.policy import RetryPolicy, retrying
from soundstage.engines.records.port import (
    DEFAULT_BUDGET,
    Batch,
    Budget,
    Condition,
    Conditional,
    Records,
    Span,
    Stamp,
    TableSpec,
)

_RETRY = RetryPolicy(retries=4)


class Entry(NamedTuple):
    """A value and the write it is from."""

    value: bytes
    stamp: Stamp


class SystemTable:
    """One table of the stage, created by `create`; partitions and keys are text, values are bytes.

    With an `owner` it is a table of that system's, and is made and dropped with the namespace that it belongs to.
    """

    def __init__(
        self, records: Records, name: str, clock: TokenClock, environment: Environment, owner: str = "system"
    ) -> None:
        self.name: str = f"{owner}/{name}"
        self._records = records
        self._clock = clock
        self._environment = environment

    async def create(self, markers_kept_us: tuple[int, int] | None = None) -> None:
        """The table exists; markers of deleted keys are kept so long, the usual time unless told. Idempotent."""
        spec = TableSpec(name=self.name, conditional=True)
        if markers_kept_us is not None:
            least, most = markers_kept_us
            spec = msgspec.structs.replace(spec, delete_ttl_min_us=least, delete_ttl_max_us=most)
        await self._records.create_table(spec)

    async def get(self, partition: str, key: str) -> Entry | None:
        """The entry, or None when it is absent or has expired."""
        page = await self._records.get(self.name, partition.encode(), (key.encode(),), self._environment.now_us())
        return _entry(page.rows[0][1]) if page.rows else None

    async def get_many(self, partitions: Sequence[str], key: str) -> list[Entry | None]:
        """The entry of each partition under `key`, in the order asked."""
        span = Span(key.encode(), key.encode() + b"\0")
        left, found = list(partitions), list[Entry | None]()
        while left:
            names = [partition.encode() for partition in left]
            pages = await self._records.read_many(self.name, names, span, DEFAULT_BUDGET, self._environment.now_us())
            for page in pages:
                if page.resume is not None and not page.rows:
                    break
                found.append(_entry(page.rows[0][1]) if page.rows else None)
            left = list(partitions[len(found) :])
        return found

    async def stamp(self, partition: str) -> Stamp | None:
        """That of the greatest write the partition ever accepted; cheap, to see whether anything changed."""
        page = await self._records.get(self.name, partition.encode(), (), self._environment.now_us())
        return page.stamp

    async def read(
        self,
        partition: str,
        prefix: str,
        *,
        newest: int | None = None,
        oldest: int | None = None,
        before: str | None = None,
        after: str | None = None,
    ) -> dict[str, Entry]:
        """The entries whose keys begin with `prefix`, in their order, behind `after` and up to `before`.

        With `newest` so many at most, from the last one back; with `oldest` so many, from the first one on.
        """
        start = prefix.encode()
        end = before.encode() if before is not None else _after_all(start)
        start = start if after is None else max(start, after.encode() + b"\0")
        most = newest if oldest is None else oldest
        found: dict[str, Entry] = {}
        while start < end:
            span = Span(start, end, reverse=newest is not None)
            budget = DEFAULT_BUDGET if most is None else Budget(rows=most - len(found))
            page = await self._records.read(self.name, partition.encode(), span, budget, self._environment.now_us())
            found |= {key.decode(): _entry(cell) for key, cell in page.rows}
            if page.resume is None or (most is not None and len(found) >= most):
                return found
            start, end = (start, page.resume) if span.reverse else (page.resume, end)
        return found

    async def write(
        self,
        partition: str,
        changes: Mapping[str, bytes | None],
        conditions: Mapping[str, Stamp | None],
        *,
        ttls_us: Mapping[str, int] | None = None,
        onward: bool = False,
    ) -> Stamp:
        """`changes` (None deletes) are stored whole; every key of `conditions` was at its stamp, or absent.

        With `onward` a stamp in `conditions` may be ahead of the clock, as after it was set back: the write comes
        behind it all the same. Otherwise such a write is `Unavailable` until that time has come.

        Keys in `ttls_us` expire after that time. Returns the stamp of the write. Raises `PreconditionFailed`
        when a condition did not hold.
        """
        token = self._clock.token()
        time_us = token.generation_time // 1_000
        ttls = ttls_us or {}
        cells = [(key.encode(), _cell(value, time_us, token.token, ttls.get(key))) for key, value in changes.items()]
        ahead_us = max((stamp.time_us for stamp in conditions.values() if stamp is not None), default=0)
        latest_us = max(time_us, ahead_us) if onward else time_us
        guard = Conditional(
            conditions=[Condition(key.encode(), stamp) for key, stamp in conditions.items()],
            token=token.token,
            digest=_digest(cells),
            limit_us=latest_us + self._clock.drift_future_us,
        )
        accepted_us = await retrying(
            lambda: self._records.apply(self.name, partition.encode(), Batch(cells=cells), conditional=guard),
            _RETRY,
            RetryBudget(0.0),
            self._environment,
        )
        self._clock.observe(accepted_us)
        return Stamp(accepted_us, token.token)


def _after_all(prefix: bytes) -> bytes:
    """The least bytes after every text that begins with `prefix`."""
    return prefix[:-1] + bytes((prefix[-1] + 1,)) if prefix else b"\xff"


def _cell(value: bytes | None, time_us: int, token: str, ttl_us: int | None) -> bytes:
    if value is None:
        return version.delete(time_us, token)
    return version.put(time_us, token, value, 0 if ttl_us is None else time_us + ttl_us)


def _entry(cell: bytes) -> Entry:
    found = version.split(cell)
    return Entry(found.value, Stamp(found.time_us, found.token))


def _digest(cells: Sequence[tuple[bytes, bytes]]) -> bytes:
    digest = blake2b(digest_size=16)
    for key, cell in cells:
        digest.update(len(key).to_bytes(4, "big") + key + len(cell).to_bytes(4, "big") + cell)
    return digest.digest()
