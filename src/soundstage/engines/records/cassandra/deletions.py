"""The deleted ranges of a partition, as the rows that they are kept in.

A row names a range as it was deleted; what several rows come to is worked out from all of them. A row goes once
nothing is left that it alone hides. So no row is ever made again that was removed before, which at the time of its
version would have no effect.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from soundstage.core import version
from soundstage.core.errors import Exhausted
from soundstage.engines.records import tombstones
from soundstage.engines.records.port import TOMBSTONES_MAX, Cell, RangeDelete
from soundstage.engines.records.tombstones import Fragments

ROWS_MAX = 4 * TOMBSTONES_MAX

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[bytes, bytes | None]).decode


class Plan(NamedTuple):
    """What a batch does to the deleted ranges: what they come to, the rows that come, and those that go."""

    fragments: Fragments
    come: Sequence[RangeDelete]
    go: Sequence[RangeDelete]


def row_key(deleted: RangeDelete) -> bytes:
    """Under which a deleted range is kept."""
    return _encode((deleted.start, deleted.end))


def parse_row(key: bytes, cell: Cell) -> RangeDelete:
    start, end = _decode(key)
    return RangeDelete(start, end, cell)


def fragments_of(rows: Iterable[RangeDelete], tombstone: Cell | None) -> Fragments:
    """What rows come to under the greatest delete of the whole partition."""
    found: Fragments = ()
    for row in rows:
        found = tombstones.add(found, row)
    return found if tombstone is None else tombstones.clip(found, tombstone)


def plan(
    rows: Sequence[RangeDelete], deleted: Sequence[RangeDelete], tombstone: Cell | None, max_lag_us: int = 0
) -> Plan:
    """`deleted` on top of `rows`. Raises `Exhausted` over `TOMBSTONES_MAX` fragments, of a table with that lag."""
    own = fragments_of(deleted, None)
    fragments = fragments_of([*rows, *own], tombstone)
    # What is being deleted is of this moment, or it is late and the wait that is told is the longer for it.
    now_us = max((version.time_us(row.cell) for row in own), default=0)
    tombstones.check_count(fragments, max_lag_us, now_us)
    if len(rows) + len(own) > ROWS_MAX:
        raise Exhausted(f"the record has {len(rows)} deleted ranges", hint="delete wider ranges", retry_after_ms=60_000)
    left = {fragment.cell for fragment in fragments}
    come = [row for row in own if row.cell in left]
    coming = {(row.start, row.end) for row in come}
    go = [row for row in rows if (row.start, row.end) not in coming and not _shows(row, fragments)]
    return Plan(fragments, come, go)


def _shows(row: RangeDelete, fragments: Fragments) -> bool:
    """Whether anything of `row` is left among the fragments."""
    return any(
        each.cell == row.cell
        and (row.end is None or each.start < row.end)
        and (each.end is None or row.start < each.end)
        for each in fragments
    )
