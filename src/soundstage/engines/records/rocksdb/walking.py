"""Walks over a table, partition after partition in the order of their hashes."""

from __future__ import annotations

from collections.abc import Iterator

from rocksdict import ReadOptions

from soundstage.core.errors import InvalidArgument
from soundstage.engines.records.port import Budget, Row, Span, WalkPage
from soundstage.engines.records.rocksdb.reading import Slices, read_span
from soundstage.engines.records.rocksdb.rowkeys import AFTER_ITEMS, ITEMS, NUMBER, hash_bound, parse, prefix_of
from soundstage.engines.records.rocksdb.tables import Table


async def walk(
    table: Table,
    bounds: tuple[int, int],
    position: bytes | None,
    budget: Budget,
    now_us: int,
    slices: Slices,
) -> WalkPage:
    """A page of the walk between two hashes. A position is the row to go on with, without the table's number."""
    low, high = (hash_bound(table.number, bound) for bound in bounds)
    start = low if position is None else table.number + position
    if not low <= start < high:
        raise InvalidArgument("the position is of another segment", field="position")
    if position is not None:
        _check_position(start)
    partitions: list[tuple[bytes, list[Row]]] = []
    rows, size = budget.rows, budget.bytes
    for prefix, partition, first in _partitions(table, start, high):
        spent = bool(partitions) and (rows <= 0 or size <= 0)
        if spent or not await slices.pause(table):
            return WalkPage(partitions, (prefix + ITEMS + first)[len(table.number) :], cut=False)
        header = table.peek(prefix)
        if header is None:
            continue
        left = Budget(rows, size, budget.deadline_ns)
        found = await read_span(table, prefix, header, Span(first), left, now_us, slices, owed=not partitions)
        if found.rows:
            partitions.append((partition, found.rows))
        if found.resume is not None:
            # What was passed before the first row that did not fit is looked at again, together with that.
            again = bool(partitions) and not found.rows
            goes_on = first if again else found.resume
            return WalkPage(partitions, (prefix + ITEMS + goes_on)[len(table.number) :], cut=not again)
        rows -= len(found.rows)
        size -= found.bytes
    return WalkPage(partitions, None)


def _check_position(start: bytes) -> None:
    try:
        row = parse(start)
        fits = row.is_item and row.prefix == prefix_of(row.prefix[: NUMBER.size], row.partition)
    except ValueError:
        fits = False
    if not fits:
        raise InvalidArgument("the position is none that a walk returned", field="position")


def _partitions(table: Table, start: bytes, high: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Prefix, partition and first key of every partition from the row `start` on, found by their headers."""
    position = start
    while (found := first_at(table, position, high)) is not None:
        row = parse(found)
        first = b""
        if position == start and start.startswith(row.prefix + ITEMS):
            first = start[len(row.prefix) + len(ITEMS) :]
        yield row.prefix, row.partition, first
        position = row.prefix + AFTER_ITEMS


def first_at(table: Table, position: bytes, high: bytes) -> bytes | None:
    """The key of the first row from `position` to before `high`."""
    options = ReadOptions()
    options.set_iterate_upper_bound(high)
    iterator = table.db.iter(options)
    try:
        iterator.seek(position)
        if iterator.valid():
            return iterator.key()
        iterator.status()
        return None
    finally:
        del iterator
