"""Who is in a group and reads what: pure, told the time, and the same on every engine that keeps groups itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from soundstage.engines.log import refusals
from soundstage.engines.log.port import MEMBERS_MAX, Assignment, Commit, GroupInfo

Place: TypeAlias = tuple[str, int]
"""A topic and the number of one of its partitions."""


class Member(NamedTuple):
    """`deadline_ns` is on the monotonic clock: not heard of by then, it is gone."""

    topics: frozenset[str]
    session_ns: int
    deadline_ns: int


class Group:
    """The members of one group, what each reads, and the generation in which it does."""

    def __init__(self, name: str, generation: int = 0) -> None:
        self.name: str = name
        self.generation: int = generation
        self.members: dict[str, Member] = {}
        self.owners: dict[Place, str] = {}
        self._partitions: dict[str, int] = {}

    def join(
        self, member: str, topics: Sequence[str], session_ns: int, partitions: Mapping[str, int], now_ns: int
    ) -> None:
        """`member` lives and has its share; `partitions` tells how many its topics have."""
        self.expire(now_ns)
        if member not in self.members and len(self.members) >= MEMBERS_MAX:
            raise refusals.too_many_members(self.name)
        before = self.members.get(member)
        self.members[member] = Member(frozenset(topics), session_ns, now_ns + session_ns)
        known = {topic: self._partitions.get(topic) for topic in topics}
        self._partitions.update(partitions)
        if before is None or before.topics != frozenset(topics) or known != dict(partitions):
            self._rebalance()

    def beat(self, member: str, generation: int, now_ns: int) -> bool:
        """`member` was heard of; whether it reads on as it did."""
        self.expire(now_ns)
        found = self.members.get(member)
        if found is None:
            return False
        self.members[member] = found._replace(deadline_ns=now_ns + found.session_ns)
        return generation == self.generation

    def leave(self, member: str, now_ns: int) -> None:
        """Others read what it had."""
        self.expire(now_ns)
        if self.members.pop(member, None) is not None:
            self._rebalance()

    def expire(self, now_ns: int) -> None:
        """Members that were not heard of in time are gone."""
        gone = [name for name, member in self.members.items() if now_ns >= member.deadline_ns]
        for name in gone:
            del self.members[name]
        if gone:
            self._rebalance()

    def assignment(self, member: str) -> Assignment:
        """What `member` reads."""
        partitions: dict[str, list[int]] = {}
        for (topic, partition), owner in sorted(self.owners.items()):
            if owner == member:
                partitions.setdefault(topic, []).append(partition)
        return Assignment(self.generation, partitions)

    @property
    def info(self) -> GroupInfo:
        return GroupInfo(name=self.name, generation=self.generation, members=sorted(self.members))

    def check_unused(self, now_ns: int) -> None:
        """Raises `PreconditionFailed` when somebody is in the group."""
        self.expire(now_ns)
        if self.members:
            raise refusals.in_use(self.name)

    def check(self, commit: Commit, now_ns: int) -> None:
        """Raises `PreconditionFailed` when the positions are not for who commits them to say."""
        self.expire(now_ns)
        if commit.member is None:
            if self.members:
                raise refusals.fenced(self.name, "it has members, and who commits is none of them")
            return
        if commit.member not in self.members:
            raise refusals.fenced(self.name, f"{commit.member!r} is no member, or was not heard of for too long")
        if commit.generation != self.generation:
            raise refusals.fenced(self.name, f"its generation is {self.generation}, not {commit.generation}")
        for topic, partition, _ in commit.positions:
            if self.owners.get((topic, partition)) != commit.member:
                raise refusals.fenced(self.name, f"the partition {partition} of {topic!r} is another member's")

    def _rebalance(self) -> None:
        self.generation += 1
        subscribed = {name: member.topics for name, member in self.members.items()}
        wanted = {topic for topics in subscribed.values() for topic in topics}
        self._partitions = {topic: count for topic, count in self._partitions.items() if topic in wanted}
        places = [(topic, number) for topic, count in sorted(self._partitions.items()) for number in range(count)]
        self.owners = shared(places, subscribed, self.owners)


def shared(
    places: Iterable[Place], subscribed: Mapping[str, frozenset[str]], owners: Mapping[Place, str]
) -> dict[Place, str]:
    """Who reads which place: evenly among those that subscribed, with as few changes of `owners` as that takes."""
    kept: dict[str, list[Place]] = {member: [] for member in sorted(subscribed)}
    free: list[Place] = []
    for place in places:
        owner = owners.get(place)
        if owner is not None and place[0] in subscribed.get(owner, ()):
            kept[owner].append(place)
        else:
            free.append(place)
    for place in free:
        able = [member for member in kept if place[0] in subscribed[member]]
        if able:
            kept[min(able, key=lambda member: (len(kept[member]), member))].append(place)
    while _evened(kept, subscribed):
        pass
    return {place: member for member, held in kept.items() for place in held}


def _evened(kept: Mapping[str, list[Place]], subscribed: Mapping[str, frozenset[str]]) -> bool:
    """One place went from who has many to who has few; false when nothing is gained by that any more."""
    by_load = sorted(kept, key=lambda member: (len(kept[member]), member))
    for giver in reversed(by_load):
        for taker in by_load:
            if len(kept[giver]) - len(kept[taker]) < 2:
                break
            given = next((place for place in reversed(kept[giver]) if place[0] in subscribed[taker]), None)
            if given is not None:
                kept[giver].remove(given)
                kept[taker].append(given)
                return True
    return False
