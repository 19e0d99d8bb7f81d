"""Removes what is due: the family `due` holds, for each table in order of time, every row that may be forgotten.

An entry names the row and the time of the cell that it was made for; whatever the row holds by then decides.
A tombstone goes only after the rows it still hides have gone.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import NamedTuple

import msgspec
from rocksdict import ReadOptions, WriteBatch

from soundstage.core import version
from soundstage.core.environment import Environment
from soundstage.engines.records.port import IN_FLIGHT_MAX_US, Sweep
from soundstage.engines.records.rocksdb import header as headers
from soundstage.engines.records.rocksdb.header import Header
from soundstage.engines.records.rocksdb.reading import SLICE_NS, Slices, seek
from soundstage.engines.records.rocksdb.rowkeys import (
    HEAD,
    HEADER,
    ITEMS,
    LEDGER,
    RANGE,
    TIME,
    RowKey,
    due_key,
    next_number,
    parse,
    parse_due,
)
from soundstage.engines.records.rocksdb.tables import Catalogue, Table
from soundstage.engines.rocks.database import Database, Family
from soundstage.engines.rocks.disk import Stalled

BACKLOG_MAX = 2_000
"""Entries counted as backlog at most; more cost more than the number is worth."""

PASSED_MAX = 20_000
"""Entries that mean nothing any more, or must wait for longer, which one sweep passes over in one table."""


class _Due(NamedTuple):
    entry: bytes
    row_key: bytes
    time_us: int
    due_us: int


class _Round:
    """What one sweep has done so far."""

    def __init__(self, budget_rows: int) -> None:
        self.budget = budget_rows
        self.purged = 0
        self.left = 0
        self.oldest_us: int | None = None

    def leave(self, due_us: int) -> None:
        self.left += 1
        self.oldest_us = due_us if self.oldest_us is None else min(self.oldest_us, due_us)


class SteadyTime:
    """The wall clock, but a leap ahead is believed only by and by, at twice the pace of time.

    What is removed cannot be brought back when the clock is set right again.
    """

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._us = environment.now_us()
        self._seen_ns = environment.monotonic_ns()

    def now_us(self) -> int:
        now_ns = self._environment.monotonic_ns()
        most_us = self._us + 2 * (now_ns - self._seen_ns) // 1_000
        self._us, self._seen_ns = min(self._environment.now_us(), most_us), now_ns
        return self._us


class Sweeper:
    """Sweeps all tables of one database; one call at a time."""

    def __init__(self, database: Database, catalogue: Catalogue, due: Family) -> None:
        self._database = database
        self._catalogue = catalogue
        self._due = due
        self._environment = database.environment
        self._time = SteadyTime(database.environment)
        self._last = b""

    async def sweep(self, budget_rows: int) -> Sweep:
        """Up to `budget_rows` due rows go, in slices; every table gets its turn, whatever the others' backlog."""
        now_us = self._time.now_us()
        done = _Round(budget_rows)
        slices = Slices(self._database)
        numbers = sorted(self._catalogue.by_number)
        later = [number for number in numbers if number > self._last]
        for number in later + numbers[: len(numbers) - len(later)]:
            table = self._catalogue.by_number.get(number)
            if table is not None:
                if done.budget > 0:
                    self._last = number
                try:
                    await self._sweep_table(table, now_us, done, slices)
                except Stalled:
                    break
            await slices.pause()
            if done.left >= BACKLOG_MAX:
                break
        return Sweep(done.purged, done.left, done.oldest_us)

    async def _sweep_table(self, table: Table, now_us: int, done: _Round, slices: Slices) -> None:
        spec, floor_us = table.spec, table.entry.purge_floor_us
        horizon_us = version.purge_horizon_us(now_us, spec.max_lag_us, IN_FLIGHT_MAX_US, floor_us)
        if horizon_us <= 0:
            return
        start, table.due_from = table.due_from, next_number(table.number)
        first_left: bytes | None = None
        entries = self._entries(table, start, now_us)
        passed = 0
        try:
            for due in entries:
                if due.time_us < horizon_us and done.budget > 0:
                    finished, removed = self._deal_with(table, due, now_us, horizon_us)
                    done.purged += removed
                    done.budget -= removed or not finished
                    passed += finished and not removed
                else:
                    finished = False
                    passed += due.time_us >= horizon_us
                if not finished:
                    first_left = first_left or due.entry
                    if due.time_us < horizon_us:
                        done.leave(due.due_us)
                await slices.pause()
                if table.dropped or passed >= PASSED_MAX or done.left >= BACKLOG_MAX:
                    first_left = first_left or due.entry
                    break
        except BaseException:
            # The next sweep looks at all of them again.
            table.due_from = table.number
            raise
        finally:
            entries.close()
        # Not over what came meanwhile: a write from long ago is due at once.
        table.due_from = min(table.due_from, first_left or due_key(now_us + 1, table.number))

    def _entries(self, table: Table, start: bytes, now_us: int) -> Generator[_Due, None, None]:
        bounds = ReadOptions()
        bounds.set_iterate_upper_bound(due_key(now_us + 1, table.number))
        rows = self._due.db.iter(bounds)
        try:
            rows.seek(start)
            while rows.valid():
                entry = rows.key()
                due_us, row_key = parse_due(entry)
                yield _Due(entry, row_key, TIME.unpack(rows.value())[0], due_us)
                rows.next()
            rows.status()
        finally:
            del rows, bounds

    def _deal_with(self, table: Table, due: _Due, now_us: int, horizon_us: int) -> tuple[bool, int]:
        """Whether the entry is done with, and how many rows went."""
        batch = WriteBatch(raw_mode=True)
        batch.delete(due.entry, self._due.handle)
        row = parse(due.row_key)
        if row.is_item:
            removed = self._item(table, due, now_us, horizon_us, batch)
        elif row.rest.startswith(LEDGER):
            batch.delete(due.row_key, table.handle)
            removed = 1
        else:
            return self._tombstone(table, row, due, batch)
        self._database.write(batch)
        return True, removed

    def _item(self, table: Table, due: _Due, now_us: int, horizon_us: int, batch: WriteBatch) -> int:
        cell: bytes | None = table.db.get(due.row_key)
        if cell is None or version.time_us(cell) != due.time_us or not version.is_purgeable(cell, now_us, horizon_us):
            return 0
        batch.delete(due.row_key, table.handle)
        return 1

    def _tombstone(self, table: Table, row: RowKey, due: _Due, batch: WriteBatch) -> tuple[bool, int]:
        header = table.header(row.prefix)
        without, low, high = (None, b"", b"") if header is None else _without(header, row, due.time_us)
        if header is None or without is None:
            self._database.write(batch)
            return True, 0
        finished, removed = self._clear(table, row.prefix, header, low, high, due.entry)
        if not finished:
            return False, removed
        if row.rest.startswith(RANGE):
            batch.delete(due.row_key, table.handle)
        batch.put(row.prefix + HEAD + HEADER, headers.encode(without), table.handle)
        self._database.write(batch)
        table.remember(row.prefix, without)
        return True, removed + 1

    def _clear(
        self, table: Table, prefix: bytes, header: Header, low: bytes, high: bytes, entry: bytes
    ) -> tuple[bool, int]:
        """Remove the rows that the tombstone hides, as far as a slice allows; whether none is left."""
        base = prefix + ITEMS
        start = max(base + low, table.cleared_to.pop(entry, b""))
        if start >= base + high:
            return True, 0
        until_ns = self._environment.monotonic_ns() + SLICE_NS
        covered = WriteBatch(raw_mode=True)
        reached: bytes | None = None
        rows, bounds = seek(table, start, base + high, reverse=False)
        try:
            while rows.valid() and reached is None:
                row_key = rows.key()
                over = header.covering(row_key[len(base) :])
                if over is not None and over > rows.value():
                    covered.delete(row_key, table.handle)
                rows.next()
                if self._environment.monotonic_ns() >= until_ns:
                    reached = row_key + b"\0"
            rows.status()
        finally:
            del rows, bounds
        removed = len(covered)
        if removed:
            self._database.write(covered)
        if reached is not None:
            table.cleared_to[entry] = reached
        return reached is None, removed


def _without(header: Header, row: RowKey, time_us: int) -> tuple[Header | None, bytes, bytes]:
    """The header without the tombstone of the entry, and the keys it covered; None when it has gone already."""
    if not row.rest.startswith(RANGE):
        if header.partition is None or version.time_us(header.partition) != time_us:
            return None, b"", b""
        return msgspec.structs.replace(header, partition=None), header.low, header.high
    start = row.rest[len(RANGE) :]
    found = next((each for each in header.ranges if each.start == start), None)
    if found is None or version.time_us(found.cell) != time_us:
        return None, b"", b""
    kept = tuple(each for each in header.ranges if each is not found)
    end = header.high if found.end is None else min(found.end, header.high)
    return msgspec.structs.replace(header, ranges=kept), max(start, header.low), end
