"""A real memcached behind a network that is slow: slower is all that callers get, never what is not so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.conformance.proxy import Proxy

from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import Unavailable
from soundstage.core.time import NS_PER_MS, Duration
from soundstage.engines.cache.memcached import MemcachedCache, MemcachedOptions, addresses
from soundstage.engines.cache.port import Outcome
from soundstage.servers.cluster import Cluster
from soundstage.testing.cache.suite import value_of
from soundstage.testing.servers import server_fixture

memcached = server_fixture("memcached", scope="module")

PAUSE_S = 2.0
"""Before each piece of an answer: longer than a call may take."""

WITHIN_S = 0.05

OPTIONS = MemcachedOptions(
    within=Duration(30_000 * NS_PER_MS),
    connect_within=Duration(30_000 * NS_PER_MS),
    probe_every=Duration(20 * NS_PER_MS),
)

pytestmark = pytest.mark.slow


@pytest.fixture
async def proxy(memcached: Cluster) -> AsyncIterator[Proxy]:
    async with Proxy(memcached.url).running() as running:
        yield running


@pytest.fixture
async def cache(proxy: Proxy) -> AsyncIterator[MemcachedCache]:
    """Nothing is left of it when it stops."""
    tasks = asyncio.all_tasks()
    engine = MemcachedCache(addresses(proxy.address), SystemEnvironment(), OPTIONS)
    await engine.start()
    await engine.set(b"there", b"red")
    yield engine
    proxy.quick()
    await engine.stop()
    await proxy.deserted()
    assert [each for each in asyncio.all_tasks() - tasks if "memcached" in repr(each)] == []


async def test_calls_end_in_their_time_and_all_goes_on_when_it_is_quick_again(
    cache: MemcachedCache, proxy: Proxy
) -> None:
    proxy.slow(PAUSE_S)
    answered = proxy.answered
    (found,) = await cache.get([b"there"], within_s=WITHIN_S)
    refused: list[Unavailable] = []
    for call in (
        cache.set(b"other", b"blue", within_s=WITHIN_S),
        cache.delete(b"there", within_s=WITHIN_S),
        cache.add(b"count", 1, within_s=WITHIN_S),
    ):
        with pytest.raises(Unavailable) as error:
            await call
        refused.append(error.value)
    assert proxy.answered == answered, "they ended when something was answered"
    proxy.quick()
    while cache.nodes[0].down:  # noqa: ASYNC110 - nobody tells when a server is back
        await asyncio.sleep(0.01)
    assert await cache.set(b"there", b"green")
    assert await value_of(cache, b"there") == b"green"
    assert found.outcome is Outcome.UNAVAILABLE
    assert all(each.retryable for each in refused)
    assert refused[0].outcome == "unknown"


async def test_what_is_slow_to_come_is_never_taken_for_the_answer_to_another_question(
    cache: MemcachedCache, proxy: Proxy
) -> None:
    names = [b"%d" % number for number in range(40)]
    for name in names:
        await cache.set(name, name)
    proxy.slow(0.02, 100_000)
    hasty = [cache.get([name], within_s=0.01) for name in names]
    patient = [cache.get([name]) for name in names]
    found = await asyncio.gather(*(each for pair in zip(hasty, patient, strict=True) for each in pair))
    values = [each.value for (each,) in found]
    assert values[1::2] == names
    assert all(value in (b"", name) for value, name in zip(values[::2], names, strict=True))


async def test_a_large_value_that_is_slow_to_come_is_whole(cache: MemcachedCache, proxy: Proxy) -> None:
    lump = bytes(range(256)) * 1_000
    await cache.set(b"lump", lump)
    proxy.slow(0.01, 500_000)
    assert await value_of(cache, b"lump") == lump
