"""The log port on Kafka: its calls, each made of what the other modules do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar

from soundstage.core.environment import Environment
from soundstage.core.errors import InvalidArgument, NotFound, Unavailable
from soundstage.engines.log import refusals
from soundstage.engines.log.arrivals import (
    check_apart,
    check_entries,
    check_limits,
    check_name,
    check_partition,
    check_positions,
    check_session,
    check_spec,
    check_topics,
    spread,
)
from soundstage.engines.log.kafka.asking import Asking
from soundstage.engines.log.kafka.bridge import Bridge
from soundstage.engines.log.kafka.carrier import Offered, Part
from soundstage.engines.log.kafka.driver import TopicPartition
from soundstage.engines.log.kafka.groups import Memberships, in_kafka
from soundstage.engines.log.kafka.link import Link
from soundstage.engines.log.kafka.producing import Producing
from soundstage.engines.log.kafka.reading import Reading
from soundstage.engines.log.kafka.topics import Topic, Topics
from soundstage.engines.log.kafka.transacting import Transacting
from soundstage.engines.log.membership import Place
from soundstage.engines.log.port import (
    Appending,
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
    TopicSpec,
)
from soundstage.engines.log.watch import Watch

T = TypeVar("T")

LOOK_S = 1.0
"""So long it may take to look where partitions end, though a deadline is nearer, so that there is one look at least."""


class _Parts:
    """What an engine works with while it is open."""

    def __init__(self, link: Link, environment: Environment, space: str) -> None:
        self.bridge: Bridge = Bridge()
        self.watch: Watch = Watch(environment)
        self.asking: Asking = Asking(link, self.bridge, environment)
        self.topics: Topics = Topics(link, self.asking, space)
        self.producing: Producing = Producing(link, self.bridge)
        self.reading: Reading = Reading(link, self.bridge, self.asking, self.watch)
        name = f"{space}:{environment.random.getrandbits(96):024x}"
        self.transacting: Transacting = Transacting(link, self.bridge, name)
        self.groups: Memberships = Memberships(link, self.bridge, self.asking, environment, space)


class KafkaLog:
    """On the cluster of `link`, in one space of it; for one event loop."""

    def __init__(self, link: Link, environment: Environment, space: str | None = None) -> None:
        self.capabilities: frozenset[LogCapability] = frozenset(
            {LogCapability.DURABLE, LogCapability.GROUPS, LogCapability.TRANSACTIONS, LogCapability.SHARED}
        )
        self._link = link
        self._environment = environment
        self._space = space or link.address.options.space
        self._open: _Parts | None = None
        self._keyless = 0

    async def start(self) -> None:
        """See `Log`. The cluster has answered; `Unavailable` with the reason when it does not."""
        await self._link.take()
        self._open = _Parts(self._link, self._environment, self._space)

    async def stop(self) -> None:
        """See `Log`. Clients are closed, their threads have ended."""
        parts, self._open = self._open, None
        if parts is None:
            return
        parts.bridge.close()
        parts.watch.tell_all()
        await parts.groups.close()
        await parts.reading.close()
        await parts.producing.close()
        await parts.transacting.close()
        self._link.let_go()

    @property
    def warning(self) -> str | None:
        """Why the cluster left the last calls unanswered; None when it has answered one since."""
        return self._link.unanswered

    async def server_version(self) -> str:
        """Which cluster it is: brokers tell their version to nobody."""
        (found,) = await self._parts.asking.answer("describe_cluster")
        return f"cluster {found.cluster_id}, {len(found.nodes)} brokers"

    async def create_topic(self, spec: TopicSpec) -> None:
        """See `Log`."""
        await self._parts.topics.create(check_spec(spec))

    async def drop_topic(self, name: str) -> None:
        """See `Log`."""
        parts = self._parts
        place = await parts.topics.drop(check_name(name, "name"))
        parts.reading.forget(place)
        parts.producing.forget(place)
        parts.watch.tell_all()

    async def topics(self) -> list[TopicSpec]:
        """See `Log`."""
        return [topic.spec for topic in await self._parts.topics.all()]

    async def append(
        self,
        topic: str,
        entries: Sequence[Entry],
        *,
        partition: int | None = None,
        token: str | None = None,
        deadline_ns: int | None = None,
    ) -> list[Spot]:
        """See `Log`. The driver sends again what was not answered, and Kafka keeps it once."""
        parts = self._parts
        into = await self._in_time(parts.topics.topic(topic), deadline_ns)
        now_us = self._environment.now_us()
        size = check_entries(into.spec, entries, now_us)
        check_token_free(token)
        left_s = self._left_s(deadline_ns)
        places = spread(into.spec, entries, partition, self._keyless % into.spec.partitions)
        self._keyless += 1
        try:
            spots = await parts.producing.append(into.place, entries, places, now_us, size, left_s)
        except NotFound:
            parts.topics.forget(topic)
            parts.producing.forget(into.place)
            raise
        for place in set(places):
            parts.watch.tell((into.place, place))
        return spots

    async def append_together(
        self, appends: Sequence[Appending], commits: Sequence[Commit] = (), deadline_ns: int | None = None
    ) -> list[list[Spot]]:
        """See `Transactions`. Positions are those of members."""
        parts = self._parts
        now_us = self._environment.now_us()
        sent, offered = await self._in_time(self._prepared(appends, commits, now_us), deadline_ns)
        spots = await parts.transacting.transact(sent, offered, now_us, self._left_s(deadline_ns))
        ends: dict[Place, int] = {}
        for part, found in zip(sent, spots, strict=True):
            for spot in found:
                place = (part.topic, spot.partition)
                ends[place] = max(spot.offset + 1, ends.get(place, 0))
        await parts.reading.shown(ends, self._until_s(deadline_ns))
        for part in sent:
            for place in set(part.places):
                parts.watch.tell((part.topic, place))
        return spots

    async def _prepared(
        self, appends: Sequence[Appending], commits: Sequence[Commit], now_us: int
    ) -> tuple[list[Part], list[Offered]]:
        """What a transaction is made of, looked up and checked."""
        parts = self._parts
        sent: list[Part] = []
        taken: set[Place] = set()
        for each in appends:
            into = await parts.topics.topic(each.topic)
            check_entries(into.spec, each.entries, now_us)
            check_token_free(each.token)
            places = spread(into.spec, each.entries, each.partition, self._keyless % into.spec.partitions)
            check_apart(taken, each.topic, places)
            sent.append(Part(into.place, each.entries, places))
        self._keyless += 1
        return sent, [
            await parts.groups.offered(each.group, each.member, each.generation, await self._kept(each))
            for each in commits
        ]

    async def read(
        self, topic: str, partition: int, offset: int, limit_entries: int = 1_000, limit_bytes: int = 1 << 20
    ) -> LogPage:
        """See `Log`."""
        parts = self._parts
        source = await parts.topics.topic(topic)
        check_partition(source.spec, partition)
        check_limits(offset, limit_entries, limit_bytes)
        with _Forgetting(parts.topics, topic):
            return await parts.reading.page(topic, (source.place, partition), offset, limit_entries, limit_bytes)

    async def wait(self, positions: Sequence[Position], deadline_ns: int | None = None) -> list[Position]:
        """See `Log`. Goes on while no broker answers, until the deadline."""
        check_positions(positions)
        while True:
            parts = self._parts
            try:
                async with asyncio.timeout_at(self._look_until(deadline_ns)):
                    ends, found = await self._looked(positions)
                if found or self._is_late(deadline_ns):
                    return found
                await parts.reading.wait(ends, deadline_ns)
            except TimeoutError:
                if self._is_late(deadline_ns):
                    return []
            except Unavailable as error:
                if not error.retryable or self._is_late(deadline_ns):
                    raise

    async def _looked(self, positions: Sequence[Position]) -> tuple[dict[Place, int], list[Position]]:
        """Where the partitions end now, and those of `positions` at which something can be read."""
        parts = self._parts
        at = [((await self._place(each.topic, each.partition)), each) for each in positions]
        with _Forgetting(parts.topics, *{each.topic for each in positions}):
            ends = await parts.reading.ends(place for place, _ in at)
        return ends, [position for place, position in at if ends[place] > position.offset]

    def _look_until(self, deadline_ns: int | None) -> float | None:
        ends_s = self._loop_time(deadline_ns)
        return None if ends_s is None else max(self._parts.bridge.loop.time() + LOOK_S, ends_s)

    def _loop_time(self, deadline_ns: int | None) -> float | None:
        """The same moment by the event loop's clock: brokers have no other."""
        left_s = self._until_s(deadline_ns)
        return None if left_s is None else self._parts.bridge.loop.time() + left_s

    async def _in_time(self, looking_up: Awaitable[T], deadline_ns: int | None) -> T:
        """What is looked up before anything is done. Raises `DeadlineExceeded` where the deadline comes first."""
        try:
            async with asyncio.timeout_at(self._loop_time(deadline_ns)):
                return await looking_up
        except TimeoutError:
            raise refusals.deadline_passed() from None

    def _left_s(self, deadline_ns: int | None) -> float | None:
        """Seconds until a deadline, if there is one. Raises `DeadlineExceeded` when there are none."""
        left_s = self._until_s(deadline_ns)
        if left_s is not None and left_s <= 0:
            raise refusals.deadline_passed()
        return left_s

    def _until_s(self, deadline_ns: int | None) -> float | None:
        """The same, of a deadline that may be over."""
        return None if deadline_ns is None else (deadline_ns - self._environment.monotonic_ns()) / 1e9

    def _is_late(self, deadline_ns: int | None) -> bool:
        return deadline_ns is not None and self._environment.monotonic_ns() >= deadline_ns

    async def offset_at(self, topic: str, partition: int, time_us: int) -> int:
        """See `Log`. Kafka finds the millisecond; within it entries are looked at."""
        place = await self._place(topic, partition)
        parts = self._parts
        # No entry has the time 0 there.
        time_ms = max(1, time_us // 1_000)
        first = await parts.asking.offset_at(place, time_ms)
        if first is None:
            return (await parts.asking.bounds([place]))[0].end
        if time_us % 1_000 == 0 and time_ms > 1:
            return first
        last = await parts.asking.offset_at(place, time_ms + 1)
        while last is None or first < last:
            page = await parts.reading.page(topic, place, first, 1_000, 1 << 20)
            for entry in page.entries:
                if entry.time_us >= time_us:
                    return entry.offset
            first = page.next
            if first >= page.end:
                return page.end
        return last

    async def bounds(self, topic: str) -> list[Bounds]:
        """See `Log`."""
        parts = self._parts
        found = await parts.topics.topic(topic)
        with _Forgetting(parts.topics, topic):
            return await parts.asking.bounds([(found.place, number) for number in range(found.spec.partitions)])

    async def sweep(self, budget: int) -> LogSweep:
        """See `Log`. Entries that are too old go to the entry; all else Kafka does by itself, file by file."""
        parts = self._parts
        examined = removed = 0
        for topic in await parts.topics.all():
            if topic.spec.retention_us is None:
                continue
            examined += topic.spec.partitions
            removed += await self._retain(parts, topic, self._environment.now_us() - topic.spec.retention_us)
        return LogSweep(examined, removed, more=False)

    async def _retain(self, parts: _Parts, topic: Topic, kept_us: int) -> int:
        places = [(topic.place, number) for number in range(topic.spec.partitions)]
        removed, asked = 0, list[Any]()
        for place, bounds in zip(places, await parts.asking.bounds(places), strict=True):
            if bounds.start < bounds.end:
                start = await self.offset_at(topic.spec.name, place[1], kept_us)
                if start > bounds.start:
                    removed += start - bounds.start
                    asked.append(TopicPartition(*place, start))
        if asked:
            await parts.asking.answer("delete_records", asked, reading=False)
        return removed

    async def join(self, group: str, member: str, topics: Sequence[str], session_us: int) -> Assignment:
        """See `Groups`."""
        parts = self._parts
        names = {(await parts.topics.topic(topic)).place: topic for topic in check_topics(topics)}
        check_name(group, "group")
        check_name(member, "member")
        share = await parts.groups.join(group, member, list(names), check_session(session_us))
        return Assignment(share.generation, {names[place]: numbers for place, numbers in share.partitions.items()})

    async def beat(self, group: str, member: str, generation: int) -> bool:
        """See `Groups`."""
        return await self._parts.groups.beat(group, member, generation)

    async def leave(self, group: str, member: str) -> None:
        """See `Groups`."""
        await self._parts.groups.leave(group, member)

    async def commit(self, commit: Commit) -> None:
        """See `Groups`."""
        positions = await self._kept(commit)
        await self._parts.groups.commit(commit.group, commit.member, commit.generation, positions)

    async def _kept(self, commit: Commit) -> list[Any]:
        """The positions as Kafka keeps them. Raises `InvalidArgument` for those that nobody can have got to."""
        parts = self._parts
        check_name(commit.group, "group")
        topics: dict[str, tuple[str, str]] = {}
        for at in commit.positions:
            place = await self._place(at.topic, at.partition)
            found = await parts.topics.topic(at.topic)
            topics[at.topic] = (found.place, found.incarnation)
            if not 0 <= at.offset <= parts.reading.known_end(place):
                refusals.check_position(at, (await parts.asking.bounds([place]))[0].end)
        return in_kafka(commit.positions, topics)

    async def committed(self, group: str, topic: str) -> dict[int, int]:
        """See `Groups`."""
        parts = self._parts
        found = await parts.topics.topic(topic)
        return await parts.groups.committed(group, found.place, found.spec.partitions, found.incarnation)

    async def groups(self) -> list[GroupInfo]:
        """See `Groups`. The generation of a group of which nobody is in this process is told as 0."""
        return await self._parts.groups.groups()

    async def forget_group(self, group: str) -> None:
        """See `Groups`."""
        await self._parts.groups.forget(group)

    @property
    def _parts(self) -> _Parts:
        if self._open is None:
            raise refusals.stopped()
        return self._open

    async def _place(self, topic: str, partition: int) -> Place:
        found = await self._parts.topics.topic(topic)
        return found.place, check_partition(found.spec, partition)


def check_token_free(token: str | None) -> None:
    """Raises `InvalidArgument` for a token, which Kafka would not remember."""
    if token is not None:
        raise InvalidArgument(
            "Kafka remembers no tokens",
            field="token",
            hint="leave it out and apply entries idempotently, or use an engine with the capability `token_dedup`",
        )


class _Forgetting:
    """Topics that Kafka does not know any more are not remembered either."""

    def __init__(self, topics: Topics, *names: str) -> None:
        self._topics = topics
        self._names = names

    def __enter__(self) -> None:
        """Nothing has happened yet."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, NotFound):
            for name in self._names:
                self._topics.forget(name)
