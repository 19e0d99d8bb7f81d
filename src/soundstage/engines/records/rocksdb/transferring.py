"""Dumps a table, partition after partition, and loads what was dumped."""

from __future__ import annotations

from collections.abc import Sequence

from rocksdict import RdictIter

from soundstage.core import version
from soundstage.core.errors import InvalidArgument
from soundstage.engines.records.holdings import Holding, HoldingsPage, LedgerEntry
from soundstage.engines.records.port import Budget, Row
from soundstage.engines.records.rocksdb.header import Header
from soundstage.engines.records.rocksdb.reading import CLOCK_EVERY, Slices, seek
from soundstage.engines.records.rocksdb.rowkeys import (
    AFTER_ITEMS,
    HEAD,
    LEDGER,
    NUMBER,
    TIME,
    RowKey,
    next_number,
    parse,
    prefix_of,
)
from soundstage.engines.records.rocksdb.tables import Table
from soundstage.engines.records.rocksdb.walking import first_at


class Taken:
    """What a page has taken, and what it may still take."""

    def __init__(self, budget: Budget) -> None:
        self.holdings: list[Holding] = []
        self._rows = budget.rows
        self._bytes = budget.bytes

    @property
    def is_full(self) -> bool:
        return self._rows <= 0 or self._bytes <= 0

    def count(self, size: int) -> None:
        self._rows -= 1
        self._bytes -= size


async def dump(table: Table, position: bytes | None, budget: Budget, slices: Slices) -> HoldingsPage:
    """See `Transfers`. A position is the row to go on with, without the table's number."""
    start = table.number if position is None else _checked(table, position)
    end, taken = next_number(table.number), Taken(budget)
    while (found := first_at(table, start, end)) is not None:
        if taken.is_full or (taken.holdings and not await slices.pause(table)):
            return HoldingsPage(taken.holdings, found[len(table.number) :])
        row = parse(found)
        header = table.peek(row.prefix)
        begin = max(start, row.prefix + HEAD + LEDGER)
        start = row.prefix + AFTER_ITEMS
        if header is None:
            continue
        resume = await _take(table, row, header, begin, taken, slices)
        if resume is not None:
            return HoldingsPage(taken.holdings, resume[len(table.number) :])
    return HoldingsPage(taken.holdings, None)


async def _take(table: Table, row: RowKey, header: Header, begin: bytes, taken: Taken, slices: Slices) -> bytes | None:
    """A holding of one partition is taken, of its rows from `begin` on; where it goes on if it does not fit."""
    cells: list[Row] = []
    ledger: list[LedgerEntry] = []
    taken.count(sum(len(each.start) + len(each.cell) for each in header.ranges) + len(row.partition))
    iterator, bounds = seek(table, begin, row.prefix + AFTER_ITEMS, reverse=False)
    try:
        resume = await _collect(table, iterator, header, taken, slices, cells, ledger)
    finally:
        del iterator, bounds
    taken.holdings.append(
        Holding(
            partition=row.partition,
            newest=header.newest,
            tombstone=header.partition,
            ranges=header.ranges,
            cells=cells,
            ledger=ledger,
        )
    )
    return resume


async def _collect(
    table: Table,
    iterator: RdictIter,
    header: Header,
    taken: Taken,
    slices: Slices,
    cells: list[Row],
    ledger: list[LedgerEntry],
) -> bytes | None:
    seen = 0
    while iterator.valid():
        row_key, stored = iterator.key(), iterator.value()
        seen += 1
        # A page without a row would not come on.
        if (seen > 1 and taken.is_full) or (seen % CLOCK_EVERY == 0 and not await slices.pause(table)):
            return row_key
        row = parse(row_key)
        if row.is_item:
            over = header.covering(row.rest) if header.covered else None
            if over is None or over <= stored:
                cells.append((row.rest, stored))
                taken.count(len(row.rest) + len(stored))
        elif row.rest.startswith(LEDGER):
            token = row.rest[len(LEDGER) :].decode()
            ledger.append(LedgerEntry(token, TIME.unpack_from(stored)[0], stored[TIME.size :]))
            taken.count(len(row.rest) + len(stored))
        iterator.next()
    iterator.status()
    return None


def _checked(table: Table, position: bytes) -> bytes:
    start = table.number + position
    try:
        row = parse(start)
        fits = row.prefix == prefix_of(row.prefix[: NUMBER.size], row.partition)
    except ValueError:
        fits = False
    if not fits:
        raise InvalidArgument("the position is none that a dump returned", field="position")
    return start


def sizes(holdings: Sequence[Holding]) -> int:
    """How many bytes the rows and tombstones of holdings have."""
    return sum(
        sum(len(key) + len(cell) for key, cell in each.cells) + sum(len(deleted.cell) for deleted in each.ranges)
        for each in holdings
        if not all(version.is_delete(cell) for _, cell in each.cells)
    )
