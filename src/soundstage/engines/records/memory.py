"""The records port in memory: the specification that other engines are compared with.

Each partition keeps, by key, the greatest cell that no tombstone hides; its tombstones; the greatest version
it ever accepted; and the ledger of its conditional writes. An agenda per table says what is forgotten when.
Nothing outlives the object, but `start` after `stop` finds what was there, as reopening a folder does.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterator, Sequence

from soundstage.core import version
from soundstage.core.environment import Environment
from soundstage.core.errors import DeadlineExceeded, Unavailable
from soundstage.engines.records import refusals, tombstones
from soundstage.engines.records.agenda import BACKLOG_MAX, Agenda, Thing
from soundstage.engines.records.batches import check_batch, check_batches, check_partition, restamped, versions
from soundstage.engines.records.holdings import Holding, HoldingsPage, LedgerEntry, admits, batch_of, check_holding
from soundstage.engines.records.metering import Meter
from soundstage.engines.records.port import (
    KEY_CEILING,
    Batch,
    Budget,
    Capability,
    Cell,
    Condition,
    Conditional,
    Page,
    Row,
    Span,
    Stamp,
    Sweep,
    TableSpec,
    TableStatistics,
    WalkPage,
)
from soundstage.engines.records.segments import encode_position, parse_position, place, segment_bounds

_UNBOUNDED = Budget(rows=2**62, bytes=2**62)


class _Partition:
    def __init__(self) -> None:
        self.keys: list[bytes] = []
        self.cells: dict[bytes, Cell] = {}
        self.newest: Cell = b""
        self.tombstone: Cell | None = None
        self.ranges: tombstones.Fragments = ()
        self.ledger: dict[bytes, tuple[int, bytes]] = {}

    def covering(self, key: bytes) -> Cell | None:
        return tombstones.greatest(self.tombstone, tombstones.covering(self.ranges, key))

    def stamp(self) -> Stamp | None:
        return Stamp(version.time_us(self.newest), version.token(self.newest)) if self.newest else None

    def found_by(self, condition: Condition, now_us: int) -> Stamp | None:
        """The stamp of the item, or of the record, that `condition` is about; None for an absent one."""
        if condition.key is None:
            exists = condition.stamp is not None or any(version.is_live(cell, now_us) for cell in self.cells.values())
            return self.stamp() if exists else None
        cell = self.cells.get(condition.key)
        if cell is None or not version.is_live(cell, now_us):
            return None
        return Stamp(version.time_us(cell), version.token(cell))

    def between(self, span: Span) -> Iterator[Row]:
        low = bisect_left(self.keys, span.start)
        high = len(self.keys) if span.end is None else bisect_left(self.keys, span.end)
        indices = range(low, high)
        return ((key := self.keys[at], self.cells[key]) for at in (reversed(indices) if span.reverse else indices))


class _Table:
    def __init__(self, spec: TableSpec, environment: Environment) -> None:
        self.spec = spec
        self.purge_floor_us: int | None = None
        self.fence: int | None = None
        self.partitions: dict[bytes, _Partition] = {}
        self.places: list[tuple[int, bytes]] = []
        self.agenda = Agenda()
        self._environment = environment

    def accept(self, name: bytes, batch: Batch) -> None:
        """All of `batch` counts from now on, or, where it raises `Exhausted`, nothing of it."""
        found = self.partitions.get(name, _Partition())
        tombstone, ranges = tombstones.greatest(found.tombstone, batch.partition), found.ranges
        for deleted in batch.ranges:
            ranges = tombstones.add(ranges, deleted)
        if tombstone is not None:
            ranges = tombstones.clip(ranges, tombstone)
        tombstones.check_count(ranges, self.spec.max_lag_us, self._environment.now_us())
        if name not in self.partitions:
            self.partitions[name] = found
            insort(self.places, place(name))
        if tombstone is not None and tombstone != found.tombstone:
            found.tombstone = tombstone
            self.agenda.plan((name, "all", b""), tombstone, self.spec)
            self._drop_hidden(name, found, b"", None)
        if ranges != found.ranges:
            gone, come = set(found.ranges).difference(ranges), set(ranges).difference(found.ranges)
            found.ranges = ranges
            for fragment in gone:
                self.agenda.cancel((name, "range", fragment.start))
            for fragment in come:
                self.agenda.plan((name, "range", fragment.start), fragment.cell, self.spec)
                self._drop_hidden(name, found, fragment.start, fragment.end)
        for key, cell in batch.cells:
            self._offer(name, found, key, cell)
        found.newest = max(found.newest, *map(version.identity, versions(batch)))

    def enter_ledger(self, name: bytes, entry: LedgerEntry) -> None:
        """A repetition of the call is known until no repetition can arrive."""
        token = entry.token.encode()
        self.partitions[name].ledger[token] = (entry.stamp_us, entry.digest)
        self.agenda.plan((name, "ledger", token), version.delete(entry.stamp_us, entry.token), self.spec)

    def load(self, holding: Holding) -> None:
        """All that `holding` tells of its partition counts from now on."""
        found = batch_of(holding)
        if found is not None:
            self.accept(holding.partition, found[0])
        elif holding.partition not in self.partitions:
            self.partitions[holding.partition] = _Partition()
            insort(self.places, place(holding.partition))
        into = self.partitions[holding.partition]
        into.newest = max(into.newest, holding.newest)
        for entry in holding.ledger if self.spec.conditional else ():
            self.enter_ledger(holding.partition, entry)

    def _drop_hidden(self, name: bytes, found: _Partition, start: bytes, end: bytes | None) -> None:
        """What is covered may go at once; only the tombstone waits."""
        rows = list(found.between(Span(start, end)))
        hidden = {key for key, cell in rows if (over := found.covering(key)) is not None and over > cell}
        for key in hidden:
            del found.cells[key]
            self.agenda.cancel((name, "row", key))
        if hidden:
            found.keys = [key for key in found.keys if key not in hidden]

    def _offer(self, name: bytes, found: _Partition, key: bytes, cell: Cell) -> None:
        known, over = found.cells.get(key), found.covering(key)
        if (known is not None and known >= cell) or (over is not None and over > cell):
            return
        if known is None:
            insort(found.keys, key)
        found.cells[key] = cell
        self.agenda.cancel((name, "row", key))
        if version.is_delete(cell):
            jitter_us = self._environment.random.randint(self.spec.delete_ttl_min_us, self.spec.delete_ttl_max_us)
            self.agenda.plan((name, "row", key), cell, self.spec, self._environment.now_us() + jitter_us)
        elif version.expires_us(cell):
            self.agenda.plan((name, "row", key), cell, self.spec, version.expires_us(cell))

    def forget(self, thing: Thing) -> None:
        name, what, key = thing
        found = self.partitions[name]
        if what == "row":
            del found.cells[key], found.keys[bisect_left(found.keys, key)]
        elif what == "ledger":
            del found.ledger[key]
        elif what == "all":
            found.tombstone = None
        else:
            found.ranges = tuple(each for each in found.ranges if each.start != key)
        self.agenda.cancel(thing)


class MemoryRecords:
    """Everything in dictionaries; `CONDITIONAL`, `STATISTICS`, `TRANSFER` and `BULK`, not durable."""

    def __init__(self, environment: Environment) -> None:
        self.capabilities: frozenset[Capability] = frozenset(
            {Capability.CONDITIONAL, Capability.STATISTICS, Capability.TRANSFER, Capability.BULK}
        )
        self._environment = environment
        self._tables: dict[str, _Table] = {}
        self._open = False

    async def start(self) -> None:
        self._open = True

    async def stop(self) -> None:
        self._open = False

    async def create_table(self, spec: TableSpec) -> None:
        known = self._all_tables().setdefault(spec.name, _Table(spec, self._environment))
        refusals.check_fixed_settings(known.spec, spec)
        known.spec = spec

    async def drop_table(self, name: str) -> None:
        self._all_tables().pop(name, None)

    async def tables(self) -> list[TableSpec]:
        return [table.spec for _, table in sorted(self._all_tables().items())]

    async def set_purge_floor(self, name: str, floor_us: int | None) -> None:
        self._table(name).purge_floor_us = floor_us

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
        check_batch(batch)
        if deadline_ns is not None and self._environment.monotonic_ns() >= deadline_ns:
            raise refusals.deadline_passed()
        if conditional is not None:
            return self._apply_conditional(into, partition, batch, conditional)
        greatest = max(versions(batch))
        recorded = into.partitions.get(partition, _Partition()).ledger.get(version.token(greatest).encode())
        if recorded is not None and version.time_us(greatest) <= recorded[0]:
            raise refusals.token_reused(version.token(greatest))
        into.accept(partition, batch)
        return version.time_us(greatest)

    async def apply_each(
        self, table: str, batches: Sequence[tuple[bytes, Batch]], *, deadline_ns: int | None = None
    ) -> None:
        check_batches(batches)
        for number, (partition, batch) in enumerate(batches):
            try:
                await self.apply(table, partition, batch, deadline_ns=deadline_ns)
            except (Unavailable, DeadlineExceeded) as error:
                if number:
                    error.outcome, error.retryable = "unknown", True
                raise

    def _apply_conditional(self, table: _Table, name: bytes, batch: Batch, asked: Conditional) -> int:
        if not table.spec.conditional:
            raise refusals.takes_no_conditions(table.spec.name)
        found = table.partitions.get(name, _Partition())
        recorded = found.ledger.get(asked.token.encode())
        if recorded is not None:
            if recorded[1] != asked.digest:
                raise refusals.token_reused(asked.token)
            return recorded[0]
        now_us = self._environment.now_us()
        for condition in asked.conditions:
            actual = found.found_by(condition, now_us)
            if actual != condition.stamp:
                raise refusals.condition_failed(condition, actual)
        stamp_us = max(map(version.time_us, versions(batch)))
        if found.newest:
            stamp_us = max(stamp_us, version.time_us(found.newest) + 1)
        if stamp_us > asked.limit_us:
            raise refusals.written_ahead(stamp_us)
        table.accept(name, restamped(batch, stamp_us))
        table.enter_ledger(name, LedgerEntry(asked.token, stamp_us, asked.digest))
        return stamp_us

    async def get(
        self, table: str, partition: bytes, keys: Sequence[bytes], now_us: int, budget: Budget | None = None
    ) -> Page:
        found = self._table(table).partitions.get(partition, _Partition())
        asked = [(key, cell) for key in keys if (cell := found.cells.get(key)) and version.is_live(cell, now_us)]
        meter = Meter(budget or _UNBOUNDED, self._environment)
        rows: list[Row] = []
        for row in asked:
            if not meter.takes(row):
                return Page(rows, row[0], found.stamp())
            rows.append(row)
        return Page(rows, None, found.stamp())

    async def read(self, table: str, partition: bytes, span: Span, budget: Budget, now_us: int) -> Page:
        return self._page(self._table(table), partition, span, Meter(budget, self._environment), now_us)

    def _page(self, table: _Table, partition: bytes, span: Span, meter: Meter, now_us: int) -> Page:
        found = table.partitions.get(partition, _Partition())
        rows: list[Row] = []
        for row in found.between(span):
            if version.is_live(row[1], now_us):
                if not meter.takes(row):
                    return Page(rows, row[0] + b"\0" if span.reverse else row[0], found.stamp())
                rows.append(row)
        return Page(rows, None, found.stamp())

    async def read_many(
        self, table: str, partitions: Sequence[bytes], span: Span, budget: Budget, now_us: int
    ) -> list[Page]:
        source, meter = self._table(table), Meter(budget, self._environment)
        end = KEY_CEILING if span.end is None else span.end
        pages: list[Page] = []
        for partition in partitions:
            cut = bool(pages) and pages[-1].resume is not None
            unread = Page([], end if span.reverse else span.start, None)
            pages.append(unread if cut else self._page(source, partition, span, meter, now_us))
        return pages

    async def walk(
        self, table: str, segment: int, segments: int, position: bytes | None, budget: Budget, now_us: int
    ) -> WalkPage:
        source, meter = self._table(table), Meter(budget, self._environment)
        low, high = segment_bounds(segment, segments)
        after, start = (b"", b"") if position is None else parse_position(position, low, high)
        begin = bisect_left(source.places, (low, b"") if position is None else place(after))
        partitions: list[tuple[bytes, list[Row]]] = []
        for index in range(begin, bisect_left(source.places, (high, b""))):
            partition = source.places[index][1]
            page = self._page(source, partition, Span(start if partition == after else b""), meter, now_us)
            if page.rows:
                partitions.append((partition, page.rows))
            elif page.resume is not None and partition != after:
                # What was passed before its first row is looked at again, together with that.
                return WalkPage(partitions, encode_position(partition, b""), cut=False)
            if page.resume is not None:
                return WalkPage(partitions, encode_position(partition, page.resume))
        return WalkPage(partitions, None)

    async def dump(self, table: str, position: bytes | None, budget: Budget) -> HoldingsPage:
        """See `Transfers`. A position names a partition and, in it, the token or the key to go on with."""
        source, meter = self._table(table), Meter(budget, self._environment)
        after, start = (b"", LEDGER) if position is None else parse_position(position, 0, 1 << 64)
        begin = 0 if position is None else bisect_left(source.places, place(after))
        holdings: list[Holding] = []
        for _, partition in source.places[begin:]:
            if holdings and not meter.takes((partition, b"")):
                return HoldingsPage(holdings, encode_position(partition, LEDGER))
            holding, resume = _held(
                partition, source.partitions[partition], start if partition == after else LEDGER, meter
            )
            holdings.append(holding)
            if resume is not None:
                return HoldingsPage(holdings, encode_position(partition, resume))
        return HoldingsPage(holdings, None)

    async def load(self, table: str, holdings: Sequence[Holding], fence: int | None = None) -> None:
        """See `Transfers`."""
        into = self._table(table)
        if fence != into.fence:
            raise refusals.fenced_out(table)
        for holding in holdings:
            check_holding(holding)
        for holding in holdings:
            into.load(holding)

    async def admit(self, table: str, fence: int, least: int | None = None) -> None:
        """See `Transfers`."""
        into = self._table(table)
        if not admits(into.fence, fence, least):
            raise refusals.fenced_out(table)
        into.fence = fence

    async def sweep(self, budget_rows: int) -> Sweep:
        """Only what is due is forgotten, and never the greatest version that a record accepted."""
        now_us, limit = self._environment.now_us(), budget_rows + BACKLOG_MAX
        due = sorted(
            (entry, name)
            for name, table in self._all_tables().items()
            for entry in table.agenda.due(now_us, table.spec, table.purge_floor_us, limit)
        )
        for (_, thing), name in due[:budget_rows]:
            self._tables[name].forget(thing)
        left = due[budget_rows:]
        return Sweep(len(due) - len(left), len(left), left[0][0][0] if left else None)

    async def statistics(self, table: str) -> TableStatistics:
        """Exact."""
        partitions = self._table(table).partitions.values()
        sizes = [sum(len(key) + len(cell) for key, cell in each.cells.items()) for each in partitions]
        return TableStatistics(
            rows=sum(len(each.cells) for each in partitions),
            bytes=sum(sizes),
            partitions=len(sizes),
            tombstones=sum(len(each.ranges) + (each.tombstone is not None) for each in partitions),
            histogram=dict(Counter(1 << max(0, size - 1).bit_length() for size in sizes)),
        )

    def _all_tables(self) -> dict[str, _Table]:
        if not self._open:
            raise refusals.stopped()
        return self._tables

    def _table(self, name: str) -> _Table:
        found = self._all_tables().get(name)
        if found is None:
            raise refusals.no_table(name)
        return found


LEDGER, ITEMS = b"l", b"m"
"""What the second half of a dump's position begins with."""


def _held(partition: bytes, found: _Partition, start: bytes, meter: Meter) -> tuple[Holding, bytes | None]:
    """A holding of a partition from `start` on, and where it goes on if `meter` has enough."""
    cells: list[Row] = []
    ledger: list[LedgerEntry] = []
    resume: bytes | None = None
    for token, (stamp_us, digest) in sorted(found.ledger.items()):
        if LEDGER + token >= start:
            if not meter.takes((token, digest)):
                resume = LEDGER + token
                break
            ledger.append(LedgerEntry(token.decode(), stamp_us, digest))
    for row in () if resume is not None else found.between(Span(start[1:] if start.startswith(ITEMS) else b"")):
        if not meter.takes(row):
            resume = ITEMS + row[0]
            break
        cells.append(row)
    holding = Holding(
        partition=partition,
        newest=found.newest,
        tombstone=found.tombstone,
        ranges=found.ranges,
        cells=cells,
        ledger=ledger,
    )
    return holding, resume
