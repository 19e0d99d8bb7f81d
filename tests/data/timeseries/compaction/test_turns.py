"""Namespaces are rewritten side by side: whose slice is large holds up no other, and all share one pace."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Mapping
from contextlib import suppress
from heapq import heappop, heappush
from types import MappingProxyType
from typing import Any

import pytest
from tests.data.timeseries.compaction.conftest import DAILY, YESTERDAY, OpenStage, event, make, settle, step
from tests.data.timeseries.conftest import H, served, service_of

from soundstage.core.environment import VirtualEnvironment
from soundstage.data.timeseries import roles
from soundstage.data.timeseries.compaction.pacing import Pacing
from soundstage.data.timeseries.compaction.turns import StepsInTurn
from soundstage.data.timeseries.slices import Slice
from soundstage.engines.blobs.memory import MemoryBlobs
from soundstage.engines.blobs.port import ANY, BlobInfo, Expectation
from soundstage.runtime.leases import LeaseLost
from soundstage.runtime.roles import RoleContext
from soundstage.runtime.stage import Stage

S = 1_000_000_000


class Slow(MemoryBlobs):
    """Takes no file of which what it begins with was said."""

    held: str | None = None
    waiting: int = 0

    async def put(
        self,
        key: str,
        chunks: AsyncIterable[bytes],
        *,
        expect: Expectation = ANY,
        expires_us: int = 0,
        metadata: Mapping[str, str] = MappingProxyType({}),
    ) -> BlobInfo:
        if self.held is not None and key.startswith(self.held):
            self.waiting += 1
            await asyncio.Event().wait()
        return await super().put(key, chunks, expect=expect, expires_us=expires_us, metadata=metadata)


class Ordered(VirtualEnvironment):
    """Sleepers wake in the order of the times that they sleep until, as it is played."""

    def __init__(self) -> None:
        super().__init__()
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._slept = 0

    async def sleep(self, seconds: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._slept += 1
        heappush(self._sleepers, (self.monotonic_ns() + round(seconds * S), self._slept, woken))
        await woken

    async def play(self, seconds: float) -> None:
        """So much time passes."""
        until_ns = self.monotonic_ns() + round(seconds * S)
        while True:
            for _ in range(20):
                await asyncio.sleep(0)
            if not self._sleepers or self._sleepers[0][0] > until_ns:
                break
            due_ns, _, woken = heappop(self._sleepers)
            self.advance((due_ns - self.monotonic_ns()) / S)
            if not woken.done():
                woken.set_result(None)
        self.advance((until_ns - self.monotonic_ns()) / S)


@pytest.fixture
def cold(environment: VirtualEnvironment) -> Slow:
    return Slow(environment)


def context(stage: Stage) -> RoleContext:
    return RoleContext(environment=stage.environment, invoker=stage, service=service_of(stage))


def the_slice(stage: Stage, name: str) -> Slice:
    (found,) = served(stage, name).catalogue.slices
    return found


async def ended(task: asyncio.Future[Any]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def old_events(stage: Stage, name: str, at: int = YESTERDAY) -> None:
    series = await make(stage, name, **{**DAILY, "accept_limit": "3d"})
    await series.write_event_records_sync(events=[event(at, f"e{at}")])
    await make(stage, name, **DAILY)


async def test_a_slice_that_takes_long_holds_up_no_other_namespace_and_nothing_that_is_cleared(
    open_cold: OpenStage, environment: VirtualEnvironment, cold: Slow
) -> None:
    stage = await open_cold()
    await old_events(stage, "one")
    await settle(stage, environment, "one")
    # What comes late makes a second run of it.
    await old_events(stage, "one", YESTERDAY + H)
    for name in ("other", "third"):
        await old_events(stage, name)
    found = the_slice(stage, "one")
    assert found.moved.compacted is not None
    cold.held = found.moved.compacted.run.rpartition("/")[0]
    working = asyncio.ensure_future(roles.compact_namespaces(context(stage)))
    # The other is rewritten, and an hour later what it had before is gone, of one that is held up no less.
    until = environment.monotonic_ns() + 3 * 3_600 * S
    while environment.monotonic_ns() < until:
        await environment.sleep(30)
    others = [the_slice(stage, name) for name in ("other", "third")]
    await ended(working)
    assert cold.waiting == 1
    assert [(each.moved.compacted is not None, each.moved.left) for each in others] == [(True, ()), (True, ())]


async def test_what_a_slice_had_before_goes_while_another_of_the_namespace_is_rewritten(
    open_cold: OpenStage, environment: VirtualEnvironment, cold: Slow
) -> None:
    stage = await open_cold()
    await old_events(stage, "one")
    await step(stage, "one")
    environment.advance(121.0)
    await step(stage, "one")
    environment.advance(121.0)
    await step(stage, "one")
    found = the_slice(stage, "one")
    assert found.moved.left
    series = await make(stage, "one", **{**DAILY, "accept_limit": "3d"})
    await series.write_event_records_sync(events=[event(YESTERDAY - 24 * H)])
    await make(stage, "one", **DAILY)
    cold.held = "timeseries/"
    working = asyncio.ensure_future(roles.compact_namespaces(context(stage)))
    until = environment.monotonic_ns() + 3_600 * S
    while environment.monotonic_ns() < until:
        await environment.sleep(30)
    left = [each.moved.left for each in served(stage, "one").catalogue.slices]
    await ended(working)
    assert cold.waiting == 1
    assert left == [(), ()]


async def test_each_name_has_its_turn_and_few_at_once() -> None:
    environment, under_way, most, done = Ordered(), set[str](), 0, list[str]()

    async def work(name: str) -> bool:
        nonlocal most
        assert name not in under_way
        under_way.add(name)
        most = max(most, len(under_way))
        await environment.sleep(1)
        under_way.discard(name)
        done.append(name)
        return name == "a"

    names = ["a", "b", "c", "d", "e"]
    running = asyncio.ensure_future(StepsInTurn(lambda: names, work, 2, 60.0, environment).run())
    await environment.play(59.0)
    assert most == 2
    assert set(done[:6]) == set(names)
    # One that has more goes on at once, and those that have nothing wait for the next look.
    assert done.count("a") > 50
    assert done.count("b") == 1
    await environment.play(6.0)
    await ended(running)
    assert [done.count(name) for name in "bcde"] == [2, 2, 2, 2]


async def test_what_one_step_raises_ends_all(environment: VirtualEnvironment) -> None:
    called_off = list[str]()

    async def work(name: str) -> bool:
        if name == "b":
            raise LeaseLost("another has it")
        try:
            await asyncio.Event().wait()
        finally:
            called_off.append(name)
        return False

    with pytest.raises(LeaseLost):
        await StepsInTurn(lambda: ["a", "b"], work, 2, 60.0, environment).run()
    assert called_off == ["a"]


async def test_all_together_keep_to_the_pace_of_the_fastest() -> None:
    environment = Ordered()
    pacing, spent = Pacing(environment), dict[str, int]()

    async def spend(name: str, rate: int) -> None:
        with pacing.at(rate) as pace:
            spent[name] = 0
            while True:
                await pace(1_000)
                spent[name] += 1_000

    working = [asyncio.ensure_future(spend(*each)) for each in (("a", 10_000), ("b", 10_000), ("slow", 100))]
    await environment.play(100.0)
    for each in working:
        await ended(each)
    assert 990_000 < sum(spent.values()) <= 1_000_000
    assert abs(spent["a"] - spent["b"]) < 20_000
    assert 8_000 <= spent["slow"] <= 10_000


async def test_one_alone_keeps_to_its_own_pace() -> None:
    environment = Ordered()
    took: list[int] = []

    async def spend() -> None:
        with Pacing(environment).at(1_000) as pace:
            await pace(5_000)
            took.append(environment.monotonic_ns())

    working = asyncio.ensure_future(spend())
    await environment.play(10.0)
    await working
    assert took == [5 * S]
