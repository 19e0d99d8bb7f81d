"""The memory engine is what the suite says, and keeps to its bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import ClassVar, Literal

import pytest

from soundstage.core.environment import VirtualEnvironment
from soundstage.engines.cache.memory import MemoryCache, MemoryCacheOptions
from soundstage.engines.cache.port import Cache
from soundstage.testing.cache import CacheSuite
from soundstage.testing.cache.suite import PassTime, value_of

SMALL = 4 << 20


@pytest.fixture
def environment() -> VirtualEnvironment:
    return VirtualEnvironment()


class TestMemory(CacheSuite):
    policy: ClassVar[Literal["lru", "lfu"]] = "lru"

    @pytest.fixture
    async def cache(self, environment: VirtualEnvironment) -> AsyncIterator[Cache]:
        engine = MemoryCache(environment, MemoryCacheOptions(policy=self.policy))
        await engine.start()
        yield engine
        await engine.stop()

    @pytest.fixture
    def pass_time(self, environment: VirtualEnvironment) -> PassTime:
        async def advance(seconds: float) -> None:
            environment.advance(seconds)

        return advance


class TestLeastFrequentlyUsed(TestMemory):
    policy: ClassVar[Literal["lru", "lfu"]] = "lfu"


async def small(policy: Literal["lru", "lfu"]) -> MemoryCache:
    """A cache that three of the values used here overfill."""
    engine = MemoryCache(VirtualEnvironment(), MemoryCacheOptions(max_bytes=SMALL, policy=policy))
    await engine.start()
    return engine


async def fill(engine: MemoryCache, *keys: bytes) -> None:
    for key in keys:
        await engine.set(key, bytes(1_000_000))


async def kept(engine: MemoryCache, *keys: bytes) -> list[bool]:
    return [found.hit for found in await engine.get(keys)]


async def test_what_was_not_used_for_longest_is_evicted() -> None:
    engine = await small("lru")
    await fill(engine, b"a", b"b", b"c", b"d")
    await engine.get([b"a"])
    await fill(engine, b"e")
    assert await kept(engine, b"a", b"b", b"c", b"d", b"e") == [True, False, True, True, True]


async def test_what_was_used_least_is_evicted() -> None:
    engine = await small("lfu")
    await fill(engine, b"a", b"b", b"c", b"d")
    for _ in range(3):
        await engine.get([b"a", b"b", b"d"])
    await fill(engine, b"e")
    assert await kept(engine, b"a", b"b", b"c", b"d", b"e") == [True, True, False, True, True]


async def test_many_small_values_take_up_room_too() -> None:
    engine = await small("lru")
    for number in range(30_000):
        await engine.set(b"%d" % number, b"")
    assert await kept(engine, b"0", b"29999") == [False, True]


async def test_it_expires_to_the_moment() -> None:
    environment = VirtualEnvironment()
    engine = MemoryCache(environment)
    await engine.start()
    await engine.set(b"k", b"red", ttl_s=5)
    environment.advance(4.999)
    assert await value_of(engine, b"k") == b"red"
    environment.advance(0.001)
    assert await value_of(engine, b"k") is None


async def test_a_wall_clock_that_steps_changes_no_time_to_live() -> None:
    environment = VirtualEnvironment()
    engine = MemoryCache(environment)
    await engine.start()
    await engine.set(b"k", b"red", ttl_s=5)
    environment.skew(3600)
    assert await value_of(engine, b"k") == b"red"


async def test_it_forgets_when_it_stops() -> None:
    engine = await small("lru")
    await engine.set(b"k", b"red")
    await engine.stop()
    await engine.start()
    assert await value_of(engine, b"k") is None
