"""A process that dies between any two steps: nothing accepted is lost, nothing is applied out of order.

Every writing call of the log and of the stage's records is a step. A process dies before one of them, or after it was
done and before it was answered; what follows is begun anew by a process that knows nothing. Every step is tried.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from tests.data.writeahead.conftest import House, Shop, mutation

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import InvalidArgument, Unavailable
from soundstage.data.writeahead.ledger import dead, pending
from soundstage.data.writeahead.pieces import PIECE_BYTES
from soundstage.data.writeahead.worker import Worker
from soundstage.engines.log.memory import MemoryLog
from soundstage.engines.log.port import Commit, Entry, Spot, TopicSpec
from soundstage.engines.records.memory import MemoryRecords
from soundstage.engines.records.port import TableSpec

# A death at every step there is: hundreds of short lives.
pytestmark = pytest.mark.slow


class Death(BaseException):
    """The process is gone."""


class Fate:
    """Dies at step `at`, before it is done or `after`; whatever else the process wanted to do is not done either."""

    def __init__(self, at: int | None = None, *, after: bool = False) -> None:
        self.steps = 0
        self.dead = False
        self._at = at
        self._after = after

    async def step(self, work: Callable[[], Awaitable[Any]]) -> Any:
        if self.dead:
            raise Death
        self.steps += 1
        self.dead = self.steps == self._at
        if self.dead and not self._after:
            raise Death
        done = await work()
        if self.dead:
            raise Death
        return done


class FatedRecords(MemoryRecords):
    fate: Fate

    async def apply(self, table: str, *arguments: Any, **named: Any) -> int:
        return await self.fate.step(lambda: MemoryRecords.apply(self, table, *arguments, **named))

    async def create_table(self, spec: TableSpec) -> None:
        await self.fate.step(lambda: MemoryRecords.create_table(self, spec))


class FatedLog(MemoryLog):
    """Of an append that is cut off some entries may have come, as on engines that take them one by one."""

    fate: Fate
    torn = False

    async def append(self, topic: str, entries: Sequence[Entry], **named: Any) -> list[Spot]:
        async def whole() -> list[Spot]:
            return await MemoryLog.append(self, topic, entries, **named)

        async def first() -> list[Spot]:
            return await MemoryLog.append(self, topic, entries[:-1], **named)

        return await self.fate.step(first if self.torn else whole)

    async def commit(self, commit: Commit) -> None:
        await self.fate.step(lambda: MemoryLog.commit(self, commit))

    async def create_topic(self, spec: TopicSpec) -> None:
        await self.fate.step(lambda: MemoryLog.create_topic(self, spec))


class FatedShop(Shop):
    fate: Fate

    async def apply(self, mutation: bytes, time_us: int, token: str, deadline_ns: int) -> None:
        await self.fate.step(lambda: Shop.apply(self, mutation, time_us, token, deadline_ns))


class Story:
    """Sets are submitted and worked off while one store is down and comes back; `fate` says where the process dies."""

    def __init__(self, fate: Fate) -> None:
        self.environment = VirtualEnvironment(seed=7)
        self.records, self.log = FatedRecords(self.environment), FatedLog(self.environment)
        self.shop = FatedShop()
        self.fate(fate)

    def fate(self, fate: Fate) -> None:
        self.records.fate = self.log.fate = self.shop.fate = fate

    async def tell(self, *, repeats: bool = True) -> House:
        """Everything that happens; after a death, what its process was at is begun again by another."""
        await self.records.start()
        await self.log.start()
        self.house = House(self.environment, self.records, self.log)
        self.house.worker = Worker(self.house.journal, self.shop)
        self.shop.errors |= {"down": Unavailable("down"), "poison": InvalidArgument("poison")}
        await self.survive(self.house.ledger.create, True)
        large = "x" * PIECE_BYTES
        sets = {
            "plain": [mutation("1", "a"), mutation("2", "a"), mutation("3", "b")],
            "waiting": [mutation("4", "c"), mutation("5", "down"), mutation("6", "d")],
            "large": [mutation(large, "e"), mutation("7", "e"), mutation(large, "f")],
            "killed": [mutation("8", "g"), mutation("9", "poison"), mutation("10", "h")],
        }
        for number, (token, mutations) in enumerate(sets.items()):
            at = 1_000 * (number + 1) + self.environment.now_us() // 1_000_000_000 * 1_000_000_000
            await self.survive(lambda t=token, m=mutations, us=at: self.house.submit(*m, token=t, time_us=us), repeats)
            await self.survive(self.house.work, True)
        del self.shop.errors["down"]
        for _ in range(5):
            await self.survive(lambda: self.house.later(2), True)
        return self.house

    async def survive(self, work: Callable[[], Awaitable[Any]], repeats: bool) -> None:
        try:
            await work()
        except Death:
            self.fate(Fate())
            self.house.restart()
            self.house.worker = Worker(self.house.journal, self.shop)
            if repeats:
                await self.house.ledger.create()
                await work()

    async def check(self) -> None:
        """Everything is as it would be had nobody died."""
        values = self.shop.values()
        wanted = {"a": "2", "b": "3", "c": "4", "down": "5", "d": "6", "f": "x" * PIECE_BYTES, "e": "7", "g": "8"}
        assert values == wanted
        for token in ("plain", "waiting", "large", "killed"):
            self.check_order(token)
        assert await self.house.ledger.listed(pending("shop"), 10) == []
        listed = await self.house.ledger.listed(dead("shop"), 10)
        buried = [each for each in listed if (await self.house.status(each.mutation_id)).next_us == each.at_us]
        assert [(await self.house.status(each.mutation_id)).token for each in buried] == ["killed"]
        await self.check_all_settled()

    def check_order(self, token: str) -> None:
        """No mutation was applied for the first time before the one in front of it."""
        order = self.shop.order(token)
        first = {number: order.index(number) for number in set(order)}
        assert sorted(first, key=first.__getitem__) == sorted(first)

    async def check_all_settled(self) -> None:
        topic = self.house.journal.topic
        committed = await self.log.committed(topic, topic)
        ends = [bounds.end for bounds in await self.log.bounds(topic)]
        assert [committed.get(each, 0) for each in range(len(ends))] == ends


async def steps() -> int:
    story = Story(fate := Fate())
    await story.tell()
    await story.check()
    return fate.steps


async def test_the_story_has_as_many_steps_as_are_tried() -> None:
    assert 40 <= await steps() < STEPS_MAX


STEPS_MAX = 80


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(1, STEPS_MAX))
async def test_a_death_at_a_step_changes_nothing_in_the_end(at: int, after: bool) -> None:
    story = Story(Fate(at, after=after))
    await story.tell()
    await story.check()


@pytest.mark.parametrize("at", range(1, STEPS_MAX))
async def test_a_torn_append_changes_nothing_in_the_end(at: int) -> None:
    story = Story(fate := Fate(at, after=True))
    step = fate.step

    async def torn(work: Callable[[], Awaitable[Any]]) -> Any:
        story.log.torn = fate.steps + 1 == at
        try:
            return await step(work)
        finally:
            story.log.torn = False

    fate.step = torn  # type: ignore[method-assign]
    await story.tell()
    story.environment.advance(700)
    await story.house.work()
    await story.check()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(1, STEPS_MAX))
async def test_a_set_whose_caller_gave_up_is_applied_whole_or_not_at_all(at: int, after: bool) -> None:
    story = Story(Fate(at, after=after))
    await story.tell(repeats=False)
    for token, whole in {"plain": [0, 1, 2], "waiting": [0, 1, 2], "large": [0, 1, 2], "killed": [0]}.items():
        assert sorted(set(story.shop.order(token))) in ([], whole)
        story.check_order(token)
