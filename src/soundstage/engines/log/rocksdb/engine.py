"""The log port on the embedded database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count, repeat
from typing import TypeAlias

import msgspec

from soundstage.core.environment import Environment
from soundstage.engines.log import refusals
from soundstage.engines.log.arrivals import (
    check_entries,
    check_limits,
    check_positions,
    check_spec,
    check_token,
    digest_of,
    spread,
    with_stamps,
)
from soundstage.engines.log.port import (
    Appending,
    Applying,
    Assignment,
    Bounds,
    Commit,
    Entry,
    GroupInfo,
    LogCapability,
    LogPage,
    LogSweep,
    Position,
    Spot,
    Together,
    TopicSpec,
    TopicStatistics,
)
from soundstage.engines.log.rocksdb.groups import RocksGroups
from soundstage.engines.log.rocksdb.layout import OFFSET, Drafted, Remembered, draft, forgetting, token_key
from soundstage.engines.log.rocksdb.partition import GATE, Partition
from soundstage.engines.log.rocksdb.reading import check_there, offset_at, oldest_us, read
from soundstage.engines.log.rocksdb.restoring import restore
from soundstage.engines.log.rocksdb.sweep import Sweeper
from soundstage.engines.log.rocksdb.topics import Catalogue, Topic
from soundstage.engines.log.watch import Watch
from soundstage.engines.records.port import Batch, Conditional
from soundstage.engines.rocks.atomic import AtomicBatch
from soundstage.engines.rocks.database import Database

Enlist: TypeAlias = Callable[[AtomicBatch, str, bytes, Batch, Conditional | None], int]
"""Puts a write of records into a batch, as `RocksRecords.enlist` does."""

_ALWAYS = frozenset(
    {
        LogCapability.TOKEN_DEDUP,
        LogCapability.STATISTICS,
        LogCapability.CHECKPOINT,
        LogCapability.GROUPS,
        LogCapability.TRANSACTIONS,
        LogCapability.EXACT,
    }
)

_encode = msgspec.msgpack.Encoder().encode
_decode_remembered = msgspec.msgpack.Decoder(Remembered).decode


class RocksLog:
    """Durable, embedded, in one process; see `open_rocksdb_log`.

    Another port on the same folder is given `database`, and writes with this one by `enlist`. `enlist_records` is that
    of the records there: with it this engine writes both together.
    """

    def __init__(self, database: Database, environment: Environment, enlist_records: Enlist | None = None) -> None:
        durable = {LogCapability.DURABLE} if database.options.durability != "os" else set[LogCapability]()
        atomic = {LogCapability.ATOMIC_WITH_LOG} if enlist_records is not None else set[LogCapability]()
        self.capabilities: frozenset[LogCapability] = _ALWAYS | durable | atomic
        self._enlist_records = enlist_records
        self.database = database
        self._environment = environment
        self._translation = database.translation
        self._now_us: Callable[[], int] = environment.now_us
        self._watch = Watch(environment)
        self._catalogue: Catalogue | None = None
        self._sweeper: Sweeper | None = None
        self._groups: RocksGroups | None = None
        self._topics: dict[str, Topic] = {}

    async def start(self) -> None:
        if self._catalogue is not None:
            return
        self.database.open(self)
        try:
            with self._translation:
                catalogue = self._catalogue = Catalogue(self.database)
                left = catalogue.load()
                groups = RocksGroups(self.database, catalogue, self._topic)
                groups.load()
            for topic in left:
                await self._drop(catalogue, topic)
        except BaseException:
            await self.stop()
            raise
        self._topics = catalogue.by_name
        self._sweeper, self._groups = Sweeper(self.database, catalogue), groups

    async def stop(self) -> None:
        await self.database.close(self)

    @property
    def lost(self) -> str | None:
        """Why every call is refused until a restart; None while the database is well."""
        return self.database.lost

    @property
    def warning(self) -> str | None:
        """What should be seen to, though reads are served; None while all is well."""
        return self.database.low_water.warning

    def let_go(self) -> None:
        """See `Guest`: a handle that lives on would keep the files open and the folder locked."""
        if self._catalogue is not None:
            self._catalogue.let_go()
        self._catalogue = self._sweeper = self._groups = None
        self._topics = {}
        self._watch.tell_all()

    async def create_topic(self, spec: TopicSpec) -> None:
        await self.database.atomically(self._open_catalogue().create, check_spec(spec))

    async def drop_topic(self, name: str) -> None:
        catalogue = self._open_catalogue()
        topic = catalogue.by_name.get(name)
        if topic is not None:
            await self._drop(catalogue, topic)
            self._watch.tell_all()

    async def _drop(self, catalogue: Catalogue, topic: Topic) -> None:
        await self.database.atomically(catalogue.forget, topic)
        catalogue.clear_away(topic)

    async def topics(self) -> list[TopicSpec]:
        by_name = self._open_catalogue().by_name
        return [by_name[name].spec for name in sorted(by_name) if not by_name[name].entry.hidden]

    async def append(
        self,
        topic: str,
        entries: Sequence[Entry],
        *,
        partition: int | None = None,
        token: str | None = None,
        deadline_ns: int | None = None,
    ) -> list[Spot]:
        into = self._topic(topic)
        spots = await self.database.atomically(self.enlist, topic, entries, partition, token, deadline_ns=deadline_ns)
        if not into.dropped:
            # The last of each partition counts.
            for place, offset in {spot.partition: spot.offset for spot in spots}.items():
                at = into.partition(place)
                at.settled = max(at.settled, offset + 1)
        return spots

    def enlist(
        self,
        batch: AtomicBatch,
        topic: str,
        entries: Sequence[Entry],
        partition: int | None = None,
        token: str | None = None,
    ) -> list[Spot]:
        """What `append` would write is part of `batch`, for `Database.atomically`; returns what `append` would.

        Raises what `append` raises; nothing of `batch` may be written then. A partition is enlisted once.
        """
        into, now_us = self._topic(topic), self._now_us()
        size = check_entries(into.spec, entries, now_us)
        if token is None:
            return self._draft(batch, into, entries, partition, now_us, size)
        key, digest = token_key(into.number, check_token(token)), digest_of(entries, partition)
        batch.touch(GATE + key)
        stored = into.db.get(key)
        before = None if stored is None else _decode_remembered(stored)
        if before is not None and now_us < before.time_us + into.spec.token_us:
            if before.digest != digest:
                raise refusals.token_reused(token)
            return before.spots
        spots = self._draft(batch, into, entries, partition, now_us, size)
        batch.rows.put(key, _encode(Remembered(now_us, digest, spots)), into.handle)
        batch.rows.put(forgetting(into.number) + OFFSET.pack(now_us) + token.encode(), b"", into.handle)
        return spots

    def _draft(
        self,
        batch: AtomicBatch,
        into: Topic,
        entries: Sequence[Entry],
        partition: int | None,
        now_us: int,
        size: int,
    ) -> list[Spot]:
        self.database.low_water.check(size)
        places = spread(into.spec, entries, partition, into.keyless)
        turn = (into.keyless + 1) % into.spec.partitions
        drafted: list[tuple[Partition, Drafted]] = []
        spots: list[Spot] = []
        if len(entries) == 1 or places.count(places[0]) == len(places):
            at, each = self._put(batch, into, places[0], entries, now_us)
            spots.extend(map(Spot, repeat(at.number), range(at.end, each.end)))
            drafted.append((at, each))
        else:
            by_place: dict[int, list[Entry]] = {}
            for place, entry in zip(places, entries, strict=True):
                by_place.setdefault(place, []).append(entry)
            drafted += [self._put(batch, into, place, chosen, now_us) for place, chosen in by_place.items()]
            following = {at.number: count(at.end) for at, _ in drafted}
            spots.extend(Spot(place, next(following[place])) for place in places)

        def written() -> None:
            into.keyless = turn
            for at, each in drafted:
                at.was_given(each)
                self._watch.tell((into.spec.name, at.number))

        batch.once_written(written)
        return spots

    def _put(
        self, batch: AtomicBatch, into: Topic, place: int, entries: Sequence[Entry], now_us: int
    ) -> tuple[Partition, Drafted]:
        at = into.partition(place)
        batch.touch(at.gate)
        drafted = draft(entries, at.end, at.last_us, at.given, now_us)
        for offset, row in drafted.rows:
            batch.rows.put(at.row_key(offset), row, into.handle)
        return at, drafted

    async def write_together(
        self,
        writes: Sequence[Applying],
        appends: Sequence[Appending],
        commits: Sequence[Commit] = (),
        deadline_ns: int | None = None,
    ) -> Together:
        """See `AtomicWithLog`."""
        return await self.database.atomically(self._together, writes, appends, commits, deadline_ns=deadline_ns)

    def _together(
        self,
        batch: AtomicBatch,
        writes: Sequence[Applying],
        appends: Sequence[Appending],
        commits: Sequence[Commit] = (),
    ) -> Together:
        if self._enlist_records is None:
            raise refusals.no_records_beside()
        stamps = [
            self._enlist_records(batch, each.table, each.partition, each.batch, each.conditional) for each in writes
        ]
        stamped = [each if each.stamped is None else with_stamps(each, stamps) for each in appends]
        return Together(stamps, self._enlisted(batch, stamped, commits))

    async def append_together(
        self, appends: Sequence[Appending], commits: Sequence[Commit] = (), deadline_ns: int | None = None
    ) -> list[list[Spot]]:
        """See `Transactions`: one batch."""
        return await self.database.atomically(self._enlisted, appends, commits, deadline_ns=deadline_ns)

    def _enlisted(
        self, batch: AtomicBatch, appends: Sequence[Appending], commits: Sequence[Commit]
    ) -> list[list[Spot]]:
        spots = [self.enlist(batch, each.topic, each.entries, each.partition, each.token) for each in appends]
        for each in commits:
            self._open_groups().enlist(batch, each)
        return spots

    async def read(
        self, topic: str, partition: int, offset: int, limit_entries: int = 1_000, limit_bytes: int = 1 << 20
    ) -> LogPage:
        with self._translation:
            source = self._topic(topic)
            at = source.partition(partition)
            check_limits(offset, limit_entries, limit_bytes)
            if offset > at.end:
                raise refusals.after_the_end(topic, partition, offset, at.end)
            gate = self.database.commits.gate(at.gate)
            if gate is None:
                at.settled = at.end
            found = await read(self.database, source, at, offset, limit_entries, limit_bytes)
        end = found.end
        if gate is not None:
            if found.next > at.settled or found.next == end:
                await gate
                at.settled = max(at.settled, end)
            else:
                # Nothing that is shown waits for a flush, and it is not said what does.
                end = at.settled
        return LogPage(found.entries, found.next, at.start, end)

    async def wait(self, positions: Sequence[Position], deadline_ns: int | None = None) -> list[Position]:
        check_positions(positions)
        while True:
            with self._translation:
                found = [at for at in positions if self._topic(at.topic).partition(at.partition).end > at.offset]
                watched = [(at.topic, at.partition) for at in positions]
            if found:
                gates = [self._topic(at.topic).partition(at.partition).gate for at in found]
                gate = self.database.commits.gate_each(gates)
                if gate is not None:
                    await gate
                return found
            if not await self._watch.until(watched, deadline_ns):
                return []

    async def offset_at(self, topic: str, partition: int, time_us: int) -> int:
        with self._translation:
            source = self._topic(topic)
            at = source.partition(partition)
            gate = self.database.commits.gate(at.gate)
            found = offset_at(source, at, time_us)
        if gate is not None:
            await gate
        return found

    async def bounds(self, topic: str) -> list[Bounds]:
        source = self._topic(topic)
        found: list[Bounds] = []
        gates: list[bytes] = []
        with self._translation:
            for number in range(source.spec.partitions):
                at = source.partition(number)
                found.append(at.bounds)
                gates.append(at.gate)
        gate = self.database.commits.gate_each(gates)
        if gate is not None:
            await gate
        return found

    async def sweep(self, budget: int) -> LogSweep:
        """See `Sweeper`."""
        if self._sweeper is None:
            raise self.database.refusal()
        with self._translation:
            return await self._sweeper.sweep(budget)

    async def join(self, group: str, member: str, topics: Sequence[str], session_us: int) -> Assignment:
        """See `Groups`."""
        return await self._open_groups().join(group, member, topics, session_us)

    async def beat(self, group: str, member: str, generation: int) -> bool:
        """See `Groups`."""
        return await self._open_groups().beat(group, member, generation)

    async def leave(self, group: str, member: str) -> None:
        """See `Groups`."""
        await self._open_groups().leave(group, member)

    async def commit(self, commit: Commit) -> None:
        """See `Groups`."""
        await self.database.atomically(self._open_groups().enlist, commit)

    async def committed(self, group: str, topic: str) -> dict[int, int]:
        """See `Groups`."""
        with self._translation:
            return await self._open_groups().committed(group, topic)

    async def groups(self) -> list[GroupInfo]:
        """See `Groups`."""
        return self._open_groups().infos()

    async def forget_group(self, group: str) -> None:
        """See `Groups`."""
        await self.database.atomically(self._open_groups().forget, group)

    async def statistics(self, topic: str) -> TopicStatistics:
        """Exact, but that of a compacted topic the bytes and entries that went count too."""
        source = self._topic(topic)
        entries = given = 0
        oldest: list[int] = []
        with self._translation:
            for number in range(source.spec.partitions):
                at = source.partition(number)
                entries += at.end - at.start
                given += at.given - at.skipped
                first_us = oldest_us(source, at)
                oldest += [] if first_us is None else [first_us]
                await self._environment.sleep(0)
                check_there(self.database, source)
        gate = self.database.commits.gate_all()
        if gate is not None:
            await gate
        return TopicStatistics(entries=entries, bytes=given, oldest_us=min(oldest, default=None))

    async def checkpoint(self, folder: str) -> None:
        """See `Database.checkpoint`."""
        await self.database.checkpoint(folder)

    async def restore(self, folder: str, topics: Sequence[str] | None = None) -> None:
        """The named topics (None: all) are as in the checkpoint; `AlreadyExists` where one is there."""
        await restore(self.database, self._open_catalogue(), folder, topics)

    def _topic(self, name: str) -> Topic:
        topic = self._topics.get(name)
        if topic is None or topic.entry.hidden:
            self._open_catalogue()
            raise refusals.no_topic(name)
        return topic

    def _open_groups(self) -> RocksGroups:
        if self._groups is None:
            raise self.database.refusal()
        return self._groups

    def _open_catalogue(self) -> Catalogue:
        if self._catalogue is None:
            raise self.database.refusal()
        return self._catalogue
