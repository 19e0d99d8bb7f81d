"""All that an engine holds, taken to another engine while the first goes on being written.

A round reads everything the source keeps and loads what may have come since the round before began: versions carry
their times, and none is accepted that is older than its table allows. Loading twice changes nothing, so rounds may
overlap and be repeated. The last round is of a source that nobody writes to any more, and is proven.

Nothing is purged from either engine from the first round to the last: what was deleted meanwhile could otherwise be
forgotten by the source before a round saw it, and live on in the target.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import NamedTuple

import msgspec

from soundstage.core import version
from soundstage.core.environment import Environment
from soundstage.core.errors import AlreadyExists, DataLoss, InvalidArgument, NotFound
from soundstage.engines.records.holdings import Holding, Transfers
from soundstage.engines.records.port import IN_FLIGHT_MAX_US, Capability, Records, TableSpec
from soundstage.runtime.transfer.reading import Compute, Place, Reading, transfers_of
from soundstage.runtime.transfer.tally import Tally

ROUNDS_MAX = 8
SHORT_US = 10_000_000
"""A round that took no longer leaves little to the next."""


class Round(msgspec.Struct, frozen=True):
    """What one round did. All that was acknowledged before `began_us` is in the target."""

    began_us: int
    took_us: int
    tables: int
    records: int
    items: int
    bytes: int
    loaded: int


class _Read(NamedTuple):
    """A table as one round found it."""

    at_us: int
    tally: Tally
    unsteady: frozenset[bytes]


class EngineCopy:
    """Brings `target`, which holds nothing else, to where `source` is.

    `housing` says which tables are to have other settings in the target than they have in the source.
    """

    def __init__(
        self,
        source: Records,
        target: Records,
        environment: Environment,
        compute: Compute,
        housing: Callable[[], Awaitable[Mapping[str, TableSpec]]] | None = None,
    ) -> None:
        self._from = source
        self._to = target
        self._source: Transfers = transfers_of(source, "of the source", "from")
        self._target: Transfers = transfers_of(target, "of the target", "to")
        self._environment = environment
        self._compute = compute
        self._housing = housing
        self._read: dict[str, _Read] = {}

    async def begin(self) -> None:
        """The first round may follow. Raises `AlreadyExists` unless the target holds no table."""
        there = await self._to.tables()
        if there:
            raise AlreadyExists(
                f"the target holds tables already, such as {there[0].name!r}",
                field="to",
                hint="copy into a keyspace, a space or a folder of its own; with --since go on with an earlier copy",
            )
        takes = Capability.CONDITIONAL in self._to.capabilities
        if not takes and any(spec.conditional for spec in (await self._housed()).values()):
            raise InvalidArgument("the target takes no conditional writes", field="to", hint="choose another engine")

    async def follow(self, since_us: int | None = None) -> list[Round]:
        """A first round, and further ones until they are short; the source may be written all the while."""
        rounds = [await self.round(since_us)]
        while len(rounds) < 2 or (rounds[-1].took_us > SHORT_US and len(rounds) < ROUNDS_MAX):
            rounds.append(await self.round(rounds[-1].began_us))
        return rounds

    async def round(self, since_us: int | None) -> Round:
        """Everything acknowledged before this began is in the target, if all before `since_us` was; None: nothing."""
        began_us = self._environment.now_us()
        specs, housed = await self._from.tables(), await self._housed()
        known = {spec.name for spec in await self._to.tables()}
        for name in known - {spec.name for spec in specs}:
            await self._to.drop_table(name)
        loaded = 0
        self._read = {}
        for spec in specs:
            # Before anything of it is read.
            await self._from.set_purge_floor(spec.name, 0)
            await self._to.create_table(housed.get(spec.name, spec))
            await self._to.set_purge_floor(spec.name, 0)
            horizon_us = 0
            if since_us is not None and spec.name in known:
                horizon_us = max(0, since_us - spec.max_lag_us - IN_FLIGHT_MAX_US)
            loaded += await self._take(spec, horizon_us)
        found = [each.tally for each in self._read.values()]
        return Round(
            began_us=began_us,
            took_us=self._environment.now_us() - began_us,
            tables=len(specs),
            records=sum(each.records for each in found),
            items=sum(each.items for each in found),
            bytes=sum(each.size for each in found),
            loaded=loaded,
        )

    async def finish(self, since_us: int | None) -> Round:
        """The target is as the source, which nobody writes to, proven by a checksum over all that lasts.

        Both purge again from then on. Raises `DataLoss`; the target is then of no use.
        """
        if since_us is not None and not await self._to.tables():
            raise NotFound("the target holds nothing yet", field="to", hint="begin without --since")
        done = await self.round(since_us)
        for name, read in self._read.items():
            found = await self._counted(name, read)
            if not found.agrees(read.tally):
                raise DataLoss(
                    f"{found.items} items of the table {name} arrived that do not add up to the "
                    f"{read.tally.items} that were read",
                    hint="see that nobody writes to either engine; give the copy up and begin again",
                )
        await self._release(self._to, self._read)
        await self._release(self._from, self._read)
        return done

    async def give_up(self) -> None:
        """The source purges again, and the target holds nothing."""
        await self._release(self._from, [spec.name for spec in await self._from.tables()])
        for spec in await self._to.tables():
            await self._to.drop_table(spec.name)

    async def _housed(self) -> dict[str, TableSpec]:
        """The tables of the source, as they are in the target."""
        asked: Mapping[str, TableSpec] = {} if self._housing is None else await self._housing()
        return {spec.name: _settled(spec, asked.get(spec.name, spec)) for spec in await self._from.tables()}

    async def _take(self, spec: TableSpec, horizon_us: int) -> int:
        place = Place(self._environment.now_us())
        reading = Reading(self._source, [spec.name], place, self._compute)
        loaded = 0
        async with aclosing(reading.pages()) as pages:
            async for page in pages:
                later = [found for each in page.holdings if (found := later_than(each, horizon_us)) is not None]
                if later:
                    await self._target.load(spec.name, later)
                loaded += sum(len(each.cells) for each in later)
        self._read[spec.name] = _Read(place.at_us, place.tally, frozenset(place.unsteady))
        return loaded

    async def _counted(self, name: str, read: _Read) -> Tally:
        place = Place(read.at_us)
        reading = Reading(self._target, [name], place, self._compute, read.unsteady)
        async with aclosing(reading.pages()) as pages:
            async for _ in pages:
                pass
        return place.tally

    async def _release(self, records: Records, names: Sequence[str] | Mapping[str, _Read]) -> None:
        for name in names:
            await records.set_purge_floor(name, None)


def _settled(spec: TableSpec, asked: TableSpec) -> TableSpec:
    """`asked`, but that writes may arrive as late as they may in `spec`."""
    return msgspec.structs.replace(asked, max_lag_us=max(spec.max_lag_us, asked.max_lag_us))


def later_than(holding: Holding, horizon_us: int) -> Holding | None:
    """What of `holding` is of `horizon_us` or later; None where nothing is."""
    if horizon_us <= 0:
        return holding
    tombstone = holding.tombstone
    found = msgspec.structs.replace(
        holding,
        tombstone=tombstone if tombstone is not None and version.time_us(tombstone) >= horizon_us else None,
        ranges=[each for each in holding.ranges if version.time_us(each.cell) >= horizon_us],
        cells=[row for row in holding.cells if version.time_us(row[1]) >= horizon_us],
        ledger=[entry for entry in holding.ledger if entry.stamp_us >= horizon_us],
    )
    holds = found.tombstone is not None or found.ranges or found.cells or found.ledger
    return found if holds or version.time_us(holding.newest) >= horizon_us else None
