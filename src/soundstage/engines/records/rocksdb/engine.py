"""The records port on the embedded database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import CoroutineType
from typing import Any

import msgspec

from soundstage.core import version
from soundstage.core.environment import Environment
from soundstage.core.together import together
from soundstage.engines.records import refusals
from soundstage.engines.records.batches import Survey, check_batch, check_batches, check_partition, restamped
from soundstage.engines.records.holdings import Holding, HoldingsPage, admits, check_holding, pieces
from soundstage.engines.records.port import (
    PARTITION_MAX_BYTES,
    Batch,
    Budget,
    Capability,
    Conditional,
    Page,
    Span,
    Sweep,
    TableSpec,
    TableStatistics,
    WalkPage,
)
from soundstage.engines.records.rocksdb.conditions import (
    asks_for_absence,
    check,
    check_unrecorded,
    hold_evidently,
    recorded,
    stamp_for,
)
from soundstage.engines.records.rocksdb.header import Header
from soundstage.engines.records.rocksdb.putting import (
    SHARED_MAX_BYTES,
    RaisedHeaders,
    enter_ledger,
    is_one_item,
    put,
    raise_header,
    raised,
)
from soundstage.engines.records.rocksdb.reading import (
    Passed,
    Slices,
    beginning,
    pass_the_dead,
    read_key,
    read_keys,
    read_span,
)
from soundstage.engines.records.rocksdb.restoring import restore
from soundstage.engines.records.rocksdb.rowkeys import prefix_of
from soundstage.engines.records.rocksdb.statistics import statistics
from soundstage.engines.records.rocksdb.sweep import Sweeper
from soundstage.engines.records.rocksdb.tables import DUE, Catalogue, Table
from soundstage.engines.records.rocksdb.transferring import dump, sizes
from soundstage.engines.records.rocksdb.walking import walk
from soundstage.engines.records.rocksdb.writing import Writing
from soundstage.engines.records.segments import segment_bounds
from soundstage.engines.rocks.atomic import AtomicBatch
from soundstage.engines.rocks.database import Database, Family


class RocksRecords:
    """Durable, embedded, in one process; see `open_rocksdb`.

    Another port on the same folder is given `database`, and writes with this one by `enlist`.
    """

    def __init__(self, database: Database, environment: Environment) -> None:
        durable = {Capability.DURABLE} if database.options.durability != "os" else set[Capability]()
        self.capabilities: frozenset[Capability] = frozenset(
            {
                Capability.CONDITIONAL,
                Capability.STATISTICS,
                Capability.CHECKPOINT,
                Capability.TRANSFER,
                Capability.ATOMIC_WITH_LOG,
                Capability.BULK,
            }
            | durable
        )
        self.database = database
        self._environment = environment
        self._translation = database.translation
        self._now_us: Callable[[], int] = environment.now_us
        self._tables: dict[str, Table] = {}
        self._catalogue: Catalogue | None = None
        self._due: Family | None = None
        self._sweeper: Sweeper | None = None

    async def start(self) -> None:
        if self._catalogue is not None:
            return
        self.database.open(self)
        try:
            with self._translation:
                due = self._due = self.database.family(DUE)
                catalogue = self._catalogue = Catalogue(self.database, due)
                left = catalogue.load()
            for table in left:
                await self._drop(catalogue, table)
        except BaseException:
            await self.stop()
            raise
        self._tables = catalogue.by_name
        self._sweeper = Sweeper(self.database, catalogue, due)

    async def stop(self) -> None:
        await self.database.close(self)

    @property
    def lost(self) -> str | None:
        """Why every call is refused until a restart; None while the database is well."""
        return self.database.lost

    @property
    def warning(self) -> str | None:
        """What should be seen to, though reads and deletes are served; None while all is well."""
        return self.database.low_water.warning

    def let_go(self) -> None:
        """See `Guest`: a handle that lives on would keep the files open and the folder locked."""
        if self._catalogue is not None:
            self._catalogue.let_go()
        self._catalogue = self._due = self._sweeper = None
        self._tables = {}

    async def create_table(self, spec: TableSpec) -> None:
        await self.database.atomically(self._open_catalogue().create, spec)

    async def drop_table(self, name: str) -> None:
        catalogue = self._open_catalogue()
        table = catalogue.by_name.get(name)
        if table is not None:
            await self._drop(catalogue, table)

    async def _drop(self, catalogue: Catalogue, table: Table) -> None:
        await self.database.atomically(catalogue.forget, table)
        catalogue.clear_away(table.entry)

    async def tables(self) -> list[TableSpec]:
        by_name = self._open_catalogue().by_name
        return [by_name[name].spec for name in sorted(by_name) if not by_name[name].entry.hidden]

    async def set_purge_floor(self, name: str, floor_us: int | None) -> None:
        catalogue, table = self._open_catalogue(), self._table(name)
        entry = msgspec.structs.replace(table.entry, purge_floor_us=floor_us)
        await self.database.atomically(catalogue.change, table, entry)

    def apply(
        self,
        table: str,
        partition: bytes,
        batch: Batch,
        *,
        conditional: Conditional | None = None,
        deadline_ns: int | None = None,
    ) -> CoroutineType[Any, Any, int]:
        if is_one_item(batch, SHARED_MAX_BYTES):
            together, alone = self.database.together, self._apply_alone
            return together(self._share, alone, table, partition, batch, conditional, deadline_ns=deadline_ns)
        return self._apply_alone(table, partition, batch, conditional, deadline_ns)

    def apply_each(
        self, table: str, batches: Sequence[tuple[bytes, Batch]], *, deadline_ns: int | None = None
    ) -> CoroutineType[Any, Any, None]:
        """All or none are accepted."""
        return self.database.atomically(self._enlist_each, table, batches, deadline_ns=deadline_ns)

    def _enlist_each(self, rows: AtomicBatch, table: str, batches: Sequence[tuple[bytes, Batch]]) -> None:
        check_batches(batches)
        for partition, batch in batches:
            self.enlist(rows, table, partition, batch)

    def _apply_alone(
        self, table: str, partition: bytes, batch: Batch, conditional: Conditional | None, deadline_ns: int | None
    ) -> CoroutineType[Any, Any, int]:
        if conditional is not None and asks_for_absence(conditional):
            return self._apply_if_absent(table, partition, batch, conditional, deadline_ns)
        return self.database.atomically(self.enlist, table, partition, batch, conditional, deadline_ns=deadline_ns)

    async def _apply_if_absent(
        self, table: str, partition: bytes, batch: Batch, conditional: Conditional, deadline_ns: int | None
    ) -> int:
        """Dead rows are passed beforehand, in slices: `enlist` must not wait, and there may be many."""
        into = self._table(table)
        check_partition(partition)
        prefix = prefix_of(into.number, partition)
        passed: Passed | None = None
        with self._translation:
            header = into.header(prefix)
            if header is not None:
                passed = await pass_the_dead(into, prefix, header, self._now_us(), Slices(self.database, deadline_ns))
        return await self.database.atomically(
            self.enlist, table, partition, batch, conditional, passed, deadline_ns=deadline_ns
        )

    def enlist(
        self,
        rows: AtomicBatch,
        table: str,
        partition: bytes,
        batch: Batch,
        conditional: Conditional | None = None,
        passed: Passed | None = None,
    ) -> int:
        """What `apply` would write is part of `rows`, for `Database.atomically`; returns the stamp that `apply` would.

        Raises what `apply` raises; nothing of `rows` may be written then. A partition is enlisted once.
        """
        into = self._table(table)
        check_partition(partition)
        prefix = prefix_of(into.number, partition)
        if is_one_item(batch) and (conditional is None or into.spec.conditional):
            rows.touch(prefix)
            stamp_us = self._put_one(rows, into, prefix, into.peek(prefix), batch, conditional)
            if stamp_us is not None:
                raise_header(rows, into, prefix)
                return stamp_us
            survey = check_batch(batch)
        else:
            survey = check_batch(batch)
            if conditional is not None and not into.spec.conditional:
                raise refusals.takes_no_conditions(table)
            rows.touch(prefix)
        known = into.peek(prefix)
        if conditional is not None:
            before_us = recorded(into, prefix, conditional)
            if before_us is not None:
                return before_us
            now_us = self._now_us()
            for condition in conditional.conditions:
                check(into, prefix, known, condition, now_us, passed)
            batch = restamped(batch, stamp_for(known, survey, conditional))
            survey = check_batch(batch)
        else:
            check_unrecorded(into, prefix, known, survey)
        self._check_room(into, survey)
        stamp_us = version.time_us(survey.greatest)
        writing = Writing(into, prefix, rows.rows, self._open_due(), self._environment)
        writing.accept(known, batch, survey)
        if conditional is not None:
            writing.enter_ledger(conditional.token, stamp_us, conditional.digest)
        rows.once_written(writing.was_written)
        return stamp_us

    def _share(
        self, rows: AtomicBatch, table: str, partition: bytes, batch: Batch, conditional: Conditional | None
    ) -> int | None:
        """`enlist` for a batch that is one item, after whatever else is in `rows`; None where more is to be done."""
        into = self._tables.get(table)
        if into is None or into.entry.hidden:
            into = self._table(table)
        if not 0 < len(partition) <= PARTITION_MAX_BYTES:
            check_partition(partition)
        prefix = prefix_of(into.number, partition)
        known = rows.keys.get(prefix)
        if conditional is not None and (known is not None or not into.spec.conditional):
            # Conditions are about what can be read.
            return None
        if known is None:
            known = into.headers[prefix] if prefix in into.headers else into.peek(prefix)
        stamp_us = self._put_one(rows, into, prefix, known, batch, conditional)
        if stamp_us is not None:
            (rows.raised or RaisedHeaders(rows)).tables[prefix] = into
        return stamp_us

    def _put_one(
        self,
        rows: AtomicBatch,
        into: Table,
        prefix: bytes,
        known: Header | None,
        batch: Batch,
        conditional: Conditional | None,
    ) -> int | None:
        key, cell = batch.cells[0]
        if conditional is not None:
            if not hold_evidently(into, prefix, known, conditional, self._now_us()):
                return None
            stamp_us = version.time_us(cell)
            if known is not None and (newest_us := version.time_us(known.newest)) >= stamp_us:
                stamp_us = newest_us + 1
                cell = version.restamp(cell, stamp_us)
            if stamp_us > conditional.limit_us:
                return None
        header = raised(known, key, cell)
        if header is None:
            return None
        if not version.is_delete(cell):
            self.database.low_water.check(len(key) + len(cell), own=into.own)
        due = self._due or self._open_due()
        put(rows.rows, into, due, prefix, key, cell, header, self._environment)
        stamp_us = version.time_us(cell)
        if conditional is not None:
            enter_ledger(rows.rows, into, due, prefix, conditional.token, stamp_us, conditional.digest)
        rows.keys[prefix] = header
        return stamp_us

    def _check_room(self, into: Table, survey: Survey) -> None:
        if not all(map(version.is_delete, survey.cells)):
            # Without its own notes the stage could neither delete a namespace nor sweep.
            self.database.low_water.check(survey.size, own=into.own)

    async def get(
        self, table: str, partition: bytes, keys: Sequence[bytes], now_us: int, budget: Budget | None = None
    ) -> Page:
        source = self._tables.get(table)
        if source is None or source.entry.hidden:
            source = self._table(table)
        prefix = prefix_of(source.number, partition)
        try:
            header = source.headers[prefix] if prefix in source.headers else source.header(prefix)
            if header is None:
                return Page([], None, None)
            gate, mark = self.database.commits.gate(prefix), header.mark or header.marked()
            if len(keys) == 1:
                rows, resume = read_key(source, prefix, header, keys[0], now_us), None
            else:
                slices = Slices(self.database, budget and budget.deadline_ns)
                rows, _, resume = await read_keys(source, prefix, header, keys, budget, now_us, slices)
        except Exception as error:
            self._translation.translate(error)
            raise
        if gate is not None:
            await gate
        return Page(rows, resume, header.told or header.stamp, mark)

    async def read(self, table: str, partition: bytes, span: Span, budget: Budget, now_us: int) -> Page:
        slices = Slices(self.database, budget.deadline_ns)
        return (await self._read(self._table(table), partition, span, budget, now_us, slices, owed=True))[0]

    async def _read(
        self,
        source: Table,
        partition: bytes,
        span: Span,
        budget: Budget,
        now_us: int,
        slices: Slices,
        *,
        owed: bool,
    ) -> tuple[Page, int]:
        prefix = prefix_of(source.number, partition)
        with self._translation:
            header = source.header(prefix)
            if header is None:
                return Page([], None, None), 0
            gate = self.database.commits.gate(prefix)
            found = await read_span(source, prefix, header, span, budget, now_us, slices, owed=owed)
        if gate is not None:
            await gate
        return Page(found.rows, found.resume, header.stamp), found.bytes

    async def read_many(
        self, table: str, partitions: Sequence[bytes], span: Span, budget: Budget, now_us: int
    ) -> list[Page]:
        source = self._table(table)
        slices = Slices(self.database, budget.deadline_ns)
        pages: list[Page] = []
        rows, size, owed = budget.rows, budget.bytes, True
        for partition in partitions:
            cut = bool(pages) and pages[-1].resume is not None
            if cut or (not owed and (rows <= 0 or size <= 0)) or not await slices.pause(source):
                pages.append(Page([], beginning(span), None))
                continue
            left = Budget(rows, size, budget.deadline_ns)
            page, weight = await self._read(source, partition, span, left, now_us, slices, owed=owed)
            rows -= len(page.rows)
            size -= weight
            owed = owed and not page.rows
            pages.append(page)
        return pages

    async def walk(
        self, table: str, segment: int, segments: int, position: bytes | None, budget: Budget, now_us: int
    ) -> WalkPage:
        source = self._table(table)
        bounds = segment_bounds(segment, segments)
        with self._translation:
            page = await walk(source, bounds, position, budget, now_us, Slices(self.database, budget.deadline_ns))
        gate = self.database.commits.gate_all()
        if gate is not None:
            await gate
        return page

    async def dump(self, table: str, position: bytes | None, budget: Budget) -> HoldingsPage:
        """See `Transfers`."""
        source = self._table(table)
        with self._translation:
            page = await dump(source, position, budget, Slices(self.database, budget.deadline_ns))
        gate = self.database.commits.gate_all()
        if gate is not None:
            await gate
        return page

    async def load(self, table: str, holdings: Sequence[Holding], fence: int | None = None) -> None:
        """See `Transfers`; pieces of it are written one after the other, and flushed together."""
        await together(self.database.atomically(self._take, table, piece, fence) for piece in pieces(holdings))

    def _take(self, rows: AtomicBatch, table: str, holdings: Sequence[Holding], fence: int | None) -> None:
        into = self._table(table)
        if fence != into.entry.fence:
            raise refusals.fenced_out(table)
        for holding in holdings:
            check_holding(holding)
        self.database.low_water.check(sizes(holdings))
        for holding in holdings:
            prefix = prefix_of(into.number, holding.partition)
            rows.touch(prefix)
            writing = Writing(into, prefix, rows.rows, self._open_due(), self._environment)
            writing.load(into.peek(prefix), holding)
            rows.once_written(writing.was_written)

    async def admit(self, table: str, fence: int, least: int | None = None) -> None:
        """See `Transfers`."""
        await self.database.atomically(self._admit, table, fence, least)

    def _admit(self, rows: AtomicBatch, table: str, fence: int, least: int | None) -> None:
        into = self._table(table)
        if not admits(into.entry.fence, fence, least):
            raise refusals.fenced_out(table)
        self._open_catalogue().change(rows, into, msgspec.structs.replace(into.entry, admitted=fence))

    async def sweep(self, budget_rows: int) -> Sweep:
        """See `Sweeper`; what a power loss brings back is swept again."""
        if self._sweeper is None:
            raise self.database.refusal()
        with self._translation:
            return await self._sweeper.sweep(budget_rows)

    async def statistics(self, table: str) -> TableStatistics:
        """Estimates from a sample; see `statistics`."""
        with self._translation:
            return await statistics(self._table(table), Slices(self.database))

    async def checkpoint(self, folder: str) -> None:
        """See `Database.checkpoint`."""
        await self.database.checkpoint(folder)

    async def restore(self, folder: str, tables: Sequence[str] | None = None) -> None:
        """The named tables (None: all) are as in the checkpoint; `AlreadyExists` where one is there."""
        catalogue, due = self._open_catalogue(), self._open_due()
        await restore(self.database, catalogue, due, folder, tables)

    def announce(self, url: str | None) -> None:
        """Whoever finds the folder held is told this address."""
        self.database.announce(url)

    def _table(self, name: str) -> Table:
        table = self._tables.get(name)
        if table is None or table.entry.hidden:
            self._open_catalogue()
            raise refusals.no_table(name)
        return table

    def _open_catalogue(self) -> Catalogue:
        if self._catalogue is None:
            raise self.database.refusal()
        return self._catalogue

    def _open_due(self) -> Family:
        if self._due is None:
            raise self.database.refusal()
        return self._due
