"""Groups of consumers, which are Kafka's own: who is in them here, and the positions they got to."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from soundstage.core.environment import Environment
from soundstage.core.errors import InvalidArgument, NotFound, PreconditionFailed, SoundstageError, Unavailable
from soundstage.engines.log import refusals
from soundstage.engines.log.arrivals import check_name
from soundstage.engines.log.kafka.asking import Asking
from soundstage.engines.log.kafka.bridge import Bridge
from soundstage.engines.log.kafka.carrier import Offered
from soundstage.engines.log.kafka.driver import TopicPartition, root
from soundstage.engines.log.kafka.link import Link
from soundstage.engines.log.kafka.members import Attendant, Member
from soundstage.engines.log.kafka.names import group_here, group_in_kafka
from soundstage.engines.log.kafka.positions import Positions
from soundstage.engines.log.port import MEMBERS_MAX, Assignment, GroupInfo, Position

LOOK_S = 1.0
"""How often members are looked for that nobody speaks for any more."""


class Memberships:
    """The members that live in this process, and what Kafka knows of all groups."""

    def __init__(self, link: Link, bridge: Bridge, asking: Asking, environment: Environment, space: str) -> None:
        self._link = link
        self._bridge = bridge
        self._asking = asking
        self._environment = environment
        self._space = space
        self._patience_s = link.address.options.patience_s
        self._attendant = Attendant(link, bridge)
        self._members: dict[tuple[str, str], Member] = {}
        self._turn = asyncio.Lock()
        self._positions = Positions(link, bridge)
        self._looking: asyncio.TimerHandle | None = None

    async def join(self, group: str, name: str, topics: Sequence[str], session_us: int) -> Assignment:
        """`topics` are names in Kafka. Returns what the member has once the group is put together.

        Who is cancelled or refused was never a member, or is the one it was before.
        """
        wanted = frozenset(topics)
        member: Member | None = None
        try:
            async with self._turn:
                self.expire()
                known = self._members.get((group, name))
                member = known or self._newcomer(group, name, wanted, session_us)
                member.joins += 1
                if known is None:
                    self._unsettle(group)
                    await self._attendant.admit(member)
                    self._members[group, name] = member
                    self._look_later()
                elif known.topics != wanted:
                    self._unsettle(group)
                    await self._attendant.subscribe(known, wanted)
                self._hear(member)
            share = await self._settled(member)
            self._hear(member)
            member.belongs = True
            return share
        except (asyncio.CancelledError, SoundstageError) as error:
            if member is not None and member.joins == 1 and not _may_be_taken_yet(error, member):
                self._abandon(group, name, member)
            raise
        finally:
            if member is not None:
                member.joins -= 1

    def _newcomer(self, group: str, name: str, topics: frozenset[str], session_us: int) -> Member:
        named = group_in_kafka(self._space, check_name(group, "group"))
        if sum(known == group for known, _ in self._members) + self._attendant.leaving(named) >= MEMBERS_MAX:
            raise refusals.too_many_members(group)
        return Member(named, name, topics, session_us)

    def _abandon(self, group: str, name: str, member: Member) -> None:
        """Who would have let the member leave knows of none."""
        if self._members.get((group, name)) is member:
            del self._members[group, name]
        if not member.left:
            self._let_go(group, member, f"who joined as {name!r} did not wait")

    async def beat(self, group: str, name: str, generation: int) -> bool:
        """The member was heard of; whether its share is still that of the generation."""
        self.expire()
        member = self._members.get((group, name))
        if member is None:
            return False
        self._hear(member)
        return member.share is not None and member.share.generation == generation

    async def leave(self, group: str, name: str) -> None:
        """Others read what it had. Who waits to join by that name is told that it left."""
        async with self._turn:
            self.expire()
            member = self._members.pop((group, name), None)
            if member is not None:
                self._let_go(group, member, f"{name!r} left while it joined")
        await self._attendant.gone(group_in_kafka(self._space, group), name)

    async def commit(self, group: str, name: str | None, generation: int | None, positions: Sequence[Any]) -> None:
        """The positions are the group's, unless the generation is over."""
        self.expire()
        if name is None:
            await self._commit_for_nobody(group, positions)
            return
        member, its_generation = self._checked(group, name, generation, positions)
        await self._attendant.commit(member, its_generation, positions)

    async def offered(self, group: str, name: str | None, generation: int | None, positions: Sequence[Any]) -> Offered:
        """The same for a transaction, which Kafka refuses where the generation has gone on meanwhile."""
        self.expire()
        if name is None:
            raise InvalidArgument(
                "in Kafka, positions in a transaction are a member's",
                field="member",
                hint="join the group, or commit them by themselves",
            )
        member, its_generation = self._checked(group, name, generation, positions)
        return Offered(positions, await self._attendant.identity(member, its_generation))

    def _checked(self, group: str, name: str, generation: int | None, positions: Sequence[Any]) -> tuple[Member, int]:
        member = self._members.get((group, name))
        if member is None:
            raise refusals.fenced(group, f"{name!r} is no member here, or was not heard of for too long")
        share = member.share
        if share is None or share.generation != generation:
            raise refusals.fenced(group, f"its generation is not {generation} any more")
        for at in positions:
            if at.partition not in share.partitions.get(at.topic, ()):
                raise refusals.fenced(group, f"the partition {at.partition} of {at.topic!r} is another member's")
        return member, share.generation

    async def committed(self, group: str, topic: str, partitions: int, incarnation: str) -> dict[int, int]:
        """The positions in a topic of Kafka, of those in the topic that is there now."""
        places = [TopicPartition(topic, number) for number in range(partitions)]

        def asked(request_timeout: float) -> Future[Any]:
            return self._positions.ask(group_in_kafka(self._space, group), places, request_timeout)

        try:
            (found,) = await self._asking.answer(asked)
        except NotFound:
            return {}
        return {at.partition: at.offset for at in found if at.offset >= 0 and at.metadata == incarnation}

    async def groups(self) -> list[GroupInfo]:
        """All groups of the space. A generation that only Kafka knows is told as 0."""
        self.expire()
        with suppress(SoundstageError):
            # Kafka tells whom it still knows.
            await self._attendant.gone()
        (listed,) = await self._asking.answer("list_consumer_groups")
        names = [each.group_id for each in listed.valid if group_here(self._space, each.group_id) is not None]
        if not names:
            return []
        described = await self._asking.answer("describe_consumer_groups", names)
        return sorted((self._info(each) for each in described), key=lambda info: info.name)

    async def forget(self, group: str) -> None:
        """Kafka does not know the group. Raises `PreconditionFailed` while it has members."""
        self.expire()
        if any(known == group for known, _ in self._members):
            raise refusals.in_use(group)
        await self._attendant.gone(group_in_kafka(self._space, group))
        try:
            await self._asking.answer("delete_consumer_groups", [group_in_kafka(self._space, group)], reading=False)
        except NotFound:
            return

    def expire(self) -> None:
        """Members of this process that were not heard of in time are none any more; Kafka is being told."""
        for group, name in self._silent():
            self._let_go(group, self._members.pop((group, name)), f"{name!r} was not heard of for too long")

    async def close(self) -> None:
        """Nobody is a member any more."""
        if self._looking is not None:
            self._looking.cancel()
        self._members.clear()
        await self._attendant.close()
        await self._positions.close()

    def _silent(self) -> list[tuple[str, str]]:
        """Who was not heard of in time, and does not wait for its share."""
        now_ns = self._environment.monotonic_ns()
        return [
            key
            for key, member in self._members.items()
            if member.deadline_ns and now_ns >= member.deadline_ns and not member.waiters
        ]

    def _look_later(self) -> None:
        if self._looking is None:
            self._looking = self._bridge.loop.call_later(LOOK_S, self._look)

    def _look(self) -> None:
        """The same as `expire`, where nobody asks for anything: others wait for what a silent member has."""
        self._looking = None
        self.expire()
        if self._members:
            self._look_later()

    def _let_go(self, group: str, member: Member, why: str) -> None:
        """`member`, which is none of those here any more, is let go; the others wait for shares."""
        # Else Kafka may never have heard of it.
        is_known = member.belongs or member.share is not None
        member.leave(refusals.fenced(group, why))
        self._attendant.let_go(member)
        if is_known:
            self._unsettle(group)
        else:
            self._resettle(group)

    async def _commit_for_nobody(self, group: str, positions: Sequence[Any]) -> None:
        if any(known == group for known, _ in self._members):
            raise refusals.fenced(group, "it has members, and who commits is none of them")
        if not positions:
            return
        await self._attendant.gone(group_in_kafka(self._space, group))
        asked = [root.ConsumerGroupTopicPartitions(group_in_kafka(self._space, group), list(positions))]
        try:
            (answer,) = await self._asking.answer("alter_consumer_group_offsets", asked, reading=False)
        except PreconditionFailed:
            raise refusals.fenced(group, "it has members, and who commits is none of them") from None
        for at in answer.topic_partitions:
            if at.error is not None:
                raise Unavailable(f"Kafka did not keep a position: {at.error.str()}", outcome="unknown")

    async def _settled(self, member: Member) -> Assignment:
        ends_s = self._bridge.loop.time() + self._patience_s
        while member.share is None:
            if member.error is not None:
                raise member.error
            waiter = self._bridge.promise()
            member.waiters.add(waiter)
            try:
                async with asyncio.timeout_at(ends_s):
                    await waiter
            except TimeoutError:
                why = self._link.trouble or "it did not become whole in time"
                refused = self._link.refused("unknown")
                raise refused or Unavailable(
                    f"the group {member.group!r} has no shares: {why}", hint="join again"
                ) from None
            finally:
                member.waiters.discard(waiter)
        return member.share

    def _unsettle(self, group: str) -> None:
        """Kafka is going to put the group together anew: nobody goes on as if it had happened already."""
        for (known, _), member in self._members.items():
            if known == group:
                member.given(None)

    def _resettle(self, group: str) -> None:
        """Others have shares again, though Kafka may never have heard of the one for whom they were unsettled."""
        for (known, _), member in self._members.items():
            if known == group and member.share is None:
                self._attendant.join_again(member)

    def _hear(self, member: Member) -> None:
        member.deadline_ns = self._environment.monotonic_ns() + member.session_us * 1_000

    def _info(self, described: Any) -> GroupInfo:
        name = group_here(self._space, described.group_id) or ""
        shares = [member.share for (known, _), member in self._members.items() if known == name]
        return GroupInfo(
            name=name,
            generation=max((share.generation for share in shares if share is not None), default=0),
            members=sorted(each.client_id for each in described.members),
        )


def _may_be_taken_yet(error: BaseException, member: Member) -> bool:
    """Whether it is one already, or was asked for and only the time to wait for its share is over."""
    waited = isinstance(error, SoundstageError) and member.deadline_ns > 0 and member.error is None
    return member.belongs or waited


def in_kafka(positions: Sequence[Position], topics: Mapping[str, tuple[str, str]]) -> list[Any]:
    """Positions as Kafka keeps them, with the incarnation of their topic: one of the same name is another topic."""
    return [
        TopicPartition(topics[topic][0], partition, offset, topics[topic][1]) for topic, partition, offset in positions
    ]
