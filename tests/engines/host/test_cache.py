"""The cache of another process under the suite that every engine passes, and what it is while that process is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest
from tests.engines.host.hosted import Hosted

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import InvalidArgument, TooLarge, Unavailable
from soundstage.engines.cache.memory import MemoryCache
from soundstage.engines.cache.port import (
    DELTA_MIN,
    VALUE_MAX_BYTES,
    Cache,
    CacheCapability,
    Found,
    Lease,
    Newer,
    Outcome,
    Statistics,
    Unchanged,
)
from soundstage.engines.host import HostCache, HostServer
from soundstage.testing.cache import CacheSuite
from soundstage.testing.cache.suite import PassTime, value_of

PATIENT_S = 60.0


@pytest.fixture
def environment() -> VirtualEnvironment:
    return VirtualEnvironment(seed=5)


class Slow(MemoryCache):
    """Answers when it is told to."""

    def __init__(self, environment: VirtualEnvironment) -> None:
        super().__init__(environment)
        self.go = asyncio.Event()
        self.go.set()

    async def get(self, keys: Sequence[bytes], *, within_s: float | None = None) -> list[Found]:
        await self.go.wait()
        return await super().get(keys)

    async def delete(self, key: bytes, *, cas: int | None = None, within_s: float | None = None) -> bool:
        await self.go.wait()
        return await super().delete(key, cas=cas)

    async def lease(self, key: bytes, ttl_s: int, *, within_s: float | None = None) -> Lease:
        await self.go.wait()
        return await super().lease(key, ttl_s)


class HostedCache(Hosted):
    """A cache behind a socket; its parts are started by hand where a test says so."""

    def __init__(self, folder: Path, environment: VirtualEnvironment) -> None:
        super().__init__(Slow(environment), "cache", folder, environment)
        self.host = HostCache(self.path, "default", environment, PATIENT_S)

    def statistics(self) -> Statistics:
        return self.host.statistics()


@pytest.fixture
async def apart(tmp_path: Path, environment: VirtualEnvironment) -> AsyncIterator[HostedCache]:
    """Nothing of it is started."""
    hosted = HostedCache(tmp_path, environment)
    yield hosted
    await hosted.stop()


@pytest.fixture
async def hosted(apart: HostedCache) -> HostedCache:
    await apart.start()
    return apart


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - what is waited for tells nobody
        await asyncio.sleep(0)


class TestMemory(CacheSuite):
    @pytest.fixture
    async def cache(self, hosted: HostedCache) -> Cache:
        return hosted  # pyright: ignore[reportReturnType]

    @pytest.fixture
    def pass_time(self, environment: VirtualEnvironment) -> PassTime:
        async def advance(seconds: float) -> None:
            environment.advance(seconds)

        return advance


async def test_two_processes_see_the_same_values(hosted: HostedCache, environment: VirtualEnvironment) -> None:
    second = HostCache(hosted.path, "default", environment, PATIENT_S)
    await second.start()
    await hosted.host.set(b"k", b"red", when=Newer(7))
    assert await second.get([b"k"]) == await hosted.host.get([b"k"])
    assert await hosted.behind.get([b"k"]) == await second.get([b"k"])
    await second.stop()


async def test_it_says_that_values_are_shared_though_the_memory_behind_it_is_of_one_process(
    hosted: HostedCache,
) -> None:
    assert hosted.behind.capabilities == frozenset()
    assert hosted.host.capabilities == frozenset({CacheCapability.SHARED})


async def test_each_process_counts_what_it_found_itself(hosted: HostedCache, environment: VirtualEnvironment) -> None:
    second = HostCache(hosted.path, "default", environment, PATIENT_S)
    await second.start()
    await second.get([b"k"])
    assert (second.statistics(), hosted.host.statistics()) == (Statistics(misses=1), Statistics())
    await second.stop()


async def test_a_start_waits_for_nobody_and_values_come_with_the_process(
    apart: HostedCache, environment: VirtualEnvironment
) -> None:
    await apart.host.start()
    (found,) = await apart.host.get([b"k"])
    assert (found.outcome, apart.host.warning is None) == (Outcome.UNAVAILABLE, False)
    await apart.behind.start()
    await apart.server.start()
    await apart.behind.set(b"k", b"red")
    environment.advance(5)
    await until(lambda: apart.host.warning is None)
    assert await value_of(apart.host, b"k") == b"red"


async def test_an_engine_that_there_is_not_is_waited_for_by_nobody(
    hosted: HostedCache, environment: VirtualEnvironment
) -> None:
    other = HostCache(hosted.path, "other", environment)
    with pytest.raises(Exception, match="no engine 'other'"):
        await other.start()
    with pytest.raises(Unavailable, match="not open"):
        await other.get([b"k"])


async def test_while_the_process_is_away_gets_and_leases_miss_and_changes_raise(hosted: HostedCache) -> None:
    await hosted.host.set(b"k", b"red")
    await hosted.server.stop()
    await until(lambda: hosted.host.warning is not None)
    (found,) = await hosted.host.get([b"k"])
    lease = await hosted.host.lease(b"k", 10)
    assert (found.outcome, lease.found.outcome, lease.won) == (Outcome.UNAVAILABLE, Outcome.UNAVAILABLE, False)
    assert hosted.host.statistics() == Statistics(unavailable=2)
    for call in (hosted.host.set(b"k", b""), hosted.host.delete(b"k"), hosted.host.touch(b"k", 1)):
        with pytest.raises(Unavailable) as refused:
            await call
        assert (refused.value.outcome, refused.value.retryable) == ("not_applied", True)


async def test_who_is_back_is_used_again(hosted: HostedCache, environment: VirtualEnvironment) -> None:
    await hosted.server.stop()
    await until(lambda: hosted.host.warning is not None)
    again = HostServer(hosted.server.engines, hosted.path, environment)
    await again.start()
    environment.advance(5)
    await until(lambda: hosted.host.warning is None)
    assert await hosted.host.set(b"k", b"red")
    await again.stop()


async def test_an_answer_that_takes_too_long_is_a_miss(hosted: HostedCache) -> None:
    hosted.behind.go.clear()
    (found,) = await hosted.host.get([b"k"], within_s=0)
    lease = await hosted.host.lease(b"k", 10, within_s=0)
    assert {found.outcome, lease.found.outcome} == {Outcome.UNAVAILABLE}


async def test_of_a_change_that_takes_too_long_nobody_knows_what_became(hosted: HostedCache) -> None:
    hosted.behind.go.clear()
    with pytest.raises(Unavailable, match="in time") as late:
        await hosted.host.delete(b"k", within_s=0)
    assert late.value.outcome == "unknown"


async def test_more_than_one_answer_holds_comes_in_several(hosted: HostedCache) -> None:
    keys = [b"%d" % number for number in range(70)]
    value = bytes(VALUE_MAX_BYTES)
    hosted.behind._entries = dict[bytes, object]()
    for key in keys:
        await hosted.behind.set(key, value)
    found = await hosted.host.get(keys)
    assert [len(each.value) for each in found] == [VALUE_MAX_BYTES] * 70
    assert hosted.host.statistics() == Statistics(hits=70)


async def test_numbers_of_sixty_four_bits_travel(hosted: HostedCache) -> None:
    assert await hosted.host.add(b"k", (1 << 64) - 1) == (1 << 64) - 1
    assert await hosted.host.add(b"k", DELTA_MIN) == (1 << 63) - 1
    assert not await hosted.host.set(b"k", b"", when=Unchanged((1 << 64) - 1))


async def test_what_the_port_refuses_is_refused_though_nobody_can_be_reached(apart: HostedCache) -> None:
    await apart.host.start()
    with pytest.raises(InvalidArgument):
        await apart.host.get([b""])
    with pytest.raises(TooLarge):
        await apart.host.set(b"k", bytes(VALUE_MAX_BYTES + 1))
