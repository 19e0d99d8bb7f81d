"""The log port in memory: the specification that other engines are compared with.

Each partition is a list of entries, its bounds and its latest time. Nothing outlives the object, but `start` after
`stop` finds what was there, as reopening a folder does.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from operator import attrgetter
from typing import NamedTuple

from soundstage.core.environment import Environment
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
    check_token,
    check_topics,
    digest_of,
    size_of,
    spread,
)
from soundstage.engines.log.membership import Group
from soundstage.engines.log.port import (
    GROUPS_MAX,
    TOPICS_MAX,
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
    Stored,
    TopicSpec,
    TopicStatistics,
)
from soundstage.engines.log.watch import Watch

_OFFSET = attrgetter("offset")
_TIME = attrgetter("time_us")


class _Remembered(NamedTuple):
    time_us: int
    digest: bytes
    spots: list[Spot]


class _Partition:
    def __init__(self) -> None:
        self.entries: list[Stored] = []
        self.start = self.end = self.last_us = 0

    def append(self, entry: Entry, now_us: int) -> int:
        self.last_us = max(self.last_us, now_us if entry.time_us is None else entry.time_us)
        offset = self.end
        self.entries.append(Stored(offset, self.last_us, entry.key, entry.value, entry.headers))
        self.end += 1
        return offset

    def page(self, offset: int, limit_entries: int, limit_bytes: int) -> LogPage:
        taken: list[Stored] = []
        size = 0
        for entry in self.entries[bisect_left(self.entries, offset, key=_OFFSET) :]:
            size += size_of(entry)
            if taken and (len(taken) == limit_entries or size > limit_bytes):
                return LogPage(taken, entry.offset, self.start, self.end)
            taken.append(entry)
        return LogPage(taken, self.end, self.start, self.end)

    def offset_at(self, time_us: int) -> int:
        at = bisect_left(self.entries, time_us, key=_TIME)
        return self.entries[at].offset if at < len(self.entries) else self.end

    def retain(self, spec: TopicSpec, now_us: int) -> int:
        """What is too old or too much is gone; how many entries."""
        start = self.start
        if spec.retention_us is not None:
            start = max(start, self.offset_at(now_us - spec.retention_us))
        if spec.retention_bytes is not None:
            rest = sum(map(size_of, self.entries))
            for entry in self.entries:
                rest -= size_of(entry)
                if rest < spec.retention_bytes:
                    break
                start = max(start, entry.offset + 1)
        self.start = start
        return self._keep([entry for entry in self.entries if entry.offset >= start])

    def compact(self, spec: TopicSpec, now_us: int) -> int:
        """What a newer entry of its key replaces is gone; how many entries."""
        settled = bisect_left(self.entries, now_us - spec.compact_lag_us, key=_TIME)
        old, young = self.entries[:settled], self.entries[settled:]
        newest = {entry.key: entry.offset for entry in old}
        forgotten_us = now_us - spec.delete_retention_us
        return self._keep(
            [
                entry
                for entry in old
                if newest[entry.key] == entry.offset and (entry.value is not None or entry.time_us >= forgotten_us)
            ]
            + young
        )

    def _keep(self, entries: list[Stored]) -> int:
        gone = len(self.entries) - len(entries)
        self.entries = entries
        return gone


class _Topic:
    def __init__(self, spec: TopicSpec) -> None:
        self.spec = spec
        self.partitions = [_Partition() for _ in range(spec.partitions)]
        self.tokens: dict[bytes, _Remembered] = {}
        self.positions: dict[str, dict[int, int]] = {}
        self.keyless = 0

    def partition(self, number: int) -> _Partition:
        return self.partitions[check_partition(self.spec, number)]

    def remembered(self, entries: Sequence[Entry], partition: int | None, token: str, now_us: int) -> list[Spot] | None:
        """Where the entries went when they were first appended under the token."""
        before = self.tokens.get(check_token(token))
        if before is None or now_us >= before.time_us + self.spec.token_us:
            return None
        if before.digest != digest_of(entries, partition):
            raise refusals.token_reused(token)
        return before.spots


class MemoryLog:
    """In one process, for one event loop; forgets everything with it."""

    def __init__(self, environment: Environment) -> None:
        self.capabilities: frozenset[LogCapability] = frozenset(
            {
                LogCapability.TOKEN_DEDUP,
                LogCapability.STATISTICS,
                LogCapability.GROUPS,
                LogCapability.TRANSACTIONS,
                LogCapability.EXACT,
            }
        )
        self._environment = environment
        self._topics: dict[str, _Topic] = {}
        self._groups: dict[str, Group] = {}
        self._watch = Watch(environment)
        self._open = False

    async def start(self) -> None:
        self._open = True

    async def stop(self) -> None:
        self._open = False
        # Members belong to the running engine; generations go on.
        self._groups = {name: Group(name, group.generation) for name, group in self._groups.items()}
        self._watch.tell_all()

    async def create_topic(self, spec: TopicSpec) -> None:
        topics, known = self._all_topics(), self._topics.get(check_spec(spec).name)
        if known is not None:
            refusals.check_fixed_settings(known.spec, spec)
            known.spec = spec
            return
        if len(topics) >= TOPICS_MAX:
            raise refusals.too_many_topics()
        topics[spec.name] = _Topic(spec)

    async def drop_topic(self, name: str) -> None:
        self._all_topics().pop(name, None)
        self._watch.tell_all()

    async def topics(self) -> list[TopicSpec]:
        return [topic.spec for _, topic in sorted(self._all_topics().items())]

    async def append(
        self,
        topic: str,
        entries: Sequence[Entry],
        *,
        partition: int | None = None,
        token: str | None = None,
        deadline_ns: int | None = None,
    ) -> list[Spot]:
        into, now_us = self._topic(topic), self._environment.now_us()
        check_entries(into.spec, entries, now_us)
        self._check_deadline(deadline_ns)
        return self._append_once(into, entries, partition, token, now_us)

    async def append_together(
        self, appends: Sequence[Appending], commits: Sequence[Commit] = (), deadline_ns: int | None = None
    ) -> list[list[Spot]]:
        now_us = self._environment.now_us()
        into = [self._topic(each.topic) for each in appends]
        taken: set[tuple[str, int]] = set()
        for topic, each in zip(into, appends, strict=True):
            check_entries(topic.spec, each.entries, now_us)
            places = spread(topic.spec, each.entries, each.partition, topic.keyless)
            if each.token is None or topic.remembered(each.entries, each.partition, each.token, now_us) is None:
                check_apart(taken, topic.spec.name, places)
        for each in commits:
            self._check_commit(each)
        self._check_deadline(deadline_ns)
        for each in commits:
            self._commit(each)
        return [
            self._append_once(topic, each.entries, each.partition, each.token, now_us)
            for topic, each in zip(into, appends, strict=True)
        ]

    def _append_once(
        self, into: _Topic, entries: Sequence[Entry], partition: int | None, token: str | None, now_us: int
    ) -> list[Spot]:
        if token is None:
            return self._append(into, entries, partition, now_us)
        before = into.remembered(entries, partition, token, now_us)
        if before is not None:
            return before
        spots = self._append(into, entries, partition, now_us)
        into.tokens[check_token(token)] = _Remembered(now_us, digest_of(entries, partition), spots)
        return spots

    def _check_deadline(self, deadline_ns: int | None) -> None:
        if deadline_ns is not None and self._environment.monotonic_ns() >= deadline_ns:
            raise refusals.deadline_passed()

    def _append(self, into: _Topic, entries: Sequence[Entry], partition: int | None, now_us: int) -> list[Spot]:
        places = spread(into.spec, entries, partition, into.keyless)
        into.keyless = (into.keyless + 1) % into.spec.partitions
        spots = [
            Spot(place, into.partitions[place].append(entry, now_us))
            for place, entry in zip(places, entries, strict=True)
        ]
        for place in set(places):
            self._watch.tell((into.spec.name, place))
        return spots

    async def read(
        self, topic: str, partition: int, offset: int, limit_entries: int = 1_000, limit_bytes: int = 1 << 20
    ) -> LogPage:
        source = self._topic(topic).partition(partition)
        check_limits(offset, limit_entries, limit_bytes)
        if offset > source.end:
            raise refusals.after_the_end(topic, partition, offset, source.end)
        return source.page(offset, limit_entries, limit_bytes)

    async def wait(self, positions: Sequence[Position], deadline_ns: int | None = None) -> list[Position]:
        check_positions(positions)
        while True:
            found = [at for at in positions if self._topic(at.topic).partition(at.partition).end > at.offset]
            watched = [(at.topic, at.partition) for at in positions]
            if found or not await self._watch.until(watched, deadline_ns):
                return found

    async def offset_at(self, topic: str, partition: int, time_us: int) -> int:
        return self._topic(topic).partition(partition).offset_at(time_us)

    async def bounds(self, topic: str) -> list[Bounds]:
        return [Bounds(each.start, each.end) for each in self._topic(topic).partitions]

    async def sweep(self, budget: int) -> LogSweep:
        """Everything that is due goes, whatever the budget."""
        now_us, examined, removed = self._environment.now_us(), 0, 0
        for topic in self._all_topics().values():
            kept_us = now_us - topic.spec.token_us
            topic.tokens = {token: each for token, each in topic.tokens.items() if each.time_us > kept_us}
            for partition in topic.partitions:
                examined += len(partition.entries)
                removed += partition.retain(topic.spec, now_us)
                removed += partition.compact(topic.spec, now_us) if topic.spec.compact else 0
        return LogSweep(examined, removed, more=False)

    async def join(self, group: str, member: str, topics: Sequence[str], session_us: int) -> Assignment:
        partitions = {topic: self._topic(topic).spec.partitions for topic in check_topics(topics)}
        check_name(member, "member")
        session_ns = check_session(session_us) * 1_000
        joined = self._group(group)
        joined.join(member, topics, session_ns, partitions, self._environment.monotonic_ns())
        return joined.assignment(member)

    async def beat(self, group: str, member: str, generation: int) -> bool:
        self._all_topics()
        found = self._groups.get(group)
        return found is not None and found.beat(member, generation, self._environment.monotonic_ns())

    async def leave(self, group: str, member: str) -> None:
        self._all_topics()
        if group in self._groups:
            self._groups[group].leave(member, self._environment.monotonic_ns())

    async def commit(self, commit: Commit) -> None:
        self._check_commit(commit)
        self._commit(commit)

    def _check_commit(self, commit: Commit) -> None:
        for at in commit.positions:
            partition = self._topic(at.topic).partition(at.partition)
            refusals.check_position(at, partition.end)
        self._group(commit.group).check(commit, self._environment.monotonic_ns())

    def _commit(self, commit: Commit) -> None:
        for at in commit.positions:
            self._topic(at.topic).positions.setdefault(commit.group, {})[at.partition] = at.offset

    async def committed(self, group: str, topic: str) -> dict[int, int]:
        return dict(self._topic(topic).positions.get(group, {}))

    async def groups(self) -> list[GroupInfo]:
        self._all_topics()
        now_ns = self._environment.monotonic_ns()
        for group in self._groups.values():
            group.expire(now_ns)
        return [group.info for _, group in sorted(self._groups.items())]

    async def forget_group(self, group: str) -> None:
        topics, found = self._all_topics(), self._groups.get(group)
        if found is not None:
            found.check_unused(self._environment.monotonic_ns())
            del self._groups[group]
        for topic in topics.values():
            topic.positions.pop(group, None)

    def _group(self, name: str) -> Group:
        known = self._groups.get(name)
        if known is None:
            if len(self._groups) >= GROUPS_MAX:
                raise refusals.too_many_groups()
            known = self._groups[check_name(name, "group")] = Group(name)
        return known

    async def statistics(self, topic: str) -> TopicStatistics:
        """Exact, but that what was compacted away has no bytes any more."""
        partitions = self._topic(topic).partitions
        return TopicStatistics(
            entries=sum(each.end - each.start for each in partitions),
            bytes=sum(size_of(entry) for each in partitions for entry in each.entries),
            oldest_us=min((each.entries[0].time_us for each in partitions if each.entries), default=None),
        )

    def _all_topics(self) -> dict[str, _Topic]:
        if not self._open:
            raise refusals.stopped()
        return self._topics

    def _topic(self, name: str) -> _Topic:
        found = self._all_topics().get(name)
        if found is None:
            raise refusals.no_topic(name)
        return found
