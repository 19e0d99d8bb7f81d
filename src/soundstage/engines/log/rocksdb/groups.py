"""Groups on the embedded database: who is in one is known to this process alone, where they got to is on disk.

The generation is on disk too, so that after a restart none is given out twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from soundstage.engines.log import refusals
from soundstage.engines.log.arrivals import check_name, check_session, check_topics
from soundstage.engines.log.membership import Group
from soundstage.engines.log.port import GROUPS_MAX, Assignment, Commit, GroupInfo
from soundstage.engines.log.rocksdb.layout import AFTER_GROUPS, GROUPS, NUMBER, OFFSET, positions
from soundstage.engines.log.rocksdb.partition import GATE
from soundstage.engines.log.rocksdb.topics import Catalogue, Topic, rows_between
from soundstage.engines.rocks.atomic import AtomicBatch
from soundstage.engines.rocks.database import Database

_AFTER_PARTITIONS = b"\1"


class RocksGroups:
    """All groups of one database. `topic` finds a topic by its name, or raises `NotFound`."""

    def __init__(self, database: Database, catalogue: Catalogue, topic: Callable[[str], Topic]) -> None:
        self._database = database
        self._environment = database.environment
        self._catalogue = catalogue
        self._topic = topic
        self._groups: dict[str, Group] = {}
        self._stored: dict[str, int] = {}

    def load(self) -> None:
        """Know the groups that there are."""
        if self._catalogue.has_family:
            for key, stored in rows_between(self._catalogue.family().db, GROUPS, AFTER_GROUPS):
                name, generation = key[len(GROUPS) :].decode(), OFFSET.unpack(stored)[0]
                self._groups[name] = Group(name, generation)
                self._stored[name] = generation

    async def join(self, group: str, member: str, topics: Sequence[str], session_us: int) -> Assignment:
        """See `Groups`."""
        partitions = {topic: self._topic(topic).spec.partitions for topic in check_topics(topics)}
        check_name(member, "member")
        session_ns = check_session(session_us) * 1_000
        joined = self._group(group)
        joined.join(member, topics, session_ns, partitions, self._environment.monotonic_ns())
        assignment = joined.assignment(member)
        await self._database.atomically(self._keep, joined)
        return assignment

    async def beat(self, group: str, member: str, generation: int) -> bool:
        """See `Groups`. What changes by it is not told before it is on disk: whoever hears of it joins again."""
        found = self._groups.get(group)
        return found is not None and found.beat(member, generation, self._environment.monotonic_ns())

    async def leave(self, group: str, member: str) -> None:
        """See `Groups`."""
        if group in self._groups:
            self._groups[group].leave(member, self._environment.monotonic_ns())

    def enlist(self, batch: AtomicBatch, commit: Commit) -> None:
        """The positions are part of `batch`. Raises what `Groups.commit` raises."""
        for at in commit.positions:
            refusals.check_position(at, self._topic(at.topic).partition(at.partition).end)
        group = self._group(commit.group)
        group.check(commit, self._environment.monotonic_ns())
        for at in commit.positions:
            topic = self._topic(at.topic)
            key = positions(topic.number, commit.group) + NUMBER.pack(at.partition)
            batch.touch(GATE + key)
            batch.rows.put(key, OFFSET.pack(at.offset), topic.handle)
        self._keep(batch, group)

    async def committed(self, group: str, topic: str) -> dict[int, int]:
        """See `Groups`."""
        source = self._topic(topic)
        begin = positions(source.number, group)
        found: dict[int, int] = {}
        gates: list[bytes] = []
        for key, stored in rows_between(source.db, begin, begin[:-1] + _AFTER_PARTITIONS):
            found[NUMBER.unpack_from(key, len(begin))[0]] = OFFSET.unpack(stored)[0]
            gates.append(GATE + key)
        gate = self._database.commits.gate_each(gates)
        if gate is not None:
            await gate
        return found

    def infos(self) -> list[GroupInfo]:
        """See `Groups.groups`."""
        now_ns = self._environment.monotonic_ns()
        for group in self._groups.values():
            group.expire(now_ns)
        return [group.info for _, group in sorted(self._groups.items())]

    def forget(self, batch: AtomicBatch, name: str) -> None:
        """The group is gone once `batch` is written. Raises what `Groups.forget_group` raises."""
        group = self._groups.get(name)
        if group is None:
            return
        group.check_unused(self._environment.monotonic_ns())
        key, handle = GROUPS + name.encode(), self._catalogue.family().handle
        batch.touch(GATE + key)
        batch.rows.delete(key, handle)
        for topic in self._catalogue.by_name.values():
            begin = positions(topic.number, name)
            batch.rows.delete_range(begin, begin[:-1] + _AFTER_PARTITIONS, handle)

        def forgotten() -> None:
            self._groups.pop(name, None)
            self._stored.pop(name, None)

        batch.once_written(forgotten)

    def _keep(self, batch: AtomicBatch, group: Group) -> None:
        """The generation is on disk; one that is already is waited for."""
        generation, key = group.generation, GROUPS + group.name.encode()
        batch.touch(GATE + key)
        if self._stored.get(group.name) == generation:
            return
        batch.rows.put(key, OFFSET.pack(generation), self._catalogue.family().handle)

        def kept() -> None:
            self._stored[group.name] = generation

        batch.once_written(kept)

    def _group(self, name: str) -> Group:
        known = self._groups.get(name)
        if known is None:
            if len(self._groups) >= GROUPS_MAX:
                raise refusals.too_many_groups()
            known = self._groups[check_name(name, "group")] = Group(name)
        return known
