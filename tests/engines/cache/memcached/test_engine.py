"""The engine on two real servers does what the suite says, and what it does when they are gone, hang and come back."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import uvloop
from tests.conformance.pauses import paused

from soundstage.core.environment import SystemEnvironment, VirtualEnvironment
from soundstage.core.errors import Exhausted, InvalidArgument, TooLarge, Unavailable
from soundstage.core.time import NS_PER_MS, Duration
from soundstage.engines.cache.memcached import MemcachedCache, MemcachedOptions, addresses
from soundstage.engines.cache.port import ABSENT, ALWAYS, TTL_MAX_S, Cache, Newer, Outcome, Unchanged, When
from soundstage.servers.cluster import Cluster
from soundstage.testing.cache import CacheSuite
from soundstage.testing.cache.suite import own_key, value_of
from soundstage.testing.servers import server_fixture

shared = server_fixture("memcached", nodes=2)
own = server_fixture("memcached", nodes=2, scope="function")
small = server_fixture("memcached", scope="function", settings={"memory_mb": "2", "item_kb": "256"})
full = server_fixture("memcached", scope="function", settings={"memory_mb": "2", "evicts": "false"})

PATIENT = MemcachedOptions(within=Duration(30_000 * NS_PER_MS), connect_within=Duration(30_000 * NS_PER_MS))
HASTY = MemcachedOptions(
    within=Duration(20_000 * NS_PER_MS),
    connect_within=Duration(2_000 * NS_PER_MS),
    probe_every=Duration(20 * NS_PER_MS),
)


def places(cluster: Cluster) -> list[tuple[str, int]]:
    return addresses(cluster.url.removeprefix("memcached://"))


def opened(cluster: Cluster, options: MemcachedOptions) -> MemcachedCache:
    return MemcachedCache(places(cluster), SystemEnvironment(), options)


class TestMemcached(CacheSuite):
    @pytest.fixture
    async def cache(self, shared: Cluster) -> AsyncIterator[Cache]:
        engine = opened(shared, PATIENT)
        await engine.start()
        yield engine
        await engine.stop()


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_it_works_on_the_loop_of_programs_and_on_that_of_servers(shared: Cluster, run: Callable[[Any], Any]) -> None:
    async def calls() -> tuple[bool, bytes, bool]:
        engine, key = opened(shared, PATIENT), own_key()
        await engine.start()
        try:
            was_set, (found,) = await engine.set(key, b"v" * 100_000), await engine.get([key])
            return was_set, found.value[:1], await engine.delete(key)
        finally:
            await engine.stop()

    assert run(calls()) == (True, b"v", True)


@pytest.fixture
async def cache(own: Cluster) -> AsyncIterator[MemcachedCache]:
    """A cache on two servers of the test's own, which it may kill."""
    engine = opened(own, HASTY)
    await engine.start()
    yield engine
    await engine.stop()


@pytest.fixture
def keys(cache: MemcachedCache, own: Cluster) -> list[bytes]:
    """A key of each server, in the order of the cluster."""
    names = [node.address for node in own.nodes]
    found: dict[str, bytes] = {}
    while len(found) < 2:
        key = own_key()
        found.setdefault(cache._ring.node(key).name, key)  # pyright: ignore[reportPrivateUsage]
    return [found[name] for name in names]


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """The condition came true."""
    while not await condition():  # noqa: ASYNC110 - nobody tells when a server is back
        await asyncio.sleep(0.01)


async def test_each_server_has_its_share(cache: MemcachedCache, own: Cluster) -> None:
    for number in range(400):
        await cache.set(b"%d" % number, b"red")
    counts: list[int] = []
    for node in own.nodes:
        with socket.create_connection((node.host, node.port), timeout=30) as connection:
            connection.sendall(b"stats\r\n")
            answer = b""
            while not answer.endswith(b"END\r\n"):
                answer += connection.recv(4096)
        counts.append(int(answer.partition(b"curr_items ")[2].split()[0]))
    assert sum(counts) == 400
    assert all(count > 50 for count in counts)


async def test_a_prefix_keeps_programs_apart(shared: Cluster) -> None:
    one = MemcachedCache(places(shared), SystemEnvironment(), MemcachedOptions(prefix="one:", within=PATIENT.within))
    two = opened(shared, PATIENT)
    for engine in (one, two):
        await engine.start()
    key = own_key()
    await one.set(key, b"red")
    assert await value_of(two, key) is None
    assert await value_of(two, b"one:" + key) == b"red"
    for engine in (one, two):
        await engine.stop()


async def test_two_caches_with_one_address_share_their_values(shared: Cluster) -> None:
    one, two, key = opened(shared, PATIENT), opened(shared, PATIENT), own_key()
    for engine in (one, two):
        await engine.start()
    await one.set(key, b"red", when=Newer(3))
    (found,) = await two.get([key])
    assert (found.value, found.version) == (b"red", 3)
    for engine in (one, two):
        await engine.stop()


async def test_of_a_server_that_was_killed_only_its_keys_are_gone(
    cache: MemcachedCache, own: Cluster, keys: list[bytes]
) -> None:
    for key in keys:
        await cache.set(key, b"red")
    own.servers[0].kill()
    gone, there = await cache.get(keys)
    assert gone.outcome is Outcome.UNAVAILABLE
    assert there.value == b"red"
    assert cache.statistics().unavailable == 1


async def test_changes_of_a_server_that_was_killed_are_refused(
    cache: MemcachedCache, own: Cluster, keys: list[bytes]
) -> None:
    own.servers[0].kill()
    for call in (cache.set(keys[0], b"red"), cache.delete(keys[0]), cache.touch(keys[0], 5), cache.add(keys[0], 1)):
        with pytest.raises(Unavailable, match=f"the memcached {own.nodes[0].address} did not answer") as caught:
            await call
        assert caught.value.outcome == "not_applied"
        assert caught.value.retryable


async def test_calls_amid_which_a_server_is_killed_end_at_once(own: Cluster, keys: list[bytes]) -> None:
    engine = opened(own, PATIENT)
    await engine.start()
    await engine.set(keys[0], b"red")
    own.servers[0].pause()
    change = asyncio.ensure_future(engine.set(keys[0], b"blue"))
    gets = [asyncio.ensure_future(engine.get(keys)) for _ in range(50)]
    await asyncio.sleep(0)
    own.servers[0].kill()
    async with asyncio.timeout(PATIENT.within.seconds / 2):
        with pytest.raises(Unavailable) as caught:
            await change
        found = await asyncio.gather(*gets)
    assert caught.value.outcome == "unknown"
    assert [each.outcome for each, _ in found] == [Outcome.UNAVAILABLE] * 50
    await engine.stop()


async def test_a_lease_of_a_server_that_is_gone_is_won_by_nobody(
    cache: MemcachedCache, own: Cluster, keys: list[bytes]
) -> None:
    own.servers[0].kill()
    lease = await cache.lease(keys[0], 10)
    assert (lease.won, lease.found.outcome) == (False, Outcome.UNAVAILABLE)


async def test_a_server_that_is_away_is_passed_over_and_told(
    cache: MemcachedCache, own: Cluster, keys: list[bytes]
) -> None:
    assert cache.warning is None
    own.servers[0].kill()
    for _ in range(HASTY.failures_max):
        await cache.get([keys[0]])
    assert cache.nodes[0].down
    assert cache.warning == f"memcached servers do not answer: {own.nodes[0].address}"


async def test_a_server_that_comes_back_is_used_again(cache: MemcachedCache, own: Cluster, keys: list[bytes]) -> None:
    await cache.set(keys[0], b"red")
    own.servers[0].kill()
    for _ in range(HASTY.failures_max):
        await cache.get([keys[0]])
    own.start()
    own.ready()

    async def up() -> bool:
        return not cache.nodes[0].down

    await until(up)
    assert await cache.set(keys[0], b"blue")
    assert await value_of(cache, keys[0]) == b"blue"


@pytest.mark.parametrize("off_ns", [-(10**17), 10**17], ids=["behind", "ahead"])
async def test_a_process_whose_clock_is_years_off_keeps_values_as_long_as_any(shared: Cluster, off_ns: int) -> None:
    environment = VirtualEnvironment(start_ns=time.time_ns() + off_ns)
    engine, other, key = MemcachedCache(places(shared), environment, PATIENT), opened(shared, PATIENT), own_key()
    for each in (engine, other):
        await each.start()
    for ttl_s in (60, TTL_MAX_S):
        assert await engine.set(key, b"red", ttl_s=ttl_s)
        assert await value_of(other, key) == b"red"
    assert (await engine.lease(own_key(), 60)).won
    for each in (engine, other):
        await each.stop()


LUMP = bytes(100_000)
LUMPS = 100
"""More than a server of 2 MB holds."""


async def test_a_full_server_forgets_what_was_not_used_for_longest(small: Cluster) -> None:
    cache = opened(small, PATIENT)
    await cache.start()
    assert all([await cache.set(b"%d" % number, LUMP) for number in range(LUMPS)])
    first, last = await cache.get([b"0", b"%d" % (LUMPS - 1)])
    assert (first.outcome, last.value) == (Outcome.MISS, LUMP)
    await cache.stop()


async def test_a_full_server_that_may_forget_nothing_says_so_and_keeps_what_it_has(full: Cluster) -> None:
    cache = opened(full, PATIENT)
    await cache.start()
    stored = 0

    async def fill() -> None:
        nonlocal stored
        while await cache.set(b"%d" % stored, LUMP):
            stored += 1

    with pytest.raises(Exhausted, match="is full") as caught:
        await fill()
    assert (caught.value.retryable, caught.value.outcome) == (True, "unknown")
    assert 0 < stored < LUMPS
    found = await cache.get([b"%d" % number for number in range(stored)])
    assert {each.value for each in found} == {LUMP}
    assert await cache.delete(b"0")
    assert await cache.set(b"again", LUMP)
    assert cache.warning is None
    await cache.stop()


async def test_a_value_that_is_too_large_for_its_server_says_so_and_harms_no_other_call(small: Cluster) -> None:
    cache = opened(small, PATIENT)
    await cache.start()
    refused, stored = await asyncio.gather(
        cache.set(b"large", bytes(500_000)), cache.set(b"k", b"red"), return_exceptions=True
    )
    assert (type(refused), stored) == (TooLarge, True)
    assert [each.value for each in await cache.get([b"large", b"k"])] == [b"", b"red"]
    await cache.stop()


@pytest.mark.parametrize("when", [ALWAYS, ABSENT, Unchanged(1), Newer(2)], ids=lambda when: type(when).__name__)
async def test_a_value_that_is_refused_for_its_size_leaves_none(small: Cluster, when: When) -> None:
    cache = opened(small, PATIENT)
    await cache.start()
    await cache.set(b"k", b"red", when=Newer(1))
    with pytest.raises(TooLarge) as caught:
        await cache.set(b"k", bytes(500_000), when=when)
    (found,) = await cache.get([b"k"])
    assert (found.outcome, caught.value.outcome) == (Outcome.MISS, "unknown")
    await cache.stop()


@pytest.mark.slow
async def test_a_server_that_hangs_is_out_of_time_and_then_passed_over(
    cache: MemcachedCache, own: Cluster, keys: list[bytes]
) -> None:
    await cache.set(keys[0], b"red")
    async with paused(own.servers[0]):
        with pytest.raises(Unavailable) as caught:
            await cache.set(keys[0], b"blue", within_s=0.05)
        assert caught.value.outcome == "unknown"
        for _ in range(HASTY.failures_max):
            (found,) = await cache.get([keys[0]], within_s=0.05)
            assert found.outcome is Outcome.UNAVAILABLE
        assert cache.nodes[0].down
        with pytest.raises(Unavailable) as caught:
            await cache.set(keys[0], b"blue", within_s=0.05)
        assert caught.value.outcome == "not_applied"

    async def up() -> bool:
        return not cache.nodes[0].down

    await until(up)
    assert await value_of(cache, keys[0]) in (b"red", b"blue")


async def test_many_who_wait_for_a_server_that_hangs_all_end(
    cache: MemcachedCache, own: Cluster, keys: list[bytes]
) -> None:
    await cache.set(keys[0], b"red")
    own.servers[0].pause()
    found = await asyncio.gather(*(cache.get([keys[0]], within_s=0.05) for _ in range(200)))
    assert {each.outcome for (each,) in found} == {Outcome.UNAVAILABLE}
    own.servers[0].resume()


async def test_where_nobody_listens_a_get_is_a_miss_and_nothing_stays_open() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    engine = MemcachedCache([("127.0.0.1", port)], SystemEnvironment(), HASTY)
    await engine.start()
    (found,) = await engine.get([b"k"])
    assert found.outcome is Outcome.UNAVAILABLE
    for _ in range(5):
        await engine.get([b"k"])
    await engine.stop()
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


@pytest.fixture
def stranger() -> Iterator[socket.socket]:
    """Takes connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(8)
        yield listener


async def test_a_server_that_never_answered_is_no_server(stranger: socket.socket) -> None:
    engine = MemcachedCache([stranger.getsockname()], SystemEnvironment(), HASTY)
    await engine.start()
    (found,) = await engine.get([b"k"], within_s=0.05)
    assert found.outcome is Outcome.UNAVAILABLE
    await engine.stop()


async def answered_by(answer: Callable[[bytes], Awaitable[bytes]], call: Callable[[Cache], Awaitable[object]]) -> None:
    """`call` was made of a cache whose server gives `answer` to each line."""

    serving: list[asyncio.Task[None] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.append(asyncio.current_task())
        with suppress(ConnectionError):
            while line := await reader.readline():
                writer.write(await answer(line))
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1") as server:
        engine = MemcachedCache([server.sockets[0].getsockname()], SystemEnvironment(), PATIENT)
        await engine.start()
        try:
            await call(engine)
        finally:
            await engine.stop()
            await asyncio.gather(*(task for task in serving if task))


async def test_a_large_value_for_which_memory_ends_while_it_is_read_is_refused_as_one_for_which_there_is_none() -> None:
    async def refuse(line: bytes) -> bytes:
        return b"SERVER_ERROR Out of memory during read\r\n" if line.startswith(b"ms ") else b""

    with pytest.raises(Exhausted, match="during read"):
        await answered_by(refuse, lambda cache: cache.set(b"k", b"red"))


async def test_what_is_there_cannot_be_seen_so_nothing_takes_its_place() -> None:
    asked: list[bytes] = []

    async def refuse(line: bytes) -> bytes:
        asked.append(line)
        return b"SERVER_ERROR out of memory for a reply\r\n"

    with pytest.raises(Exhausted, match="out of memory"):
        await answered_by(refuse, lambda cache: cache.set(b"k", b"red", when=Newer(3)))
    assert asked == [b"mg k v f c\r\n"]


async def test_all_tries_of_a_newer_version_together_have_the_time_of_one_call() -> None:
    async def slow(line: bytes) -> bytes:
        await asyncio.sleep(0.02)
        return {b"mg": b"EN\r\n", b"ms": b"NS\r\n"}.get(line[:2], b"")

    with pytest.raises(Unavailable, match="did not answer"):
        await answered_by(slow, lambda cache: cache.set(b"k", b"red", when=Newer(3), within_s=0.1))


async def test_a_cancelled_call_harms_no_other(cache: MemcachedCache, keys: list[bytes]) -> None:
    await cache.set(keys[0], b"red")
    cancelled = [asyncio.create_task(cache.get([keys[0]])) for _ in range(5)]
    stayed = [asyncio.create_task(cache.get([keys[0]])) for _ in range(5)]
    await asyncio.sleep(0)
    for task in cancelled:
        task.cancel()
    assert [found.value for (found,) in await asyncio.gather(*stayed)] == [b"red"] * 5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", [("a", 11211)]),
        ("a:1,b:2", [("a", 1), ("b", 2)]),
        ("[::1]:5", [("::1", 5)]),
        ("[::1]", [("::1", 11211)]),
        ("127.0.0.1,127.0.0.2:9", [("127.0.0.1", 11211), ("127.0.0.2", 9)]),
    ],
)
def test_addresses_are_read(text: str, expected: list[tuple[str, int]]) -> None:
    assert addresses(text) == expected


@pytest.mark.parametrize("text", ["", "a:", "a:x", "a:0", "a:70000", ":1", "a,,b", "a:1,a:1", "a,a:11211"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        addresses(text)
