"""Reads of live rows, in slices that never hold the event loop for long.

A read keeps one iterator and one header to its end: RocksDB's iterators see the database as it was when they
were made, so that a page is one moment's state however often others wrote meanwhile.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, NamedTuple

from rocksdict import RdictIter, ReadOptions

from soundstage.core import version
from soundstage.core.errors import Unavailable
from soundstage.engines.records.port import KEY_CEILING, Budget, Cell, Row, Span
from soundstage.engines.records.rocksdb.header import Header
from soundstage.engines.records.rocksdb.rowkeys import ITEMS
from soundstage.engines.records.rocksdb.tables import Table
from soundstage.engines.rocks.database import Database

SLICE_NS = 1_500_000
"""A slice ends after this; with what surrounds it, it stays under the 2 ms that a handler may take."""

CLOCK_EVERY = 32
"""Rows between two looks at the clock."""

KEYS_AT_ONCE = 32
"""Up to so many keys are looked up without others being let run; more of them go through an iterator."""

KEYS_PER_CALL = 4
"""Of these in one call of the driver."""


class Found(NamedTuple):
    """Live rows and what they weigh; `resume` None: the span was read to its end."""

    rows: list[Row]
    bytes: int
    resume: bytes | None


class Slices:
    """The time that one call may hold the loop, and when it must be answered."""

    __slots__ = ("_database", "_deadline_ns", "_environment", "_slice_ns")

    def __init__(self, database: Database, deadline_ns: int | None = None) -> None:
        self._database = database
        self._environment = database.environment
        self._deadline_ns = deadline_ns
        self._slice_ns = self._environment.monotonic_ns() + SLICE_NS

    async def pause(self, table: Table | None = None) -> bool:
        """Let others run if it is time; false when the deadline has passed. Raises once `table` has been dropped.

        Who holds an iterator lets go of it before raising: a database with one cannot close.
        """
        now_ns = self._environment.monotonic_ns()
        if self._deadline_ns is not None and now_ns >= self._deadline_ns:
            return False
        if now_ns >= self._slice_ns:
            self._database.paused += 1
            try:
                await self._environment.sleep(0)
            finally:
                self._database.paused -= 1
            self._slice_ns = self._environment.monotonic_ns() + SLICE_NS
        if table is None or table.dropped:
            _ = self._database.rdict
        if table is not None and table.dropped:
            raise Unavailable("the table was dropped during the call", retryable=False, outcome="not_applied")
        return True


async def read_span(
    table: Table,
    prefix: bytes,
    header: Header,
    span: Span,
    budget: Budget,
    now_us: int,
    slices: Slices,
    *,
    owed: bool = True,
) -> Found:
    """Live rows of `span`, at most `budget`'s; the first is returned whatever its size when it is `owed`."""
    base = prefix + ITEMS
    low = base + max(span.start, header.low)
    high = base + (header.high if span.end is None else min(span.end, header.high))
    rows: list[Row] = []
    if low >= high:
        return Found(rows, 0, None)
    iterator, bounds = seek(table, low, high, reverse=span.reverse)
    step = iterator.prev if span.reverse else iterator.next
    covered, skip, size, seen, alike = header.covered, len(base), 0, 0, b""
    try:
        while iterator.valid():
            row_key, cell = iterator.key(), iterator.value()
            if row_key < low:
                # The driver's seek to the last row looks past the lower bound when no row is within.
                break
            key = row_key[skip:]
            seen += 1
            if seen % CLOCK_EVERY == 0 and not await slices.pause(table):
                return Found(rows, size, _resume(key, span))
            # Most cells of a record never expire, and are as the one before from their time on.
            alike = alike or version.lasting_tail(cell)
            if (not covered and cell.startswith(alike, version.KIND_AT)) or version.is_live(
                cell, now_us, header.covering(key) if covered else None
            ):
                weight = len(key) + len(cell)
                if (rows or not owed) and (len(rows) >= budget.rows or size + weight > budget.bytes):
                    return Found(rows, size, _resume(key, span))
                rows.append((key, cell))
                size += weight
            step()
        iterator.status()
    finally:
        # An error keeps this frame, and with it what the frame names.
        del iterator, step, bounds
    return Found(rows, size, None)


def read_key(table: Table, prefix: bytes, header: Header, key: bytes, now_us: int) -> list[Row]:
    """The live row of `key`, or none."""
    cell: Any = table.db.get(prefix + ITEMS + key)
    if cell is None:
        return []
    over = None if header.partition is None and not header.ranges else header.covering(key)
    return [(key, cell)] if version.is_live(cell, now_us, over) else []


async def read_keys(
    table: Table,
    prefix: bytes,
    header: Header,
    keys: Sequence[bytes],
    budget: Budget | None,
    now_us: int,
    slices: Slices,
) -> Found:
    """Live rows among `keys`, in their order; stops at a `budget` as `read_span` does."""
    base = prefix + ITEMS
    rows: list[Row] = []
    size = seen = 0
    cells = _cells_of(table, base, keys)
    try:
        for key, cell in cells:
            seen += 1
            if seen % CLOCK_EVERY == 0 and not await slices.pause(table):
                return Found(rows, size, key)
            if cell is None or not version.is_live(cell, now_us, header.covering(key) if header.covered else None):
                continue
            weight = len(key) + len(cell)
            if budget is not None and rows and (len(rows) >= budget.rows or size + weight > budget.bytes):
                return Found(rows, size, key)
            rows.append((key, cell))
            size += weight
    finally:
        cells.close()
    return Found(rows, size, None)


def _cells_of(table: Table, base: bytes, keys: Sequence[bytes]) -> Generator[tuple[bytes, Cell | None], None, None]:
    """The cell of each key, None where there is none, all as they were at the first of them."""
    if len(keys) <= KEYS_AT_ONCE:
        # Nothing can come in between, and few at a time, for each may be large and the reader have enough.
        for start in range(0, len(keys), KEYS_PER_CALL):
            some = keys[start : start + KEYS_PER_CALL]
            row_keys: Any = [base + key for key in some]
            found: Any = table.db.get(row_keys)
            yield from zip(some, found, strict=True)
        return
    iterator = table.db.iter()
    try:
        for key in keys:
            row_key = base + key
            iterator.seek(row_key)
            if iterator.valid():
                yield key, iterator.value() if iterator.key() == row_key else None
            else:
                iterator.status()
                yield key, None
    finally:
        del iterator


def beginning(span: Span) -> bytes:
    """Where a read of `span` that returned nothing resumes."""
    if not span.reverse:
        return span.start
    return KEY_CEILING if span.end is None else span.end


class Passed(NamedTuple):
    """While `header` is the partition's, no row before `key` is alive."""

    header: Header
    key: bytes


async def pass_the_dead(table: Table, prefix: bytes, header: Header, now_us: int, slices: Slices) -> Passed:
    """How far a look for the first live row got: to it, to the end, or as long as time and the header allowed."""
    base, passed = prefix + ITEMS, header.low
    if header.low >= header.high:
        return Passed(header, header.high)
    iterator, bounds = seek(table, base + header.low, base + header.high, reverse=False)
    seen = 0
    try:
        while iterator.valid():
            passed = iterator.key()[len(base) :]
            if version.is_live(iterator.value(), now_us, header.covering(passed)):
                return Passed(header, passed)
            seen += 1
            if seen % CLOCK_EVERY == 0 and not await slices.pause(table):
                return Passed(header, passed)
            iterator.next()
        iterator.status()
    finally:
        del iterator, bounds
    return Passed(header, header.high)


def live_row_exists(table: Table, prefix: bytes, header: Header, now_us: int, passed: Passed | None = None) -> bool:
    """Whether the partition has any live row; stops at the first, and begins where others have got to."""
    low = passed.key if passed is not None and passed.header is header else header.low
    if low >= header.high:
        return False
    base = prefix + ITEMS
    iterator, bounds = seek(table, base + low, base + header.high, reverse=False)
    skip = len(base)
    try:
        while iterator.valid():
            if version.is_live(iterator.value(), now_us, header.covering(iterator.key()[skip:])):
                return True
            iterator.next()
        iterator.status()
    finally:
        del iterator, bounds
    return False


def _resume(key: bytes, span: Span) -> bytes:
    return key + b"\0" if span.reverse else key


def seek(table: Table, low: bytes, high: bytes, *, reverse: bool) -> tuple[RdictIter, ReadOptions]:
    """An iterator over the rows from `low` to before `high`, at the first of them, or at the last; and its bounds.

    Keep the bounds for as long as the iterator: the driver does not, and reads freed memory without them. An
    iterator that is not valid is at the end or has met damage: `status` raises then.
    """
    options = ReadOptions()
    # Bounds let RocksDB stop at the end of the partition instead of walking dead rows beyond it.
    options.set_iterate_lower_bound(low)
    options.set_iterate_upper_bound(high)
    iterator = table.db.iter(options)
    if reverse:
        iterator.seek_to_last()
    else:
        iterator.seek(low)
    return iterator, options
