"""The records port on Cassandra: many processes, one cluster, the rule of versions kept by Cassandra's own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from soundstage.core import version
from soundstage.core.environment import Environment
from soundstage.core.measurement import Measurement
from soundstage.core.together import together
from soundstage.engines.records import refusals
from soundstage.engines.records.batches import check_batch, check_partition
from soundstage.engines.records.cassandra.catalogue import Catalogue
from soundstage.engines.records.cassandra.driver import LEVELS
from soundstage.engines.records.cassandra.due import Agenda
from soundstage.engines.records.cassandra.erasing import Eraser
from soundstage.engines.records.cassandra.failures import patient
from soundstage.engines.records.cassandra.levels import is_loose
from soundstage.engines.records.cassandra.link import Link
from soundstage.engines.records.cassandra.paxos import Decider
from soundstage.engines.records.cassandra.reading import Reader, unread
from soundstage.engines.records.cassandra.requests import Requests
from soundstage.engines.records.cassandra.statements import ledgers
from soundstage.engines.records.cassandra.statistics import statistics
from soundstage.engines.records.cassandra.sweep import Sweeper
from soundstage.engines.records.cassandra.transferring import Transfer
from soundstage.engines.records.cassandra.vitals import Vitals
from soundstage.engines.records.cassandra.walking import Walker
from soundstage.engines.records.cassandra.writing import Writer
from soundstage.engines.records.holdings import Holding, HoldingsPage
from soundstage.engines.records.metering import Meter
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

PARTITIONS_AT_ONCE = 32


class CassandraRecords:
    """Tables of one space of a keyspace; any number of engines may be open on it, in any number of processes."""

    def __init__(self, link: Link, environment: Environment, space: str | None = None) -> None:
        """`space` None: the one of the link's address. Engines may share a link."""
        self.capabilities: frozenset[Capability] = frozenset(
            {
                Capability.CONDITIONAL,
                Capability.COSTLY_CONDITIONS,
                Capability.STATISTICS,
                Capability.DURABLE,
                Capability.TRANSFER,
                Capability.SHARED,
                Capability.COPIES,
            }
        )
        if is_loose(link.address.options.consistency):
            self.capabilities |= {Capability.LOOSE}
        self._link = link
        self._space = link.address.options.space if space is None else space
        self._environment = environment
        self._parts: Parts | None = None
        self._stopped = False

    @property
    def parts(self) -> Parts:
        """What it is made of, while it runs; raises `Unavailable` at other times."""
        if self._parts is None:
            raise refusals.stopped()
        self._parts.requests.check_open()
        return self._parts

    @property
    def lost(self) -> str | None:
        """Why the cluster cannot be used, as readiness tells; None while it can, and while this is not started."""
        return None if self._parts is None else self._parts.vitals.lost

    @property
    def warning(self) -> str | None:
        """What of the cluster should be seen to, though it can be used."""
        return None if self._parts is None else self._parts.vitals.warning

    def measurements(self) -> Iterator[Measurement]:
        """See `Vitals`."""
        if self._parts is not None:
            yield from self._parts.vitals.measurements()

    async def start(self) -> None:
        """The cluster is connected and all tables that are shared are there."""
        await self._link.take()
        try:
            self._parts = await _parts(self._link, self._space, self._environment)
            await self._parts.catalogue.read()
        except BaseException:
            self._parts = None
            await self._link.give_back()
            raise

    async def stop(self) -> None:
        """Nothing is under way any more. Idempotent."""
        if self._parts is None or self._stopped:
            return
        self._stopped = True
        self._parts.requests.close()
        await self._parts.catalogue.close()
        await self._link.give_back()

    async def create_table(self, spec: TableSpec) -> None:
        await self.parts.catalogue.create(spec)

    async def drop_table(self, name: str) -> None:
        await self.parts.catalogue.drop(name)

    async def tables(self) -> list[TableSpec]:
        return [table.spec for table in await self.parts.catalogue.read()]

    async def set_purge_floor(self, name: str, floor_us: int | None) -> None:
        await self.parts.catalogue.set_floor(name, floor_us)

    async def apply(
        self,
        table: str,
        partition: bytes,
        batch: Batch,
        *,
        conditional: Conditional | None = None,
        deadline_ns: int | None = None,
    ) -> int:
        until_ns = self.parts.requests.write_until(deadline_ns)
        # Who set a later deadline has not run out of time, and may repeat the call.
        with patient(deadline_ns if until_ns == deadline_ns else None):
            return await self._apply(table, partition, batch, conditional, until_ns)

    async def _apply(
        self, table: str, partition: bytes, batch: Batch, conditional: Conditional | None, deadline_ns: int | None
    ) -> int:
        parts = self.parts
        into = await parts.catalogue.table(table, deadline_ns)
        check_partition(partition)
        survey = check_batch(batch)
        if parts.requests.is_late(deadline_ns):
            raise refusals.deadline_passed()
        if into.conditional:
            parts.requests.check_decides(into.spec)
            return await parts.decider.apply(into, partition, batch, survey, conditional, deadline_ns)
        if conditional is not None:
            raise refusals.takes_no_conditions(table)
        await parts.writer.apply(into, partition, batch, survey, deadline_ns)
        return version.time_us(survey.greatest)

    async def get(
        self, table: str, partition: bytes, keys: Sequence[bytes], now_us: int, budget: Budget | None = None
    ) -> Page:
        parts = self.parts
        source = await parts.catalogue.table(table, None if budget is None else budget.deadline_ns)
        return await parts.reader.points(source, partition, keys, now_us, budget)

    async def get_from_all(
        self, table: str, partition: bytes, keys: Sequence[bytes], now_us: int, deadline_ns: int | None = None
    ) -> Page:
        """See `Copies`."""
        parts = self.parts
        source = await parts.catalogue.table(table, deadline_ns)
        rows, stamp = await parts.all_copies.all_points(source, partition, keys, now_us, deadline_ns)
        return Page(rows, None, stamp)

    async def read(self, table: str, partition: bytes, span: Span, budget: Budget, now_us: int) -> Page:
        parts = self.parts
        source = await parts.catalogue.table(table, budget.deadline_ns)
        return await parts.reader.page(source, partition, span, budget, now_us)

    async def read_many(
        self, table: str, partitions: Sequence[bytes], span: Span, budget: Budget, now_us: int
    ) -> list[Page]:
        """Partitions are read side by side, a few more at a time than may be needed."""
        parts = self.parts
        source = await parts.catalogue.table(table, budget.deadline_ns)
        meter = Meter(Budget(budget.rows, budget.bytes), self._environment)
        pages: list[Page] = []
        for at in range(0, len(partitions), PARTITIONS_AT_ONCE):
            if (pages and pages[-1].resume is not None) or parts.requests.is_late(budget.deadline_ns):
                pages += [unread(span)] * (len(partitions) - at)
                break
            some = partitions[at : at + PARTITIONS_AT_ONCE]
            found = await together(parts.reader.page(source, each, span, budget, now_us) for each in some)
            for page in found:
                cut = bool(pages) and pages[-1].resume is not None
                pages.append(unread(span) if cut else _metered(page, span, meter))
        return pages

    async def walk(
        self, table: str, segment: int, segments: int, position: bytes | None, budget: Budget, now_us: int
    ) -> WalkPage:
        parts = self.parts
        source = await parts.catalogue.table(table, budget.deadline_ns)
        return await parts.walker.page(source, segment, segments, position, budget, now_us)

    async def dump(self, table: str, position: bytes | None, budget: Budget) -> HoldingsPage:
        """See `Transfers`; a record whose rows fill several pages is put together again by who loads them."""
        parts = self.parts
        return await parts.transfer.dump(await parts.catalogue.table(table), position, budget)

    async def load(self, table: str, holdings: Sequence[Holding], fence: int | None = None) -> None:
        """See `Transfers`."""
        parts = self.parts
        await parts.transfer.load(await parts.catalogue.table(table), holdings, fence)

    async def admit(self, table: str, fence: int, least: int | None = None) -> None:
        """See `Transfers`."""
        parts = self.parts
        await parts.transfer.admit(await parts.catalogue.table(table), fence, least)

    async def sweep(self, budget_rows: int) -> Sweep:
        parts = self.parts
        await parts.vitals.look()
        return await parts.sweeper.sweep(budget_rows)

    async def statistics(self, table: str) -> TableStatistics:
        parts = self.parts
        return await statistics(parts.walker, await parts.catalogue.table(table))


class Parts:
    """What an engine that was started is made of."""

    def __init__(self, requests: Requests, catalogue: Catalogue, agenda: Agenda, link: Link, env: Environment) -> None:
        self.requests: Requests = requests
        self.catalogue: Catalogue = catalogue
        self.reader: Reader = Reader(requests, env)
        self.all_copies: Reader = Reader(requests, env, LEVELS["all"])
        self.writer: Writer = Writer(requests, agenda)
        self.decider: Decider = Decider(requests, agenda, self.reader, env)
        self.walker: Walker = Walker(link, requests, self.reader, env)
        self.transfer: Transfer = Transfer(catalogue, requests, self.walker, self.writer, self.decider)
        self.eraser: Eraser = Eraser(catalogue, requests, self.walker)
        self.vitals: Vitals = Vitals(link, requests, self.eraser, env)
        self.sweeper: Sweeper = Sweeper(catalogue, agenda, requests, self.reader, self.decider, self.eraser, env)


async def _parts(link: Link, space: str, environment: Environment) -> Parts:
    requests = Requests(link, environment)
    known = await ledgers(link)
    agenda = Agenda(space, requests, known, environment)
    return Parts(requests, Catalogue(link, space, requests, known, environment), agenda, link, environment)


def _metered(page: Page, span: Span, meter: Meter) -> Page:
    """As much of `page` as `meter` takes."""
    for at, row in enumerate(page.rows):
        if not meter.takes(row):
            return Page(page.rows[:at], row[0] + b"\0" if span.reverse else row[0], page.stamp)
    return page
