"""Range tombstones of one partition, as disjoint fragments in key order.

Each fragment carries the greatest tombstone of all ranges that ever covered it; neighbours of one tombstone
are one fragment. The fragments are therefore a function of the set of ranges deleted, whatever their order,
and the tombstone over a key is found by bisection.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from operator import attrgetter
from typing import TypeAlias

from soundstage.core import version
from soundstage.core.errors import Exhausted
from soundstage.engines.records.port import IN_FLIGHT_MAX_US, TOMBSTONES_MAX, Cell, RangeDelete

Fragments: TypeAlias = tuple[RangeDelete, ...]

_START = attrgetter("start")


def covering(fragments: Fragments, key: bytes) -> Cell | None:
    """The greatest range tombstone over `key`."""
    index = bisect_right(fragments, key, key=_START) - 1
    if index < 0:
        return None
    found = fragments[index]
    return found.cell if found.end is None or key < found.end else None


def greatest(one: Cell | None, other: Cell | None) -> Cell | None:
    """The greater of two tombstones, either of which may be missing."""
    if one is None or (other is not None and other > one):
        return other
    return one


def add(fragments: Fragments, new: RangeDelete) -> Fragments:
    """The fragments after `new` was deleted too; the very same object when that changes nothing."""
    if new.end is not None and new.end <= new.start:
        return fragments
    first = bisect_right(fragments, new.start, key=_START)
    if first and _reaches(fragments[first - 1].end, new.start):
        first -= 1
    last = len(fragments) if new.end is None else bisect_left(fragments, new.end, key=_START)
    window = fragments[first:last]
    pieces = _merged((*fragments[max(0, first - 1) : first], *_overlay(window, new), *fragments[last : last + 1]))
    result = (*fragments[: max(0, first - 1)], *pieces, *fragments[last + 1 :])
    return fragments if result == fragments else result


def clip(fragments: Fragments, partition: Cell) -> Fragments:
    """The fragments that the partition tombstone does not make needless."""
    return tuple(fragment for fragment in fragments if fragment.cell > partition)


def check_count(fragments: Fragments, max_lag_us: int, now_us: int) -> None:
    """Raises `Exhausted` over `TOMBSTONES_MAX` fragments in a partition, with the time until one is forgotten."""
    if len(fragments) > TOMBSTONES_MAX:
        oldest_us = min(version.time_us(fragment.cell) for fragment in fragments)
        wait_us = oldest_us + max_lag_us + IN_FLIGHT_MAX_US - now_us
        raise Exhausted(
            f"the record has {TOMBSTONES_MAX} separate deleted ranges, which is the limit",
            hint="delete wider ranges or the whole record; ranges are forgotten once no late write can reach them",
            retry_after_ms=max(1_000, -(-wait_us // 1_000)),
        )


def _overlay(window: Fragments, new: RangeDelete) -> Iterable[RangeDelete]:
    """`window`, whose fragments all overlap `new`, with `new` laid over."""
    cursor: bytes | None = new.start
    for start, end, cell in window:
        if start < new.start:
            yield RangeDelete(start, new.start, cell)
        low = max(start, new.start)
        if cursor is not None and cursor < low:
            yield RangeDelete(cursor, low, new.cell)
        high = _lesser(end, new.end)
        yield RangeDelete(low, high, max(cell, new.cell))
        if new.end is not None and _reaches(end, new.end):
            yield RangeDelete(new.end, end, cell)
        cursor = high
    if cursor is not None and _reaches(new.end, cursor):
        yield RangeDelete(cursor, new.end, new.cell)


def _merged(pieces: Iterable[RangeDelete]) -> list[RangeDelete]:
    merged: list[RangeDelete] = []
    for piece in pieces:
        if merged and merged[-1].end == piece.start and merged[-1].cell == piece.cell:
            merged[-1] = RangeDelete(merged[-1].start, piece.end, piece.cell)
        else:
            merged.append(piece)
    return merged


def _lesser(one: bytes | None, other: bytes | None) -> bytes | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


def _reaches(end: bytes | None, key: bytes) -> bool:
    """Whether a range that ends before `end` holds keys from `key` on."""
    return end is None or end > key
