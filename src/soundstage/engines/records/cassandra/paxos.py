"""Writes of tables that take conditions: each is one lightweight transaction on its partition.

A write reads what it touches after everything that was decided, works out here what it comes to, and takes the
partition's next revision. Who took that revision meanwhile makes it begin again. Times of cells are Cassandra's own
in these tables and mean nothing; deleted ranges and records are rows, and readers apply them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from soundstage.core import version
from soundstage.core.environment import Environment
from soundstage.core.errors import Outcome, SoundstageError, Unavailable
from soundstage.core.turns import Turns
from soundstage.engines.records import refusals
from soundstage.engines.records.batches import Survey, check_batch, restamped
from soundstage.engines.records.cassandra import deletions, schema
from soundstage.engines.records.cassandra.catalogue import Table
from soundstage.engines.records.cassandra.due import WHOLE, Agenda, Entry
from soundstage.engines.records.cassandra.failures import Failed, Overgrown, TooManyTombstones, patient, remember
from soundstage.engines.records.cassandra.reading import Reader, Statics
from soundstage.engines.records.cassandra.requests import Requests
from soundstage.engines.records.holdings import Holding, batch_of
from soundstage.engines.records.port import (
    ALL,
    Batch,
    Budget,
    Cell,
    Condition,
    Conditional,
    RangeDelete,
    Stamp,
)
from soundstage.engines.records.tombstones import covering, greatest

Statement = tuple[Any, tuple[Any, ...]]

STAMP_BYTES = 8
ROWS_AT_ONCE = 200
SENTINEL_KEY = b""


class State(NamedTuple):
    """What a write finds: what the partition shares, its deleted ranges, and the rows that were asked for."""

    statics: Statics
    ranges: Sequence[RangeDelete]
    rows: dict[tuple[int, bytes], Cell]

    @property
    def newest(self) -> bytes:
        return self.statics.newest or b""


class Change(NamedTuple):
    """What becomes of a partition. `entries` bring the sweeper back to what may be forgotten some day."""

    statics: Statics
    statements: list[Statement]
    entries: list[Entry]


class Decider:
    """Applies batches to tables that take conditions."""

    def __init__(self, requests: Requests, agenda: Agenda, reader: Reader, environment: Environment) -> None:
        self._requests = requests
        self._agenda = agenda
        self._reader = reader
        self._environment = environment
        self._turns = Turns[tuple[int, bytes]]()

    async def apply(
        self,
        table: Table,
        partition: bytes,
        batch: Batch,
        survey: Survey,
        asked: Conditional | None,
        deadline_ns: int | None,
    ) -> int:
        """The batch was accepted, or had been before; the time that it was stamped with."""
        keys = [(schema.ITEM, key) for key in survey.keys]
        if asked is not None:
            keys += [(schema.ITEM, each.key) for each in asked.conditions if each.key is not None]
        token = version.token(survey.greatest) if asked is None else asked.token
        keys.append((schema.LEDGER, token.encode()))
        stamp_us = version.time_us(survey.greatest)

        async def decide(state: State) -> Change | int:
            if asked is None:
                _check_unrecorded(state, survey)
                return self._accepted(table, partition, state, batch, survey, None)
            recorded = _recorded(state, asked)
            if recorded is not None:
                return recorded
            nonlocal stamp_us
            stamp_us = await self._passed(table, partition, state, survey, asked, deadline_ns)
            ours = restamped(batch, stamp_us)
            return self._accepted(table, partition, state, ours, check_batch(ours), asked)

        done = await self._turn(table, partition, keys, bool(batch.ranges), decide, deadline_ns)
        return stamp_us if done is None else done

    async def load(self, table: Table, holding: Holding, check: Callable[[], Awaitable[None]]) -> None:
        """What the partition keeps, and `holding` besides.

        `check` raises where nothing may be written. It is asked after the partition was read: whoever takes the table
        over, and then changes the partition, changes its revision.
        """
        keys = [(schema.ITEM, key) for key, _ in holding.cells]
        keys += [(schema.LEDGER, entry.token.encode()) for entry in holding.ledger]

        async def decide(state: State) -> Change:
            await check()
            return self._loaded(table, state, holding)

        await self._turn(table, holding.partition, keys, True, decide, None)

    async def remove(
        self, table: Table, partition: bytes, entries: Sequence[Entry], due: Callable[[Cell], bool]
    ) -> int:
        """What entries tell of is gone where it is still the same and `due`; how many things went.

        What a deleted range or record still hides goes before it.
        """
        found = 0
        for at in range(0, len(entries), ROWS_AT_ONCE):
            part = entries[at : at + ROWS_AT_ONCE]
            keys = [(each.kind, each.key) for each in part if each.kind in (schema.ITEM, schema.LEDGER)]
            covers = [each for each in part if each.kind in (schema.RANGE, WHOLE)]
            for _ in covers[:1]:
                found += await self._clear(table, partition)
            count = 0

            async def decide(state: State, part: Sequence[Entry] = part) -> Change | int:
                nonlocal count
                change, count = self._forgotten(table, partition, state, part, due)
                return change

            await self._turn(table, partition, keys, bool(covers), decide, None)
            found += count
        return found

    async def _turn(
        self,
        table: Table,
        partition: bytes,
        keys: Sequence[tuple[int, bytes]],
        with_ranges: bool,
        decide: Callable[[State], Any],
        deadline_ns: int | None,
    ) -> int | None:
        """What `decide` makes of the partition has become of it; a number that it answers instead is returned."""
        until_ns = self._requests.until(deadline_ns)
        with patient(deadline_ns):
            async with self._turns.at((table.number, partition), self._requests.left_s(until_ns)):
                return await self._decided(table, partition, keys, with_ranges, decide, until_ns)

    async def _decided(
        self,
        table: Table,
        partition: bytes,
        keys: Sequence[tuple[int, bytes]],
        with_ranges: bool,
        decide: Callable[[State], Any],
        until_ns: int,
    ) -> int | None:
        """As `_turn`, for whose turn it is in this process."""
        outcome: Outcome = "not_applied"
        tried = 0
        try:
            while True:
                try:
                    state = await self._state(table, partition, keys, with_ranges, until_ns)
                except TooManyTombstones:
                    raise Overgrown from None
                change = await decide(state)
                if isinstance(change, int):
                    return change
                if not change.statements and change.statics == state.statics:
                    return None
                await self._agenda.add(table, change.entries, until_ns)
                try:
                    applied, _ = await self._requests.decide(
                        self._batch(table, partition, state, change), until_ns, self._requests.levels(table.spec)
                    )
                except Failed as failed:
                    if await self._requests.undecided(failed.cause, tried, until_ns) == "unknown":
                        outcome = "unknown"
                    tried += 1
                    continue
                if applied:
                    return None
                if self._requests.is_late(until_ns):
                    raise _contested()
        except SoundstageError as last:
            remember(last, outcome)
            raise

    def _batch(self, table: Table, partition: bytes, state: State, change: Change) -> list[Statement]:
        newest, tombstone, ranges, _ = change.statics
        rev = state.statics.rev
        turn = ((rev or 0) + 1, newest, tombstone, ranges, table.number, partition, rev)
        statements: list[Statement] = [(table.statements.turn, turn)]
        if rev is None:
            # A row that is there whenever the partition is, so that reads of single keys find what is static.
            values = (table.number, partition, schema.SENTINEL, SENTINEL_KEY, b"")
            statements.append((table.statements.set, values))
        return statements + change.statements

    async def _state(
        self,
        table: Table,
        partition: bytes,
        keys: Sequence[tuple[int, bytes]],
        with_ranges: bool,
        deadline_ns: int,
    ) -> State:
        """What is decided, of one moment: all reads of it find the same revision."""
        number, known, level = table.number, table.statements, self._requests.levels(table.spec).serial
        asked = [(schema.SENTINEL, SENTINEL_KEY), *dict.fromkeys(keys)]
        while True:
            rows = await self._requests.read_serially(
                known.touched, (number, partition, asked), deadline_ns, level=level
            )
            if not rows:
                return State(Statics(), (), {})
            statics = Statics(*rows[0][:4])
            found = {(kind, key): cell for *_, kind, key, cell in rows}
            if not statics.ranges:
                return State(statics, (), found)
            values = (number, partition, schema.RANGE)
            ranges = await self._requests.read_serially(known.kind, values, deadline_ns, level=level)
            if ranges and ranges[0][3] == statics.rev:
                return State(statics, [deletions.parse_row(row[-2], row[-1]) for row in ranges], found)
            if self._requests.is_late(deadline_ns):
                raise _contested()

    def _accepted(
        self,
        table: Table,
        partition: bytes,
        state: State,
        batch: Batch,
        survey: Survey,
        asked: Conditional | None,
    ) -> Change:
        """What the partition becomes when the batch is accepted."""
        tombstone = greatest(state.statics.tombstone, batch.partition)
        plan = deletions.plan(state.ranges, batch.ranges, tombstone, table.spec.max_lag_us)
        entries: list[Entry | None] = []
        statements: list[Statement] = []
        if tombstone is not None and tombstone != state.statics.tombstone:
            entries.append(self._agenda.entry(table, partition, WHOLE, b"", tombstone))
        for row in plan.go:
            statements.append(self._unset(table, partition, schema.RANGE, deletions.row_key(row)))
        for row in plan.come:
            key = deletions.row_key(row)
            statements.append(self._set(table, partition, schema.RANGE, key, row.cell))
            entries.append(self._agenda.entry(table, partition, schema.RANGE, key, row.cell))
        for key, cell in batch.cells:
            known = state.rows.get((schema.ITEM, key), b"")
            over = greatest(tombstone, covering(plan.fragments, key))
            if known < cell and (over is None or over <= cell):
                statements.append(self._set(table, partition, schema.ITEM, key, cell))
                entries.append(self._agenda.entry(table, partition, schema.ITEM, key, cell))
        newest = max(state.newest, version.identity(survey.greatest))
        kept_rows = len(state.ranges) - len(plan.go) + len(plan.come)
        statics = Statics(newest, tombstone, bool(kept_rows) or None, state.statics.rev)
        change = Change(statics, statements, [each for each in entries if each is not None])
        if asked is not None:
            time_us = version.time_us(survey.greatest)
            kept = time_us.to_bytes(STAMP_BYTES, "big") + asked.digest
            self._enter(change, table, partition, time_us, asked.token, kept)
        return change

    def _loaded(self, table: Table, state: State, holding: Holding) -> Change:
        """What the partition becomes with all that `holding` tells of it."""
        found, partition = batch_of(holding), holding.partition
        if found is None:
            change = Change(state.statics, [], [])
        else:
            change = self._accepted(table, partition, state, *found, None)
        for entry in holding.ledger:
            token, kept = entry.token.encode(), entry.stamp_us.to_bytes(STAMP_BYTES, "big") + entry.digest
            if state.rows.get((schema.LEDGER, token)) != kept:
                self._enter(change, table, partition, entry.stamp_us, entry.token, kept)
        newest = max(change.statics.newest or b"", holding.newest)
        return change._replace(statics=change.statics._replace(newest=newest))

    def _enter(self, change: Change, table: Table, partition: bytes, stamp_us: int, token: str, kept: bytes) -> None:
        """An entry of the ledger is part of the change."""
        change.statements.append(self._set(table, partition, schema.LEDGER, token.encode(), kept))
        cell = version.delete(stamp_us, token)
        entry = self._agenda.entry(table, partition, schema.LEDGER, token.encode(), cell)
        change.entries.extend([] if entry is None else [entry])

    async def _passed(
        self,
        table: Table,
        partition: bytes,
        state: State,
        survey: Survey,
        asked: Conditional,
        deadline_ns: int | None,
    ) -> int:
        """All conditions hold; the time that the write is stamped with."""
        now_us = self._environment.now_us()
        for condition in asked.conditions:
            actual = await self._actual(table, partition, state, condition, now_us, deadline_ns)
            if actual != condition.stamp:
                raise refusals.condition_failed(condition, actual)
        stamp_us = version.time_us(survey.greatest)
        if state.newest:
            stamp_us = max(stamp_us, version.time_us(state.newest) + 1)
        if stamp_us > asked.limit_us:
            raise refusals.written_ahead(stamp_us)
        return stamp_us

    async def _actual(
        self,
        table: Table,
        partition: bytes,
        state: State,
        condition: Condition,
        now_us: int,
        deadline_ns: int | None,
    ) -> Stamp | None:
        if not state.newest:
            return None
        if condition.key is None:
            exists = condition.stamp is not None or await self._is_live(table, partition, now_us, deadline_ns)
            return Stamp(version.time_us(state.newest), version.token(state.newest)) if exists else None
        cell = state.rows.get((schema.ITEM, condition.key))
        fragments = deletions.fragments_of(state.ranges, state.statics.tombstone)
        over = greatest(state.statics.tombstone, covering(fragments, condition.key))
        if cell is None or not version.is_live(cell, now_us, over):
            return None
        return Stamp(version.time_us(cell), version.token(cell))

    async def _is_live(self, table: Table, partition: bytes, now_us: int, deadline_ns: int | None) -> bool:
        """Whether the record has a live item. If it has one no more, who took it has taken the revision as well."""
        span = ALL
        while True:
            page = await self._reader.page(table, partition, span, Budget(rows=1, deadline_ns=deadline_ns), now_us)
            if page.rows:
                return True
            if page.resume is None:
                return False
            if self._requests.is_late(deadline_ns):
                raise refusals.deadline_passed()
            span = type(span)(page.resume)

    def _forgotten(
        self, table: Table, partition: bytes, state: State, entries: Sequence[Entry], due: Callable[[Cell], bool]
    ) -> tuple[Change, int]:
        statements: list[Statement] = []
        tombstone, gone = state.statics.tombstone, 0
        ranges = {deletions.row_key(row): row for row in state.ranges}
        for entry in entries:
            if entry.kind == WHOLE:
                if tombstone is not None and version.time_us(tombstone) == entry.time_us and due(tombstone):
                    tombstone, gone = None, gone + 1
                continue
            if entry.kind == schema.LEDGER:
                there = (schema.LEDGER, entry.key) in state.rows
            elif entry.kind == schema.RANGE:
                row = ranges.get(entry.key)
                there = row is not None and version.time_us(row.cell) == entry.time_us and due(row.cell)
                if there:
                    del ranges[entry.key]
            else:
                cell = state.rows.get((schema.ITEM, entry.key))
                there = cell is not None and version.time_us(cell) == entry.time_us and due(cell)
            if there:
                statements.append(self._unset(table, partition, entry.kind, entry.key))
                gone += 1
        statics = Statics(state.statics.newest, tombstone, bool(ranges) or None, state.statics.rev)
        return Change(statics, statements, []), gone

    async def _clear(self, table: Table, partition: bytes) -> int:
        """No row is left that a deleted range or record hides."""
        start, removed = b"", 0
        while True:
            keys, resume = await self._reader.hidden(table, partition, start, ROWS_AT_ONCE)
            if keys:
                asked = [(schema.ITEM, key) for key in keys]

                async def decide(state: State, keys: Sequence[bytes] = keys) -> Change:
                    fragments = deletions.fragments_of(state.ranges, state.statics.tombstone)
                    gone = [
                        key
                        for key in keys
                        if (cell := state.rows.get((schema.ITEM, key))) is not None
                        and (over := greatest(state.statics.tombstone, covering(fragments, key))) is not None
                        and over > cell
                    ]
                    return Change(state.statics, [self._unset(table, partition, schema.ITEM, key) for key in gone], [])

                await self._turn(table, partition, asked, True, decide, None)
                removed += len(keys)
            if resume is None:
                return removed
            start = resume

    def _set(self, table: Table, partition: bytes, kind: int, key: bytes, cell: Cell) -> Statement:
        return table.statements.set, (table.number, partition, kind, key, cell)

    def _unset(self, table: Table, partition: bytes, kind: int, key: bytes) -> Statement:
        return table.statements.unset, (table.number, partition, kind, key)


def _recorded(state: State, asked: Conditional) -> int | None:
    """The stamp that this very call was answered with before; `TokenReused` if it was another one."""
    kept = state.rows.get((schema.LEDGER, asked.token.encode()))
    if kept is None:
        return None
    if kept[STAMP_BYTES:] != asked.digest:
        raise refusals.token_reused(asked.token)
    return int.from_bytes(kept[:STAMP_BYTES], "big")


def _check_unrecorded(state: State, survey: Survey) -> None:
    """Raise `TokenReused` where a write without conditions has the token of one that had some."""
    token = version.token(survey.greatest)
    kept = state.rows.get((schema.LEDGER, token.encode()))
    if kept is not None and version.time_us(survey.greatest) <= int.from_bytes(kept[:STAMP_BYTES], "big"):
        raise refusals.token_reused(token)


def _contested() -> Unavailable:
    return Unavailable(
        "others write the record all the time",
        hint="repeat the call, with the same token",
        outcome="not_applied",
    )
