"""Writes at the times of their versions: what Cassandra itself resolves by the rule.

Of two cells at one time the greater counts, which is the order of versions. A delete of a range or of a whole record
hides what is not newer, as ours do; what was deleted is kept in a row besides, and counted and forgotten by it.
"""

from __future__ import annotations

from typing import Any

from soundstage.core import version
from soundstage.engines.records.batches import Survey
from soundstage.engines.records.cassandra import deletions, schema
from soundstage.engines.records.cassandra.catalogue import Table
from soundstage.engines.records.cassandra.due import WHOLE, Agenda, Entry
from soundstage.engines.records.cassandra.failures import TooManyTombstones
from soundstage.engines.records.cassandra.requests import Requests
from soundstage.engines.records.holdings import Holding, batch_of
from soundstage.engines.records.port import Batch, Cell, RangeDelete
from soundstage.engines.records.tombstones import greatest

Statement = tuple[Any, tuple[Any, ...]]


class Writer:
    """Applies batches to tables that take no conditions."""

    def __init__(self, requests: Requests, agenda: Agenda) -> None:
        self._requests = requests
        self._agenda = agenda

    async def apply(
        self, table: Table, partition: bytes, batch: Batch, survey: Survey, deadline_ns: int | None
    ) -> None:
        """All of `batch` counts from now on, or nothing."""
        if len(batch.cells) == 1 and not batch.ranges and batch.partition is None:
            return await self._apply_one(table, partition, *batch.cells[0], deadline_ns)
        newest = version.identity(survey.greatest)
        level = self._requests.levels(table.spec).rows
        return await self._apply(table, partition, batch, newest, deadline_ns, level)

    async def load(self, table: Table, holding: Holding, deadline_ns: int | None = None) -> None:
        """What a table without conditions keeps of `holding` is there, and the greatest version it ever accepted.

        It is on as many replicas as a dump asks, which is to find it there.
        """
        found = batch_of(holding)
        if found is None:
            batch, newest = Batch(), holding.newest
        else:
            batch, newest = found[0], max(holding.newest, version.identity(found[1].greatest))
        level = self._requests.levels(table.spec).lists
        await self._apply(table, holding.partition, batch, newest, deadline_ns, level)

    async def _apply(
        self, table: Table, partition: bytes, batch: Batch, newest: bytes, deadline_ns: int | None, level: int
    ) -> None:
        statements: list[Statement] = []
        entries: list[Entry] = []
        if batch.partition is not None:
            statements += self._delete_all(table, partition, batch.partition)
            entries += self._entries(table, partition, WHOLE, b"", batch.partition)
        if batch.ranges:
            plan = await self._plan(table, partition, batch, deadline_ns)
            statements += self._delete_ranges(table, partition, batch.ranges, plan)
            for row in plan.come:
                entries += self._entries(table, partition, schema.RANGE, deletions.row_key(row), row.cell)
        number, put, item = table.number, table.statements.put, schema.ITEM
        for key, cell in batch.cells:
            statements.append((put, (number, partition, item, key, cell, version.time_us(cell))))
            entries += self._entries(table, partition, item, key, cell)
        statements.append((table.statements.put_header, (version.time_us(newest), newest, table.number, partition)))
        if entries:
            await self._agenda.add(table, entries, deadline_ns)
        await self._requests.write_all(statements, deadline_ns, level=level)

    async def _apply_one(self, table: Table, partition: bytes, key: bytes, cell: Cell, deadline_ns: int | None) -> None:
        entries = self._entries(table, partition, schema.ITEM, key, cell)
        if entries:
            await self._agenda.add(table, entries, deadline_ns)
        values = (table.number, partition, schema.ITEM, key, cell, version.identity(cell), version.time_us(cell))
        level = self._requests.levels(table.spec).rows
        await self._requests.write(table.statements.put_newest, values, deadline_ns, level=level)

    def _entries(self, table: Table, partition: bytes, kind: int, key: bytes, cell: Cell) -> list[Entry]:
        entry = self._agenda.entry(table, partition, kind, key, cell)
        return [] if entry is None else [entry]

    async def _plan(self, table: Table, partition: bytes, batch: Batch, deadline_ns: int | None) -> deletions.Plan:
        values, level = (table.number, partition), self._requests.levels(table.spec).lists
        try:
            rows = await self._requests.read(table.statements.kind, (*values, schema.RANGE), deadline_ns, level=level)
        except TooManyTombstones:
            # A record that is trimmed all the time: what hides is Cassandra's own, and only the count is lost.
            rows = []
        header = rows or await self._requests.read(table.statements.header, values, deadline_ns, level=level)
        tombstone = greatest(header[0][1] if header else None, batch.partition)
        known = [deletions.parse_row(row[-2], row[-1]) for row in rows if row[-1] is not None]
        return deletions.plan(known, batch.ranges, tombstone, table.spec.max_lag_us)

    def _delete_all(self, table: Table, partition: bytes, cell: Cell) -> list[Statement]:
        found, time_us, number = table.statements, version.time_us(cell), table.number
        return [
            (found.delete_kind, (time_us, number, partition, schema.ITEM)),
            (found.delete_kind, (time_us, number, partition, schema.RANGE)),
            (found.put_tombstone, (time_us, cell, number, partition)),
        ]

    def _delete_ranges(self, table: Table, partition: bytes, ranges: Any, plan: deletions.Plan) -> list[Statement]:
        found, number = table.statements, table.number
        statements: list[Statement] = [_hiding(table, partition, each) for each in ranges if not _is_empty(each)]
        for row in plan.go:
            values = (version.time_us(row.cell), number, partition, schema.RANGE, deletions.row_key(row))
            statements.append((found.delete, values))
        for row in plan.come:
            values = (number, partition, schema.RANGE, deletions.row_key(row), row.cell, version.time_us(row.cell))
            statements.append((found.put, values))
        return statements


def _is_empty(deleted: RangeDelete) -> bool:
    return deleted.end is not None and deleted.end <= deleted.start


def _hiding(table: Table, partition: bytes, deleted: RangeDelete) -> Statement:
    start, end, cell = deleted
    values = (version.time_us(cell), table.number, partition, start)
    if end is None:
        return table.statements.delete_from, values
    return table.statements.delete_span, (*values, end)
