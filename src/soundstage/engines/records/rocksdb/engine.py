"""The records port on the embedded database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import msgspec
from rocksdict import Rdict

from soundstage.core import version
from soundstage.core.environment import Environment
from soundstage.core.errors import (
    Exhausted,
    InvalidArgument,
    PreconditionFailed,
    SoundstageError,
    TokenReused,
)
from soundstage.engines.records.batches import Survey, check_batch, check_partition, restamped
from soundstage.engines.records.port import (
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
from soundstage.engines.records.rocksdb.conditions import check, recorded, stamp_for
from soundstage.engines.records.rocksdb.reading import Slices, beginning, read_key, read_keys, read_span
from soundstage.engines.records.rocksdb.restoring import restore
from soundstage.engines.records.rocksdb.rowkeys import prefix_of
from soundstage.engines.records.rocksdb.statistics import statistics
from soundstage.engines.records.rocksdb.sweep import Sweeper
from soundstage.engines.records.rocksdb.tables import Catalogue, Table
from soundstage.engines.records.rocksdb.walking import walk
from soundstage.engines.records.rocksdb.writing import Writing
from soundstage.engines.records.segments import segment_bounds
from soundstage.engines.rocks.database import Database, Handle, Stalled

DUE = "due"

STALL_WAIT_S = 0.002
STALL_WAITS_MAX = 1_000


class RocksRecords:
    """Durable, embedded, in one process; see `open_rocksdb`."""

    def __init__(self, database: Database, environment: Environment) -> None:
        durable = {Capability.DURABLE} if database.options.durability != "os" else set[Capability]()
        self.capabilities = frozenset({Capability.CONDITIONAL, Capability.STATISTICS, Capability.CHECKPOINT} | durable)
        self.database = database
        self._environment = environment
        self._now_us: Callable[[], int] = environment.now_us
        self._catalogue = Catalogue(database)
        self._due: Handle
        self._sweeper: Sweeper | None = None

    async def start(self) -> None:
        self.database.open()
        due: Rdict
        due, self._due = self.database.family(DUE)
        self._catalogue.load()
        self._sweeper = Sweeper(self.database, self._catalogue, due, self._due)

    async def stop(self) -> None:
        # A handle that lives on would keep the files open and the folder locked.
        self._catalogue.close()
        self._sweeper = None
        if hasattr(self, "_due"):
            del self._due
        await self.database.close()

    async def create_table(self, spec: TableSpec) -> None:
        self._catalogue.create(spec)
        await self._committed(b"")

    async def drop_table(self, name: str) -> None:
        self._catalogue.drop(name)
        await self._committed(b"")

    async def tables(self) -> list[TableSpec]:
        self._check_open()
        by_name = self._catalogue.by_name
        return [by_name[name].spec for name in sorted(by_name) if not by_name[name].entry.hidden]

    async def set_purge_floor(self, name: str, floor_us: int | None) -> None:
        table = self._table(name)
        self._catalogue.change(table, msgspec.structs.replace(table.entry, purge_floor_us=floor_us))
        await self._committed(b"")

    async def apply(
        self,
        table: str,
        partition: bytes,
        batch: Batch,
        *,
        conditional: Conditional | None = None,
        deadline_ns: int | None = None,
    ) -> int:
        into = self._table(table)
        check_partition(partition)
        survey = check_batch(batch)
        if conditional is not None and not into.spec.conditional:
            raise InvalidArgument(
                f"the table {table} takes no conditions", field="condition", hint="create it with them"
            )
        prefix = prefix_of(into.number, partition)
        for _ in range(STALL_WAITS_MAX):
            try:
                stamp_us, written = self._write(into, prefix, batch, survey, conditional)
            except Stalled:
                await self._wait_for_room(deadline_ns)
                continue
            except (PreconditionFailed, TokenReused):
                await self._gate(prefix)
                raise
            await (self._committed(prefix) if written else self._gate(prefix))
            return stamp_us
        raise _stalled()

    def _write(
        self, table: Table, prefix: bytes, batch: Batch, survey: Survey, conditional: Conditional | None
    ) -> tuple[int, bool]:
        """Resolve and write without waiting; the stamp, and false for a call that was recorded before."""
        known = table.header(prefix)
        if conditional is not None:
            before_us = recorded(table, prefix, conditional)
            if before_us is not None:
                return before_us, False
            now_us = self._now_us()
            for condition in conditional.conditions:
                check(table, prefix, known, condition, now_us)
            batch = restamped(batch, stamp_for(known, survey, conditional))
            survey = check_batch(batch)
        self._check_room(survey)
        stamp_us = version.time_us(survey.greatest)
        writing = Writing(table, prefix, self._due, self._now_us, self._environment.random)
        writing.accept(known, batch, survey)
        if conditional is not None:
            writing.enter_ledger(conditional.token, stamp_us, conditional.digest)
        if not writing.batch.is_empty():
            self.database.write(writing.batch)
        table.remember(prefix, writing.header)
        return stamp_us, True

    def _check_room(self, survey: Survey) -> None:
        if not all(map(version.is_delete, survey.cells)):
            self.database.low_water.check(survey.size)

    async def _wait_for_room(self, deadline_ns: int | None) -> None:
        if deadline_ns is not None and self._environment.monotonic_ns() >= deadline_ns:
            raise _stalled()
        await self._environment.sleep(STALL_WAIT_S)

    async def get(
        self, table: str, partition: bytes, keys: Sequence[bytes], now_us: int, budget: Budget | None = None
    ) -> Page:
        source = self._table(table)
        prefix = prefix_of(source.number, partition)
        try:
            header = source.headers[prefix]
        except KeyError:
            header = source.header(prefix)
        if header is None:
            return Page([], None, None)
        gate = self.database.commits.gate(prefix)
        if len(keys) == 1:
            rows, resume = read_key(source, prefix, header, keys[0], now_us), None
        else:
            rows, _, resume = await read_keys(
                source, prefix, header, keys, budget, now_us, Slices(self._environment, budget and budget.deadline_ns)
            )
        if gate is not None:
            await gate
        return Page(rows, resume, header.told or header.stamp)

    async def read(self, table: str, partition: bytes, span: Span, budget: Budget, now_us: int) -> Page:
        slices = Slices(self._environment, budget.deadline_ns)
        return (await self._read(self._table(table), partition, span, budget, now_us, slices))[0]

    async def _read(
        self, source: Table, partition: bytes, span: Span, budget: Budget, now_us: int, slices: Slices
    ) -> tuple[Page, int]:
        prefix = prefix_of(source.number, partition)
        header = source.header(prefix)
        if header is None:
            return Page([], None, None), 0
        gate = self.database.commits.gate(prefix)
        found = await read_span(source, prefix, header, span, budget, now_us, slices)
        if gate is not None:
            await gate
        return Page(found.rows, found.resume, header.stamp), found.bytes

    async def read_many(
        self, table: str, partitions: Sequence[bytes], span: Span, budget: Budget, now_us: int
    ) -> list[Page]:
        source = self._table(table)
        slices = Slices(self._environment, budget.deadline_ns)
        pages: list[Page] = []
        rows, size = budget.rows, budget.bytes
        for partition in partitions:
            if rows <= 0 or size <= 0 or not await slices.pause(source):
                rows = 0
                pages.append(Page([], beginning(span), None))
                continue
            left = Budget(rows, size, budget.deadline_ns)
            page, weight = await self._read(source, partition, span, left, now_us, slices)
            rows -= len(page.rows)
            size -= weight
            pages.append(page)
        return pages

    async def walk(
        self, table: str, segment: int, segments: int, position: bytes | None, budget: Budget, now_us: int
    ) -> WalkPage:
        source = self._table(table)
        bounds = segment_bounds(segment, segments)
        page = await walk(source, bounds, position, budget, now_us, self._environment)
        gate = self.database.commits.gate_all()
        if gate is not None:
            await gate
        return page

    async def sweep(self, budget_rows: int) -> Sweep:
        """See `Sweeper`; what a power loss brings back is swept again."""
        if self._sweeper is None:
            raise self.database.refusal()
        try:
            return await self._sweeper.sweep(budget_rows)
        except Stalled:
            return Sweep(0, 0, None)

    async def statistics(self, table: str) -> TableStatistics:
        """Estimates from a sample; see `statistics`."""
        return await statistics(self._table(table), self._environment)

    async def checkpoint(self, folder: str) -> None:
        """`folder`, which must not exist, is a copy of everything acknowledged, openable by itself."""
        self._check_open()
        await self.database.commits.settle()
        await asyncio.get_running_loop().run_in_executor(self.database.executor, self.database.checkpoint, folder)

    async def restore(self, folder: str, tables: Sequence[str] | None = None) -> None:
        """The named tables (None: all) are as in the checkpoint; `AlreadyExists` where one is there."""
        self._check_open()
        await restore(self.database, self._catalogue, self._due, folder, tables)
        await self._committed(b"")

    def announce(self, url: str | None) -> None:
        """Whoever finds the folder held is told this address."""
        self.database.announce(url)

    async def _committed(self, prefix: bytes) -> None:
        flushed = self.database.commits.join(prefix)
        if flushed is not None:
            await flushed

    async def _gate(self, prefix: bytes) -> None:
        gate = self.database.commits.gate(prefix)
        if gate is not None:
            await gate

    def _table(self, name: str) -> Table:
        table = self._catalogue.by_name.get(name)
        if table is None or table.entry.hidden:
            self._check_open()
            return self._catalogue.get(name)
        return table

    def _check_open(self) -> None:
        _ = self.database.rdict


def _stalled() -> SoundstageError:
    return Exhausted(
        "the disk does not keep up with the writes",
        hint="write more slowly",
        retry_after_ms=200,
        outcome="not_applied",
    )
