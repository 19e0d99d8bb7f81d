"""Gets from memcached as they are measured, at the least size."""

from __future__ import annotations

import asyncio

import pytest

from benchmarks import cache_memcached
from soundstage.servers.cluster import Cluster
from soundstage.testing.servers import server_fixture

memcached = server_fixture("memcached", scope="module")

TINY = cache_memcached.Scale(rounds=1, gets=200, callers=4, batch=100)


@pytest.mark.slow
def test_both_sides_are_measured_and_compared(memcached: Cluster) -> None:
    (node,) = memcached.nodes
    figures = asyncio.run(cache_memcached.measured(TINY, node.host, node.port))
    assert [each.bench for each in figures] == [
        "cache_memcached.get_1",
        "cache_memcached.get_4",
        "cache_memcached.get_batch_100",
    ]
    assert all(each.ours > 0 and each.rival and each.target == cache_memcached.TARGET for each in figures)


async def test_the_rival_gets_what_is_there(memcached: Cluster) -> None:
    (node,) = memcached.nodes
    loop = asyncio.get_running_loop()
    transport, bare = await loop.create_connection(cache_memcached.Bare, node.host, node.port)
    assert await bare.ask(b"ms k 3\r\nred\r\n", 1) == [b""]
    assert await bare.ask(b"mg k v\r\nmg other v\r\n", 2) == [b"red", b""]
    transport.close()
