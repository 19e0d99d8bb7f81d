"""Dumps a table along the ring, and loads what was dumped, here or by another engine.

A partition that one request brought whole is of that request's moment. Of one that is cut, what hides its rows is
looked at before and after them, and must be the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec

from soundstage.core.errors import InvalidArgument, SoundstageError, Unavailable
from soundstage.core.portions import portions
from soundstage.core.together import together
from soundstage.engines.records import refusals
from soundstage.engines.records.cassandra import deletions, schema
from soundstage.engines.records.cassandra.catalogue import Catalogue, Table
from soundstage.engines.records.cassandra.failures import TooManyTombstones, patient
from soundstage.engines.records.cassandra.paxos import STAMP_BYTES, Decider
from soundstage.engines.records.cassandra.reading import Statics
from soundstage.engines.records.cassandra.requests import Requests
from soundstage.engines.records.cassandra.walking import RING_HIGH, RING_LOW, Walker
from soundstage.engines.records.cassandra.writing import Writer
from soundstage.engines.records.holdings import Holding, HoldingsPage, LedgerEntry, admits, check_holding, pieces
from soundstage.engines.records.port import KEY_CEILING, PARTITION_MAX_BYTES, Budget, Row
from soundstage.engines.records.tombstones import Fragments, covering, greatest

WRITE_BYTES = 1 << 20
"""Of rows in one write at most, but for a single larger one."""

TRIES_MAX = 20

LOOKED_NS, LOOKED_ENDS_NS = 15_000_000_000, 60_000_000_000
"""How long a look at the fence is good for, and when what began on its word must have ended."""

_parse = msgspec.msgpack.Decoder(tuple[bytes, int, bytes]).decode
_partition_of = itemgetter(0)


class Place(NamedTuple):
    """Where in a partition a dump goes on; rows are in the order of their kinds and keys."""

    kind: int = schema.ITEM
    key: bytes = b""


BEGINNING = Place()


class Covers(NamedTuple):
    """What a partition shares, and the rows of its deleted ranges."""

    statics: Statics
    rows: Sequence[Any]

    def agrees(self, other: Covers) -> bool:
        """Whether nothing was deleted between the two; writes of rows alone are no matter."""
        return (self.statics.tombstone, self.rows) == (other.statics.tombstone, other.rows)

    def fragments(self) -> Fragments:
        found = [deletions.parse_row(row[-2], row[-1]) for row in self.rows if row[-1]]
        return deletions.fragments_of(found, self.statics.tombstone)


class Taken:
    """What a page has taken, and what it may still take."""

    def __init__(self, budget: Budget) -> None:
        self.holdings: list[Holding] = []
        self._rows = budget.rows
        self._bytes = budget.bytes

    @property
    def is_full(self) -> bool:
        return self._rows <= 0 or self._bytes <= 0

    def take(self, partition: bytes, covers: Covers, rows: Sequence[Any]) -> Place | None:
        """A holding of these rows is taken; where the partition goes on if they do not fit."""
        statics, fragments = covers.statics, covers.fragments()
        if statics.newest is None:
            return None
        cells: list[Row] = []
        ledger: list[LedgerEntry] = []
        resume: Place | None = None
        self._count(len(partition) + sum(len(each.start) + len(each.cell) for each in fragments))
        seen = 0
        for *_, kind, key, cell in rows:
            if kind not in (schema.ITEM, schema.LEDGER):
                continue
            # A page without a row would not come on.
            if seen and self.is_full:
                resume = Place(kind, key)
                break
            seen += 1
            self._count(len(key) + len(cell))
            if kind == schema.LEDGER:
                ledger.append(LedgerEntry(key.decode(), int.from_bytes(cell[:STAMP_BYTES], "big"), cell[STAMP_BYTES:]))
            elif (over := greatest(statics.tombstone, covering(fragments, key))) is None or over <= cell:
                cells.append((key, cell))
        self.holdings.append(
            Holding(
                partition=partition,
                newest=statics.newest,
                tombstone=statics.tombstone,
                ranges=fragments,
                cells=cells,
                ledger=ledger,
            )
        )
        return resume

    def page(self, partition: bytes, place: Place) -> HoldingsPage:
        return HoldingsPage(self.holdings, msgspec.msgpack.encode((partition, *place)))

    def _count(self, size: int) -> None:
        self._rows -= 1
        self._bytes -= size


class Looks:
    """Looks at a fence, and for how long writes may go out on the word of the last one."""

    def __init__(self, requests: Requests, look: Callable[[], Awaitable[None]]) -> None:
        self.look: Callable[[], Awaitable[None]] = look
        self._requests = requests
        self._began_ns: int | None = None
        self._refusal: SoundstageError | None = None
        self._looking = asyncio.Lock()

    async def until_ns(self) -> int:
        """When a write that begins at this moment is given up. Raises what `look` raised.

        Of many that ask at once one looks, for all of them.
        """
        began_ns = self._began_ns
        if began_ns is None or self._is_old(began_ns):
            async with self._looking:
                began_ns = await self._looked()
        return min(began_ns + LOOKED_ENDS_NS, self._requests.until(None))

    async def _looked(self) -> int:
        """When the last look began; one that was refused is for good."""
        if self._refusal is not None:
            raise self._refusal
        if self._began_ns is None or self._is_old(self._began_ns):
            began_ns = self._requests.now_ns()
            try:
                await self.look()
            except SoundstageError as refused:
                self._refusal = refused
                raise
            self._began_ns = began_ns
        return self._began_ns

    def _is_old(self, began_ns: int) -> bool:
        return self._requests.is_late(began_ns + LOOKED_NS)


class Transfer:
    """Dumps and loads tables of both kinds."""

    def __init__(
        self,
        catalogue: Catalogue,
        requests: Requests,
        walker: Walker,
        writer: Writer,
        decider: Decider,
    ) -> None:
        self._catalogue = catalogue
        self._requests = requests
        self._walker = walker
        self._writer = writer
        self._decider = decider

    async def dump(self, table: Table, position: bytes | None, budget: Budget) -> HoldingsPage:
        """See `Transfers`."""
        taken, first = Taken(budget), RING_LOW
        level = self._requests.levels(table.spec).whole
        limit = self._walker.limit(table, budget)
        if position is not None:
            partition, place = parsed(position)
            ended = await self._rest(table, partition, place, limit, taken)
            if ended is not None:
                return ended
            first = self._walker.token(table, partition) + 1
        while first <= RING_HIGH:
            found = await self._walker.rows(table, table.statements.held, first, RING_HIGH, limit, level=level)
            first = found.high + 1
            for partition, rows, is_last in _partitions(found.rows):
                if taken.is_full:
                    return taken.page(partition, BEGINNING)
                if is_last and not found.is_whole:
                    ended = await self._rest(table, partition, BEGINNING, limit, taken)
                    if ended is not None:
                        return ended
                    first = self._walker.token(table, partition) + 1
                    continue
                ranges = [row for row in rows if row[-3] == schema.RANGE]
                resume = taken.take(partition, Covers(Statics(*rows[0][1:5]), ranges), rows)
                if resume is not None:
                    return taken.page(partition, resume)
        return HoldingsPage(taken.holdings, None)

    async def load(self, table: Table, holdings: Sequence[Holding], fence: int | None) -> None:
        """See `Transfers`.

        For a table without conditions the fence is looked at before each piece and again every few seconds, and
        nothing is sent on the word of a look that is a minute old: what a hung process had in hand goes nowhere. What
        it did send may arrive late, and changes nothing then: it is older than what was written since, and what was
        deleted since is hidden by Cassandra's own tombstones for ten days.
        """
        self._requests.check_decides(table.spec)
        for holding in holdings:
            check_holding(holding)
        loads = [self._load(table, piece, fence) for piece in pieces(holdings)] or [self._check(table, fence)]
        await together(loads)

    async def admit(self, table: Table, fence: int, least: int | None) -> None:
        """See `Transfers`."""
        while True:
            known = await self._catalogue.fence(table)
            if not admits(known, fence, least):
                raise refusals.fenced_out(table.spec.name)
            if known == fence or await self._catalogue.set_fence(table, known, fence):
                return

    async def _load(self, table: Table, piece: Sequence[Holding], fence: int | None) -> None:
        looks = Looks(self._requests, lambda: self._check(table, fence))
        if not table.conditional:
            await looks.until_ns()
        await together(self._load_one(table, holding, looks) for holding in piece)

    async def _load_one(self, table: Table, holding: Holding, looks: Looks) -> None:
        for portion in writes_of(holding):
            if table.conditional:
                await self._decider.load(table, portion, looks.look)
            else:
                until_ns = await looks.until_ns()
                with patient(None):
                    await self._writer.load(table, portion, until_ns)

    async def _check(self, table: Table, fence: int | None) -> None:
        if await self._catalogue.fence(table) != fence:
            raise refusals.fenced_out(table.spec.name)

    async def _rest(
        self, table: Table, partition: bytes, place: Place, limit: int, taken: Taken
    ) -> HoldingsPage | None:
        """The page ends in what is left of a partition, or in those at the very same token; None where it does not."""
        behind = await self._walker.neighbours(table, partition, whole=True)
        for each, begin in [(partition, place), *((one, BEGINNING) for one in behind)]:
            if taken.is_full:
                return taken.page(each, begin)
            covers, rows = await self._part(table, each, begin, limit)
            resume = taken.take(each, covers, rows)
            if resume is None and len(rows) >= limit:
                resume = Place(rows[-1][-3], rows[-1][-2] + b"\0")
            if resume is not None:
                return taken.page(each, resume)
        return None

    async def _part(self, table: Table, partition: bytes, begin: Place, limit: int) -> tuple[Covers, Sequence[Any]]:
        values, level = (table.number, partition, *begin, limit), self._requests.levels(table.spec).whole
        before = await self._covers(table, partition)
        for _ in range(TRIES_MAX):
            try:
                rows = await self._requests.read(table.statements.rest, values, level=level)
            except TooManyTombstones:
                raise Unavailable(
                    "one record has too many deleted rows", hint="compact the table in Cassandra"
                ) from None
            after = await self._covers(table, partition)
            if after.agrees(before):
                # What was accepted last may be greater than the rows by now, and must not be ahead of them.
                return before, rows
            before = after
        raise Unavailable("the record is deleted from faster than it can be read", hint="repeat the call")

    async def _covers(self, table: Table, partition: bytes) -> Covers:
        values, level = (table.number, partition), self._requests.levels(table.spec).whole
        try:
            rows = await self._requests.read(table.statements.kind, (*values, schema.RANGE), level=level)
        except TooManyTombstones:
            # A record that is trimmed all the time: what hides is Cassandra's own.
            rows = []
        header = rows or await self._requests.read(table.statements.header, values, level=level)
        statics = Statics(*header[0][:4]) if header else Statics()
        return Covers(statics, [row[-2:] for row in rows if row[-1] is not None])


def _partitions(rows: Sequence[Any]) -> Iterator[tuple[bytes, list[Any], bool]]:
    groups = [(partition, list(group)) for partition, group in groupby(rows, _partition_of)]
    for partition, group in groups:
        yield partition, group, group is groups[-1][1]


def writes_of(holding: Holding) -> Iterator[Holding]:
    """The same in parts that are small enough for one write each."""
    first, *rest = list(portions(holding.cells, lambda row: len(row[0]) + len(row[1]), WRITE_BYTES)) or [[]]
    yield msgspec.structs.replace(holding, cells=first)
    for cells in rest:
        yield Holding(partition=holding.partition, newest=holding.newest, cells=cells)


def parsed(position: bytes) -> tuple[bytes, Place]:
    try:
        partition, kind, key = _parse(position)
        fits = 1 <= len(partition) <= PARTITION_MAX_BYTES and len(key) <= len(KEY_CEILING)
    except msgspec.MsgspecError:
        fits = False
        partition, kind, key = b"", 0, b""
    if not fits or kind not in (schema.ITEM, schema.LEDGER):
        raise InvalidArgument("the position is none that a dump returned", field="position")
    return partition, Place(kind, key)
