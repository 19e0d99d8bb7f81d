"""Removes what is due: the family `due` holds, in order of time, every row that may be forgotten some day.

An entry names the row and the time of the cell that it was made for; whatever the row holds by then decides.
A tombstone goes only after the rows it still hides have gone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec
from rocksdict import Rdict, WriteBatch

from soundstage.core import version
from soundstage.core.environment import Environment
from soundstage.engines.records.port import IN_FLIGHT_MAX_US, Sweep
from soundstage.engines.records.rocksdb import header as headers
from soundstage.engines.records.rocksdb.header import Header
from soundstage.engines.records.rocksdb.reading import SLICE_NS, seek
from soundstage.engines.records.rocksdb.rowkeys import (
    HEAD,
    HEADER,
    ITEMS,
    LEDGER,
    NUMBER,
    RANGE,
    TIME,
    RowKey,
    parse,
)
from soundstage.engines.records.rocksdb.tables import Catalogue, Table
from soundstage.engines.rocks.database import Database, Handle

BACKLOG_MAX = 2_000
"""Entries counted as backlog at most; more cost more than the number is worth."""


class _Due(NamedTuple):
    entry: bytes
    row_key: bytes
    time_us: int
    due_us: int


class Sweeper:
    """Sweeps all tables of one database; one call at a time."""

    def __init__(self, database: Database, catalogue: Catalogue, due: Rdict, handle: Handle) -> None:
        self._database = database
        self._catalogue = catalogue
        self._due = due
        self._handle = handle
        self._environment: Environment = database.environment
        self._cleared_to: dict[bytes, bytes] = {}

    async def sweep(self, budget_rows: int) -> Sweep:
        """Up to `budget_rows` due entries are dealt with, in slices."""
        now_us = self._environment.now_us()
        purged, looked, left, oldest_us = 0, 0, 0, None
        slice_ns = self._environment.monotonic_ns() + SLICE_NS
        for due in self._entries(now_us, budget_rows + BACKLOG_MAX):
            if looked < budget_rows:
                looked += 1
                done, removed = self._deal_with(due, now_us)
                purged += removed
                if done:
                    continue
            left += 1
            oldest_us = due.due_us if oldest_us is None else oldest_us
            if self._environment.monotonic_ns() >= slice_ns:
                await self._environment.sleep(0)
                slice_ns = self._environment.monotonic_ns() + SLICE_NS
        return Sweep(purged, left, oldest_us)

    def _entries(self, now_us: int, count: int) -> Iterator[_Due]:
        rows = self._due.iter()
        rows.seek(b"")
        for _ in range(count):
            if not rows.valid():
                return
            entry = rows.key()
            due_us = TIME.unpack_from(entry)[0]
            if due_us > now_us:
                return
            yield _Due(entry, entry[TIME.size :], TIME.unpack(rows.value())[0], due_us)
            rows.next()

    def _deal_with(self, due: _Due, now_us: int) -> tuple[bool, int]:
        """Whether the entry is done with, and how many rows went."""
        table = self._catalogue.by_number.get(due.row_key[: NUMBER.size])
        batch = WriteBatch(raw_mode=True)
        batch.delete(due.entry, self._handle)
        if table is None:
            self._database.write(batch)
            return True, 0
        spec = table.spec
        horizon_us = version.purge_horizon_us(now_us, spec.max_lag_us, IN_FLIGHT_MAX_US, table.entry.purge_floor_us)
        if due.time_us >= horizon_us:
            return False, 0
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
        if header is None:
            self._database.write(batch)
            return True, 0
        without, low, high = _without(header, row, due.time_us)
        if without is header:
            self._database.write(batch)
            return True, 0
        finished, removed = self._clear(table, row.prefix, header, low, high, due.entry, batch)
        if not finished:
            return False, removed
        if row.rest.startswith(RANGE):
            batch.delete(due.row_key, table.handle)
        batch.put(row.prefix + HEAD + HEADER, headers.encode(without), table.handle)
        self._database.write(batch)
        table.remember(row.prefix, without)
        return True, removed + 1

    def _clear(
        self, table: Table, prefix: bytes, header: Header, low: bytes, high: bytes, entry: bytes, batch: WriteBatch
    ) -> tuple[bool, int]:
        """Remove the rows that the tombstone hides, as far as a slice allows; whether none is left."""
        base = prefix + ITEMS
        start = max(base + low, self._cleared_to.get(entry, b""))
        if start >= base + high:
            self._cleared_to.pop(entry, None)
            return True, 0
        rows, _bounds = seek(table, start, base + high, reverse=False)
        until_ns = self._environment.monotonic_ns() + SLICE_NS
        covered = WriteBatch(raw_mode=True)
        removed = 0
        while rows.valid():
            row_key = rows.key()
            over = header.covering(row_key[len(base) :])
            if over is not None and over > rows.value():
                covered.delete(row_key, table.handle)
                removed += 1
            rows.next()
            if self._environment.monotonic_ns() >= until_ns:
                self._database.write(covered)
                self._cleared_to[entry] = row_key + b"\0"
                return False, removed
        if removed:
            self._database.write(covered)
        self._cleared_to.pop(entry, None)
        return True, removed


def _without(header: Header, row: RowKey, time_us: int) -> tuple[Header, bytes, bytes]:
    """The header without the tombstone of the entry, and the keys it covered; the same header if it has gone."""
    if not row.rest.startswith(RANGE):
        if header.partition is None or version.time_us(header.partition) != time_us:
            return header, b"", b""
        return msgspec.structs.replace(header, partition=None), header.low, header.high
    start = row.rest[len(RANGE) :]
    found = next((each for each in header.ranges if each.start == start), None)
    if found is None or version.time_us(found.cell) != time_us:
        return header, b"", b""
    kept = tuple(each for each in header.ranges if each is not found)
    end = header.high if found.end is None else min(found.end, header.high)
    return msgspec.structs.replace(header, ranges=kept), max(start, header.low), end
