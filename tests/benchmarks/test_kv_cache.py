"""A cache before a store as it is measured, at the least size."""

from __future__ import annotations

import asyncio

import pytest

from benchmarks import kv_cache
from soundstage.servers.cluster import Cluster
from soundstage.testing.servers import server_fixture

memcached = server_fixture("memcached", scope="module")

TINY = kv_cache.Scale(stages=2, misses=2, readers=4, records=10, calls=100, callers=4)


@pytest.mark.slow
def test_the_store_is_spared_and_told_beside(memcached: Cluster) -> None:
    figures = {each.bench: each for each in asyncio.run(kv_cache.measured(TINY, memcached.url))}
    assert set(figures) == {
        "kv_cache.reads_per_miss",
        "kv_cache.reads_per_miss_spared",
        "kv_cache.hit_ratio",
        "kv_cache.store_reads",
        "kv_cache.read_p50",
        "kv_cache.read_p99",
    }
    assert figures["kv_cache.reads_per_miss"].target == 1
    assert figures["kv_cache.reads_per_miss_spared"].rival == TINY.readers
    assert figures["kv_cache.read_p50"].rival
