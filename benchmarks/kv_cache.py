"""What does a cache before the store spare it? Reads of a hot record that was just written, and a mix over many.

The store is the memory engine behind a wait of 2 ms a read, as a store across a network is, that counts what it is
asked. Several stages in one process share it and one memcached server, which `soundstage.servers` brings. Beside a
namespace with the cache stands one without it, on the same store.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any, cast

import msgspec

from benchmarks.report import Figure, figure, options, percentile, show
from soundstage.core.environment import SystemEnvironment
from soundstage.core.namespace import NamespaceSpec
from soundstage.data.kv import KeyValue, MatchKeys, Predicate, PutItem
from soundstage.engines.records.memory import MemoryRecords
from soundstage.engines.records.passing import PassingRecords
from soundstage.engines.records.port import Budget, Page, Records
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.stage import Stage
from soundstage.servers.cluster import Cluster
from soundstage.testing.stores import Started

WAIT_S = 0.002
"""Of each read of the store."""

KEY = b"title"
VALUE = bytes(100)
KEPT, BARE = "kept", "bare"


class Scale(msgspec.Struct, frozen=True):
    """How much is done: `misses` of a hot record by `readers` in all `stages`, and `calls` by `callers` of a mix."""

    stages: int = 3
    misses: int = 200
    readers: int = 100
    records: int = 1_000
    calls: int = 30_000
    callers: int = 64
    writes: float = 0.05


FULL = Scale()
QUICK = Scale(misses=40, calls=8_000)


class Far(PassingRecords):
    """A store that takes its time, and knows no items by heart that it is asked for again."""

    def __init__(self, records: Records) -> None:
        super().__init__(records)
        self.reads = 0

    async def get(
        self, table: str, partition: bytes, keys: Sequence[bytes], now_us: int, budget: Budget | None = None
    ) -> Page:
        if table.startswith("kv/"):
            self.reads += 1
            await asyncio.sleep(WAIT_S)
        page = await self._records.get(table, partition, keys, now_us, budget)
        return Page(page.rows, page.resume, page.stamp)


class Hall:
    """Stages on one store and one cache, and their clients of a namespace with it and one without."""

    def __init__(self, store: Far, stages: list[Stage]) -> None:
        self.store = store
        self.stages = stages

    def clients(self, namespace: str) -> list[KeyValue]:
        return [stage.client(KeyValue, namespace) for stage in self.stages]

    def outcomes(self) -> Counter[str]:
        """How reads went that the cache might answer."""
        found: Counter[str] = Counter()
        for stage in self.stages:
            service = cast("Any", stage.systems.service("kv"))
            for each in service.measurements():
                if each.name == "kv_cache_reads":
                    found[each.labels["outcome"]] += int(each.value)
        return found


async def opened(exit: AsyncExitStack, stages: int, cache: str) -> Hall:
    """So many stages with both namespaces."""
    environment = SystemEnvironment()
    records = MemoryRecords(environment)
    await records.start()
    store = Far(cast("Records", Started(records)))
    config = {"engines": {"default": {"url": "memory:"}, "hot": {"url": cache}}}
    hall = Hall(store, [])
    for _ in range(stages):
        stage = Stage.open(data="memory:", config=config, variables={}, engines={"default": store})
        hall.stages.append(await exit.enter_async_context(stage))
    knobs: dict[str, Any] = {"engine": "hot", "within": "1s", "wait": "10s"}
    for name, given in ((KEPT, {"consistency": "read_your_writes", "cache": knobs}), (BARE, {})):
        spec = NamespaceSpec(name=name, abstraction="kv", config=given)
        await hall.stages[0].client(Namespaces).put(namespace=spec)
    for stage in hall.stages:
        await stage.run_background()
    return hall


async def put(kv: KeyValue, number: int) -> None:
    await kv.put_items(id=f"film-{number}", items=[PutItem(key=KEY, value=VALUE)])


async def get(kv: KeyValue, number: int) -> float:
    """How long the read took."""
    began = time.perf_counter()
    await kv.get_items(id=f"film-{number}", predicate=Predicate(match_keys=MatchKeys(keys=[KEY])))
    return time.perf_counter() - began


async def reads_per_miss(hall: Hall, namespace: str, scale: Scale) -> float:
    """Reads of the store for `readers` at once of a record that was just written."""
    clients, asked = hall.clients(namespace), 0
    for number in range(scale.misses):
        await put(clients[number % len(clients)], 0)
        before = hall.store.reads
        await asyncio.gather(*(get(clients[each % len(clients)], 0) for each in range(scale.readers)))
        asked += hall.store.reads - before
    return asked / scale.misses


async def mix(hall: Hall, namespace: str, scale: Scale) -> list[float]:
    """The times of reads among writes; of two records the one of half the number is asked for twice as often."""
    clients = hall.clients(namespace)
    weights = [1 / (number + 1) for number in range(scale.records)]
    drawn = random.Random(1).choices(range(scale.records), weights, k=scale.calls)
    chance, times, calls = random.Random(2), list[float](), iter(enumerate(drawn))

    async def call() -> None:
        for at, number in calls:
            kv = clients[at % len(clients)]
            if chance.random() < scale.writes:
                await put(kv, number)
            else:
                times.append(await get(kv, number))

    await asyncio.gather(*(call() for _ in range(scale.callers)))
    return times


async def measured(scale: Scale, cache: str) -> list[Figure]:
    """The figures, with the cache at that URL."""
    async with AsyncExitStack() as exit:
        hall = await opened(exit, scale.stages, cache)
        kept, bare = [await reads_per_miss(hall, namespace, scale) for namespace in (KEPT, BARE)]
        told, store = hall.outcomes(), hall.store.reads
        with_cache = await mix(hall, KEPT, scale)
        asked, outcomes = hall.store.reads - store, hall.outcomes() - told
        without = await mix(hall, BARE, scale)
    hits = (outcomes["hit"] + outcomes["negative"]) / max(1, outcomes.total())
    readers = f"{scale.readers} readers at once in {scale.stages} stages"
    return [
        figure("kv_cache.reads_per_miss", kept, None, "reads", "lower", target=1.0, note=readers),
        figure("kv_cache.reads_per_miss_spared", kept, bare, "reads", "lower", note="beside the store alone"),
        figure("kv_cache.hit_ratio", hits, None, "", "higher", note=f"{scale.writes:.0%} writes"),
        figure(
            "kv_cache.store_reads", asked / len(with_cache), 1.0, "per read", "lower", note="beside the store alone"
        ),
        *(
            figure(
                f"kv_cache.read_p{round(share * 100)}",
                percentile(with_cache, share) * 1e3,
                percentile(without, share) * 1e3,
                "ms",
                "lower",
                note=f"{scale.callers} callers; a read of the store waits {WAIT_S * 1e3:.0f} ms",
            )
            for share in (0.5, 0.99)
        ),
    ]


def measure(scale: Scale) -> list[Figure]:
    """The figures, with a memcached server of their own."""
    with Cluster("memcached") as servers:
        return asyncio.run(measured(scale, servers.url))


def main(arguments: Sequence[str] | None = None) -> None:
    scale = QUICK if options(__doc__ or "", arguments).quick else FULL
    show("A cache before a store that is 2 ms away", measure(scale))


if __name__ == "__main__":
    main()
