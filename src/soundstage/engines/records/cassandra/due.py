"""What may be forgotten some day, and when: written before the row that it is about.

The entries of a table stand in one partition for each hour and one of 16 hashes; `hours` says which there are, so
that nobody looks for what is not there. An entry never stands in an hour that has passed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from xxhash import xxh3_64_intdigest

from soundstage.core import version
from soundstage.core.environment import Environment
from soundstage.core.together import together
from soundstage.engines.records.cassandra import schema
from soundstage.engines.records.cassandra.catalogue import Table
from soundstage.engines.records.cassandra.failures import Overgrown, TooManyTombstones
from soundstage.engines.records.cassandra.requests import Requests
from soundstage.engines.records.cassandra.statements import Ledgers
from soundstage.engines.records.port import IN_FLIGHT_MAX_US, Cell

WHOLE = 9
"""The kind of an entry for a deleted record; those of others are the kinds of their rows."""

KNOWN_HOURS_MAX = 100_000
ENTRIES_AT_ONCE = 500

_SHARDS = list(range(schema.SHARDS))


class Entry(NamedTuple):
    """`partition` has something of a `kind` under `key`, of the time `time_us`, that may go at `due_us`."""

    due_us: int
    partition: bytes
    kind: int
    key: bytes
    time_us: int


class Bucket(NamedTuple):
    """The entries of a table that come up in one hour."""

    hour: int
    number: int


class Agenda:
    """The entries of one space."""

    def __init__(self, space: str, requests: Requests, ledgers: Ledgers, environment: Environment) -> None:
        self._space = space
        self._requests = requests
        self._ledgers = ledgers
        self._environment = environment
        self._known: set[Bucket] = set()

    def entry(self, table: Table, partition: bytes, kind: int, key: bytes, cell: Cell) -> Entry | None:
        """What brings the sweeper back for `cell`; None for one that lasts."""
        spec, time_us = table.spec, version.time_us(cell)
        due_us = time_us + spec.max_lag_us + IN_FLIGHT_MAX_US + 1
        if kind == schema.ITEM:
            if version.is_delete(cell):
                kept_us = self._environment.random.randint(spec.delete_ttl_min_us, spec.delete_ttl_max_us)
                due_us = max(due_us, self._environment.now_us() + kept_us)
            elif expires_us := version.expires_us(cell):
                due_us = max(due_us, expires_us)
            else:
                return None
        return Entry(due_us, partition, kind, key, time_us)

    async def add(self, table: Table, entries: Iterable[Entry], deadline_ns: int | None) -> None:
        """All entries, which are of one partition, are there."""
        by_hour: dict[int, list[Entry]] = {}
        level = self._requests.levels(table.spec).lists
        now_us = self._environment.now_us()
        for entry in entries:
            # Never in an hour that has gone: the sweeper does not come back to it.
            due_us = max(entry.due_us, now_us)
            by_hour.setdefault(due_us // schema.HOUR_US, []).append(entry._replace(due_us=due_us))
        await together(
            self._add(Bucket(hour, table.number), found, deadline_ns, level) for hour, found in by_hour.items()
        )

    async def _add(self, bucket: Bucket, entries: list[Entry], deadline_ns: int | None, level: int) -> None:
        if bucket not in self._known:
            await self._requests.write(self._ledgers.add_hour, (self._space, *bucket), deadline_ns, level=level)
            if len(self._known) >= KNOWN_HOURS_MAX:
                self._known.clear()
            self._known.add(bucket)
        shard = xxh3_64_intdigest(entries[0].partition) % schema.SHARDS
        statement = self._ledgers.add_due
        rows = [(statement, (bucket.number, bucket.hour, shard, *entry)) for entry in entries]
        for at in range(0, len(rows), ENTRIES_AT_ONCE):
            await self._requests.write_all(rows[at : at + ENTRIES_AT_ONCE], deadline_ns, level=level)

    async def buckets(self, now_us: int) -> list[Bucket]:
        """Those with something that has come up, the earliest first."""
        rows = await self._requests.read(self._ledgers.hours, (self._space, now_us // schema.HOUR_US))
        return [Bucket(*row) for row in rows]

    async def due(self, table: Table, bucket: Bucket, from_us: int, to_us: int) -> tuple[list[Entry], int]:
        """The next entries of a table's bucket in the order of time, and from when on there may be others.

        That is a time of entries that are among them where more are due at it than are read at once. Raises
        `Overgrown` where too many have gone that were due at one time.
        """
        while True:
            try:
                values = (bucket.number, bucket.hour, _SHARDS, from_us, to_us, ENTRIES_AT_ONCE)
                level = self._requests.levels(table.spec).whole
                rows = await self._requests.read(self._ledgers.due, values, level=level)
            except TooManyTombstones:
                if to_us <= from_us:
                    raise Overgrown from None
                # What was done with lies thick here; a part of the time has less of it.
                to_us = (from_us + to_us) // 2
                continue
            by_shard: dict[int, list[Entry]] = {}
            for shard, *entry in rows:
                by_shard.setdefault(shard, []).append(Entry(*entry))
            # From the last of a shard that has more on, some may have been left out.
            full = [found[-1].due_us for found in by_shard.values() if len(found) >= ENTRIES_AT_ONCE]
            next_us = min(full, default=to_us + 1)
            return sorted(each for found in by_shard.values() for each in found if each.due_us <= next_us), next_us

    async def remove(self, bucket: Bucket, entries: list[Entry]) -> None:
        """Entries are done with."""
        by_shard: dict[int, list[tuple[Any, tuple[Any, ...]]]] = {}
        for entry in entries:
            shard = xxh3_64_intdigest(entry.partition) % schema.SHARDS
            values = (bucket.number, bucket.hour, shard, *entry)
            by_shard.setdefault(shard, []).append((self._ledgers.remove_due, values))
        for rows in by_shard.values():
            for at in range(0, len(rows), ENTRIES_AT_ONCE):
                await self._requests.write_all(rows[at : at + ENTRIES_AT_ONCE])

    async def close(self, bucket: Bucket) -> None:
        """Nothing of a bucket is left. Only for an hour that nobody writes to any more."""
        self._known.discard(bucket)
        await self._requests.write(self._ledgers.remove_bucket, (bucket.number, bucket.hour, _SHARDS))
        await self._requests.write(self._ledgers.remove_hour, (self._space, *bucket))
