"""Removes what is due. A row goes by a delete at its own time, which leaves whatever is written to it meanwhile.

What the entries of the agenda name is read before it goes: the row decides, not the entry. Where everything between
two keys of a partition is dead and due, it goes by one delete of the range.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from soundstage.core import version
from soundstage.core.environment import Environment
from soundstage.core.errors import Unavailable
from soundstage.core.together import together
from soundstage.engines.records.cassandra import deletions, schema
from soundstage.engines.records.cassandra.catalogue import Catalogue, Table
from soundstage.engines.records.cassandra.due import WHOLE, Agenda, Bucket, Entry
from soundstage.engines.records.cassandra.erasing import PARTITIONS_AT_ONCE, Eraser
from soundstage.engines.records.cassandra.failures import Overgrown, TooManyTombstones
from soundstage.engines.records.cassandra.paxos import Decider
from soundstage.engines.records.cassandra.reading import Reader
from soundstage.engines.records.cassandra.requests import Requests
from soundstage.engines.records.port import IN_FLIGHT_MAX_US, Cell, Sweep

BACKLOG_MAX = 2_000
"""Entries counted as backlog at most."""

PASSED_MAX = 20_000
"""Entries of one bucket that are passed over, because they must wait for longer."""

PASSED_OVERGROWN = 1_000
"""What a time with too many dead entries counts as: it is found out by many reads."""

KEYS_AT_ONCE = 200
RUN_MIN = 4
"""Dead rows next to each other that go as one range rather than one by one."""

OPEN_HOURS = 2
"""A bucket is closed so many hours after its own: until then somebody with a slow clock may add to it."""

SLOW_CLOCK_US = 600_000_000
"""What was done with is passed over for good only so long ago: until then somebody may add to it."""


class _Round:
    """What one sweep has done so far."""

    def __init__(self, budget_rows: int) -> None:
        self.budget = budget_rows
        self.purged = 0
        self.left = 0
        self.oldest_us: int | None = None

    def leave(self, entries: Sequence[Entry]) -> None:
        if entries:
            self.left = min(BACKLOG_MAX, self.left + len(entries))
            due_us = min(entry.due_us for entry in entries)
            self.oldest_us = due_us if self.oldest_us is None else min(self.oldest_us, due_us)


class Sweeper:
    """Sweeps all tables of one space; one call at a time."""

    def __init__(
        self,
        catalogue: Catalogue,
        agenda: Agenda,
        requests: Requests,
        reader: Reader,
        decider: Decider,
        eraser: Eraser,
        environment: Environment,
    ) -> None:
        self._catalogue = catalogue
        self._eraser = eraser
        self._agenda = agenda
        self._requests = requests
        self._reader = reader
        self._decider = decider
        self._environment = environment
        self._last = 0
        self._from_us: dict[Bucket, int] = {}
        self._turn = asyncio.Lock()

    async def sweep(self, budget_rows: int) -> Sweep:
        """Up to `budget_rows` due rows go; every table gets its turn, whatever the others' backlog.

        Tables of local scope wait while a data centre is away. That is `Unavailable`, once the others had their turn.
        """
        async with self._turn:
            return await self._sweep(budget_rows)

    async def _sweep(self, budget_rows: int) -> Sweep:
        now_us = self._environment.now_us()
        done = _Round(budget_rows)
        await self._catalogue.refresh()
        by_table: dict[int, list[Bucket]] = {}
        buckets = await self._agenda.buckets(now_us)
        # Those that another engine has closed are not heard of again.
        self._from_us = {bucket: self._from_us[bucket] for bucket in buckets if bucket in self._from_us}
        for bucket in buckets:
            by_table.setdefault(bucket.number, []).append(bucket)
        numbers = sorted(by_table)
        later = [number for number in numbers if number > self._last]
        away: Unavailable | None = None
        for number in later + numbers[: len(numbers) - len(later)]:
            table = self._catalogue.by_number.get(number)
            if table is None:
                await self._forget_buckets(by_table[number], now_us)
                continue
            if not self._requests.decides(table.spec):
                # Processes in its own data centre do it.
                continue
            if away is not None and table.spec.scope == "local":
                continue
            if done.budget > 0:
                self._last = number
            try:
                for bucket in by_table[number]:
                    await self._sweep_bucket(table, bucket, now_us, done)
            except Unavailable as error:
                if table.spec.scope != "local":
                    raise
                away = error
            if done.left >= BACKLOG_MAX:
                break
        await self._eraser.erase()
        if away is not None:
            raise away
        return Sweep(done.purged, done.left, done.oldest_us)

    async def _forget_buckets(self, buckets: Sequence[Bucket], now_us: int) -> None:
        """Of a table that was dropped; what was made while it was read of is left for the next time."""
        for bucket in buckets:
            if self._is_past(bucket, now_us):
                await self._agenda.close(bucket)

    async def _sweep_bucket(self, table: Table, bucket: Bucket, now_us: int, done: _Round) -> None:
        spec = table.spec
        horizon_us = version.purge_horizon_us(now_us, spec.max_lag_us, IN_FLIGHT_MAX_US, table.floor_us)
        if horizon_us <= 0:
            return
        is_empty = True
        passed = 0
        from_us = self._from_us.get(bucket, 0)
        while from_us <= now_us and passed < PASSED_MAX:
            try:
                entries, next_us = await self._agenda.due(table, bucket, from_us, now_us)
            except Overgrown:
                # What is due at this time alone waits until Cassandra has compacted what has gone.
                is_empty, from_us, passed = False, from_us + 1, passed + PASSED_OVERGROWN
                continue
            ready = [entry for entry in entries if entry.time_us < horizon_us]
            passed += len(entries) - len(ready)
            now, later = ready[: max(0, done.budget)], ready[max(0, done.budget) :]
            all_gone = not now or await self._deal_with(table, bucket, now, now_us, horizon_us, done)
            done.leave(later)
            is_empty = is_empty and all_gone and len(ready) == len(entries) and not later
            if later:
                break
            if next_us == from_us and not is_empty:
                # What stays there hides others that are due at the same time; they are come back to.
                next_us += 1
            from_us = next_us
            if is_empty and from_us <= now_us - SLOW_CLOCK_US:
                self._from_us[bucket] = from_us
        if is_empty and from_us > now_us and self._is_past(bucket, now_us):
            await self._agenda.close(bucket)
            self._from_us.pop(bucket, None)

    def _is_past(self, bucket: Bucket, now_us: int) -> bool:
        return bucket.hour + OPEN_HOURS < now_us // schema.HOUR_US

    async def _deal_with(
        self,
        table: Table,
        bucket: Bucket,
        entries: Sequence[Entry],
        now_us: int,
        horizon_us: int,
        done: _Round,
    ) -> bool:
        """What entries name is gone, or is not what they name, and they with it; false where some had to be left."""

        def is_due(cell: Cell) -> bool:
            return version.is_purgeable(cell, now_us, horizon_us)

        by_partition: dict[bytes, list[Entry]] = {}
        for entry in entries:
            by_partition.setdefault(entry.partition, []).append(entry)
        remove = self._decider.remove if table.conditional else self._remove
        partitions = list(by_partition.items())
        left: list[Entry] = []

        async def try_to(name: bytes, found: list[Entry]) -> int:
            try:
                return await remove(table, name, found, is_due)
            except (TooManyTombstones, Overgrown):
                # One record that cannot be read holds up no other; Cassandra will have compacted it some day.
                left.extend(found)
                return 0

        for at in range(0, len(partitions), PARTITIONS_AT_ONCE):
            counts = await together(try_to(*each) for each in partitions[at : at + PARTITIONS_AT_ONCE])
            done.purged += sum(counts)
            done.budget -= sum(counts)
        done.leave(left)
        kept = set(left)
        await self._agenda.remove(bucket, [entry for entry in entries if entry not in kept])
        return not left

    async def _remove(
        self, table: Table, partition: bytes, entries: Sequence[Entry], is_due: Callable[[Cell], bool]
    ) -> int:
        removed = 0
        items = [entry for entry in entries if entry.kind == schema.ITEM]
        for at in range(0, len(items), KEYS_AT_ONCE):
            removed += await self._remove_items(table, partition, items[at : at + KEYS_AT_ONCE], is_due)
        covers = [entry for entry in entries if entry.kind != schema.ITEM]
        if covers:
            removed += await self._remove_covers(table, partition, covers)
        return removed

    async def _remove_items(
        self, table: Table, partition: bytes, entries: Sequence[Entry], is_due: Callable[[Cell], bool]
    ) -> int:
        # A key has an entry for each time that it was written; one of them may be of what stands there.
        named = {(entry.key, entry.time_us) for entry in entries}
        values = (table.number, partition, list(dict.fromkeys(entry.key for entry in entries)))
        rows = await self._requests.read(table.statements.points, values, level=self._requests.levels(table.spec).whole)
        found = [((row[-2], version.time_us(row[-1])), row[-1]) for row in rows]
        gone = [each for each, cell in found if each in named and is_due(cell)]
        if not gone:
            return 0
        # Between rows of an eventual table may lie one that only a replica has which was not asked.
        in_runs = len(gone) >= RUN_MIN and not table.eventual
        runs = await self._runs(table, partition, gone, is_due) if in_runs else []
        covered = {key for run in runs for key, _ in run}
        batch: list[tuple[Any, tuple[Any, ...]]] = [
            (table.statements.delete, (time_us, table.number, partition, schema.ITEM, key))
            for key, time_us in gone
            if key not in covered
        ]
        for run in runs:
            bounds = (table.number, partition, run[0][0], run[-1][0] + b"\0")
            batch.append((table.statements.delete_span, (max(time_us for _, time_us in run), *bounds)))
        await self._requests.write_all(batch)
        return len(gone)

    async def _runs(
        self, table: Table, partition: bytes, gone: Sequence[tuple[bytes, int]], is_due: Callable[[Cell], bool]
    ) -> list[list[tuple[bytes, int]]]:
        """Stretches of the partition that hold nothing but what goes."""
        going = dict(gone)
        low, high = min(going), max(going)
        values = (table.number, partition, low, high + b"\0", 2 * KEYS_AT_ONCE)
        try:
            level = self._requests.levels(table.spec).whole
            rows = await self._requests.read(table.statements.up_to, values, level=level)
        except TooManyTombstones:
            # Too much is dead already between them: they go one by one.
            return []
        runs: list[list[tuple[bytes, int]]] = [[]]
        for *_, key, cell in rows:
            if key in going and is_due(cell):
                runs[-1].append((key, going[key]))
            else:
                runs.append([])
        return [run for run in runs if len(run) >= RUN_MIN]

    async def _remove_covers(self, table: Table, partition: bytes, entries: Sequence[Entry]) -> int:
        """Cassandra's own tombstones go on hiding for as long as they are kept; ours are what is counted."""
        try:
            known, _ = await self._reader.ranges(table, partition)
            times = {deletions.row_key(row): version.time_us(row.cell) for row in known}
        except Overgrown:
            # A delete at its own time takes nothing that came later, seen or not.
            times = {entry.key: entry.time_us for entry in entries if entry.kind == schema.RANGE}
        whole = (await self._reader.header(table, partition)).tombstone
        batch: list[tuple[Any, tuple[Any, ...]]] = []
        for entry in entries:
            if entry.kind == WHOLE:
                if whole is not None and version.time_us(whole) == entry.time_us:
                    batch.append((table.statements.delete_tombstone, (entry.time_us, table.number, partition)))
                    whole = None
            elif times.get(entry.key) == entry.time_us:
                values = (entry.time_us, table.number, partition, schema.RANGE, entry.key)
                batch.append((table.statements.delete, values))
                del times[entry.key]
        if batch:
            await self._requests.write_all(batch)
        return len(batch)
