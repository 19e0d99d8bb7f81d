"""The tables of one space: their names, numbers and settings, as all its engines agree on them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextlib import suppress
from typing import Any

import msgspec
from msgspec import UNSET

from soundstage.core.environment import Environment
from soundstage.core.errors import DeadlineExceeded, InvalidArgument, SoundstageError, Unavailable
from soundstage.engines.records import refusals
from soundstage.engines.records.cassandra import schema
from soundstage.engines.records.cassandra.failures import Failed, patient
from soundstage.engines.records.cassandra.levels import is_eventual
from soundstage.engines.records.cassandra.link import Link
from soundstage.engines.records.cassandra.requests import Requests
from soundstage.engines.records.cassandra.statements import Ledgers, Statements, statements
from soundstage.engines.records.port import TableSpec

REFRESH_NS = 5_000_000_000
"""How long after another process made, changed or dropped a table this one may still not know."""

TRIES_MAX = 100
DROPPED_AT_ONCE = 100

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(TableSpec).decode


class Table:
    """A table of the port. `row_bytes` is what its rows had of late, for pages that are asked for by their number."""

    def __init__(self, spec: TableSpec, number: int, floor_us: int | None, found: Statements) -> None:
        self.spec: TableSpec = spec
        self.number: int = number
        self.floor_us: int | None = floor_us
        self.statements: Statements = found
        self.row_bytes: float = 1_024.0

    @property
    def conditional(self) -> bool:
        return self.spec.conditional

    @property
    def eventual(self) -> bool:
        return is_eventual(self.spec)

    @property
    def serial(self) -> bool:
        # Where writes are not decided among the replicas, such a read has nothing to decide.
        return self.spec.serial is True and self.spec.conditional


class Catalogue:
    """What is known of it; read anew now and then, and whenever a name is not known."""

    def __init__(self, link: Link, space: str, requests: Requests, ledgers: Ledgers, environment: Environment) -> None:
        self.by_number: dict[int, Table] = {}
        self._by_name: dict[str, Table] = {}
        self._link = link
        self._space = space
        self._requests = requests
        self._ledgers = ledgers
        self._environment = environment
        self._read_ns = 0
        self._aside: asyncio.Future[None] | None = None

    async def close(self) -> None:
        """Nothing of it is under way."""
        if self._aside is not None:
            self._aside.cancel()
            await asyncio.wait((self._aside,))

    async def table(self, name: str, deadline_ns: int | None = None) -> Table:
        """The table called `name`; `NotFound` where there is none.

        One that is known is told when the deadline passes first: the call itself then finds that it is late.
        """
        self._requests.check_open()
        known = self._by_name.get(name)
        if known is None:
            await self.read(deadline_ns)
        elif known.eventual or known.spec.scope == "local":
            self._refresh_aside()
        else:
            with suppress(DeadlineExceeded):
                await self.refresh(deadline_ns)
        found = self._by_name.get(name)
        if found is None:
            raise refusals.no_table(name)
        return found

    async def refresh(self, deadline_ns: int | None = None) -> None:
        """What is known is at most a few seconds old; one call, if it has the time, reads it for all that ask then."""
        if self._is_old() and not self._requests.is_late(deadline_ns):
            await self.read(deadline_ns)

    def _is_old(self) -> bool:
        return self._environment.monotonic_ns() - self._read_ns > REFRESH_NS

    def _refresh_aside(self) -> None:
        """As `refresh`, for who does not wait: fewer replicas are enough for the table than keep the catalogue."""
        if self._is_old() and (self._aside is None or self._aside.done()):
            self._aside = asyncio.ensure_future(self._refresh_quietly())

    async def _refresh_quietly(self) -> None:
        with suppress(SoundstageError):
            await self.read()

    async def read(self, deadline_ns: int | None = None) -> list[Table]:
        """All tables, by name, as they are."""
        self._requests.check_open()
        self._read_ns = self._environment.monotonic_ns()
        rows = await self._requests.read_serially(self._ledgers.tables, (self._space,), deadline_ns)
        found: dict[str, Table] = {}
        for name, number, spec, floor_us in rows:
            # A setting that changes while its table goes may stand there alone.
            if spec is not None and number is not None:
                found[name] = await self._table(_decode(spec), number, floor_us)
        self._by_name = found
        self.by_number = {table.number: table for table in found.values()}
        return [found[name] for name in sorted(found)]

    async def create(self, spec: TableSpec) -> None:
        """See `Records.create_table`."""
        self._requests.check_open()
        if spec.conditional:
            self._check_paxos()
            if spec.scope == "local" and spec.region is UNSET:
                spec = msgspec.structs.replace(spec, region=self._link.region)
        for _ in range(TRIES_MAX):
            rows = await self._requests.read_serially(self._ledgers.table, (self._space, spec.name))
            if rows and rows[0][1] is not None:
                number, known = rows[0][0], _decode(rows[0][1])
                refusals.check_fixed_settings(known, spec)
                # Where it is decided was settled when it was made.
                spec = msgspec.structs.replace(spec, region=known.region)
                if known == spec or await self._update(number, spec):
                    break
            elif await self._add(spec):
                break
        else:
            raise _contested()
        await self.read()

    async def drop(self, name: str) -> None:
        """See `Records.drop_table`. Rows in a shared table are erased by and by; nobody can read them."""
        self._requests.check_open()
        rows = await self._requests.read_serially(self._ledgers.table, (self._space, name))
        if rows and rows[0][1] is not None:
            number, spec = rows[0][0], _decode(rows[0][1])
            place = _place(spec, number)
            # What is marked and in no catalogue is finished by whoever sweeps, if this process dies.
            await self._mark(number, place)
            await self._decided(self._ledgers.remove_table, (self._space, name, number))
            await self._remove_fence(number)
            if spec.dedicated:
                await self._unmake(number, place)
        await self.read()

    async def set_floor(self, name: str, floor_us: int | None) -> None:
        """See `Records.set_purge_floor`."""
        table = await self.table(name)
        await self._decided(self._ledgers.set_floor, (floor_us, self._space, name, table.number))
        table.floor_us = floor_us

    async def fence(self, table: Table) -> int | None:
        """The fence that loads are taken under, as all engines see it."""
        rows = await self._requests.read_serially(self._ledgers.fence, (table.number,))
        return rows[0][0] if rows else None

    async def set_fence(self, table: Table, known: int | None, fence: int) -> bool:
        """Whether `fence` took the place of `known`; it has not where another was faster."""
        if known is None:
            return await self._decided(self._ledgers.first_fence, (table.number, fence))
        return await self._decided(self._ledgers.next_fence, (fence, table.number, known))

    async def dropped(self, leave: Collection[int] = ()) -> Table | None:
        """A table that was dropped and whose rows are still to be erased from one that others share.

        It is none of those whose numbers are in `leave`.
        """
        found = await self._requests.read(self._ledgers.dropped, (self._space, DROPPED_AT_ONCE + len(leave)))
        rows = [row for row in found if row[0] not in leave]
        if not rows:
            return None
        # Who was to drop one may have failed before it did.
        await self.read()
        for number, place in rows:
            if number in self.by_number:
                continue
            if place in (schema.ROWS, schema.PAXOS):
                return Table(TableSpec(name=f"dropped/{number}"), number, None, await statements(self._link, place))
            await self._unmake(number, place)
        return None

    async def _unmake(self, number: int, place: str) -> None:
        """The table in Cassandra that nobody shared is gone."""
        await self._link.change_schema(schema.drop(self._link.address.keyspace, place))
        await self.forget_dropped(number)

    async def forget_dropped(self, number: int) -> None:
        """Its rows have been erased."""
        await self._remove_fence(number)
        await self._requests.write(self._ledgers.remove_dropped, (self._space, number))

    async def _mark(self, number: int, place: str) -> None:
        await self._requests.write(self._ledgers.add_dropped, (self._space, number, place))

    async def _remove_fence(self, number: int) -> None:
        if await self._requests.read_serially(self._ledgers.fence, (number,)):
            await self._decided(self._ledgers.remove_fence, (number,))

    async def _add(self, spec: TableSpec) -> bool:
        number = await self._take_number()
        place = _place(spec, number)
        keyspace = self._link.address.keyspace
        if spec.dedicated:
            await self._link.change_schema(schema.make_rows(keyspace, place, spec.max_lag_us))
        await self._lengthen_grace(spec, place)
        if await self._decided(self._ledgers.add_table, (self._space, spec.name, number, _encode(spec))):
            return True
        if spec.dedicated:
            await self._unmake_second(spec.name, number, place)
        return False

    async def _unmake_second(self, name: str, number: int, place: str) -> None:
        """A table that was made in vain, as another had made one of that name first, is gone."""
        rows = await self._requests.read_serially(self._ledgers.table, (self._space, name))
        # An attempt of unknown outcome may have been applied all the same.
        if not rows or rows[0][0] != number:
            await self._mark(number, place)
            await self._unmake(number, place)

    async def _update(self, number: int, spec: TableSpec) -> bool:
        await self._lengthen_grace(spec, _place(spec, number))
        return await self._decided(self._ledgers.set_spec, (_encode(spec), self._space, spec.name, number))

    async def _lengthen_grace(self, spec: TableSpec, place: str) -> None:
        """A table is never made to forget sooner, for others may share it."""
        if schema.grace_s(spec.max_lag_us) > self._link.grace_s(place):
            await self._link.change_schema(schema.lengthen_grace(self._link.address.keyspace, place, spec.max_lag_us))

    async def _take_number(self) -> int:
        for _ in range(TRIES_MAX):
            rows = await self._requests.read_serially(self._ledgers.number, ())
            if not rows:
                if await self._decided(self._ledgers.first_number, ()):
                    return 1
            elif await self._decided(self._ledgers.next_number, (rows[0][0] + 1, rows[0][0])):
                return rows[0][0] + 1
        raise _contested()

    async def _decided(self, statement: Any, values: tuple[Any, ...]) -> bool:
        """Whether a lightweight write was applied. One of unknown outcome is tried again, and then may find itself."""
        until_ns, tried = self._requests.until(None), 0
        with patient(None):
            while True:
                try:
                    applied, _ = await self._requests.decide([(statement, values)], until_ns)
                    return applied
                except Failed as error:
                    await self._requests.undecided(error.cause, tried, until_ns)
                    tried += 1

    async def _table(self, spec: TableSpec, number: int, floor_us: int | None) -> Table:
        known = self.by_number.get(number)
        if known is None:
            return Table(spec, number, floor_us, await statements(self._link, _place(spec, number)))
        known.spec, known.floor_us = spec, floor_us
        return known

    def _check_paxos(self) -> None:
        found = self._link.settings.paxos
        if self._link.address.options.paxos == "v2" and found != "v2":
            raise InvalidArgument(
                f"tables that take conditions need Paxos v2, and the cluster runs {found or 'an unknown one'}",
                field="conditional",
                hint="set paxos_variant: v2 and paxos_state_purging: repaired in cassandra.yaml of every node",
            )


def _contested() -> Unavailable:
    return Unavailable("too many tables are being made at once", hint="repeat the call", outcome="not_applied")


def _place(spec: TableSpec, number: int) -> str:
    return schema.name_of(number, conditional=spec.conditional, dedicated=spec.dedicated)
