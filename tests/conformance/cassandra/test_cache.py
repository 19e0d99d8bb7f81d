"""A real cache of two nodes before a real store: one node is killed, the other hangs, and then the store does.

What must hold: nobody loses what was acknowledged, no process shows less than it has acknowledged itself, and once the
cache was told of everything nobody does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from soundstage.core.errors import DeadlineExceeded, Unavailable
from soundstage.data.kv import KeyValue, PutItem, Selection
from soundstage.data.kv.cached_records import CachedRecords
from soundstage.data.kv.service import KeyValueService
from soundstage.runtime.namespaces import Namespaces, NamespaceSpec
from soundstage.runtime.stage import Stage
from soundstage.servers import Cluster
from soundstage.testing.servers import server_fixture

pytestmark = pytest.mark.slow

memcached: Callable[[], Generator[Cluster]] = server_fixture("memcached", nodes=2, scope="function")

KNOBS: dict[str, Any] = {
    "consistency": "read_your_writes",
    "cache": {"engine": "hot", "ttl": "1h", "within": "100ms"},
}
IDS = [f"id-{number}" for number in range(8)]
WAIT_S = 60.0
DEADLINE_S = 1.0


class Site:
    """Stages on one store and one cache; every record has a number, which is counted up by each in turn."""

    def __init__(self, stages: list[Stage]) -> None:
        self.stages = stages
        self.clients: list[KeyValue] = [stage.client(KeyValue, "people") for stage in stages]
        self.written: dict[str, int] = dict.fromkeys(IDS, 0)

    async def write(self, rounds: int) -> None:
        """All records are counted up at one stage after the other, and read there at once."""
        for number in range(rounds):
            await asyncio.gather(*(self._count(number + place, id) for place, id in enumerate(IDS)))

    async def shown(self, place: int, id: str, **asked: Any) -> int:
        items = (await self.clients[place % len(self.clients)].get_items(id=id, **asked)).items
        return int(items[0].value or b"0") if items else 0

    async def all_shown(self) -> list[dict[str, int]]:
        """What each stage shows, and at last what the store says."""
        places = range(len(self.clients))
        found = [{id: await self.shown(place, id) for id in IDS} for place in places for _ in range(2)]
        return [*found, {id: await self.shown(0, id, selection=Selection()) for id in IDS}]

    async def told(self) -> None:
        """The cache was told of all that was written."""
        async with asyncio.timeout(WAIT_S):
            while any(self.tier(stage).heads.owed for stage in self.stages):  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.05)

    def hits(self) -> int:
        return sum(self.tier(stage).tier.counts["hit"] for stage in self.stages)

    def tier(self, stage: Stage) -> CachedRecords:
        service = stage.systems.service("kv")
        assert isinstance(service, KeyValueService)
        found = service._serve("people").cached
        assert found is not None
        return found

    async def _count(self, place: int, id: str) -> None:
        value = self.written[id] + 1
        await self.clients[place % len(self.clients)].put_items(id=id, items=[PutItem(key=b"n", value=b"%d" % value)])
        self.written[id] = value
        assert await self.shown(place, id) == value
        assert await self.shown(place + 1, id) <= value


@pytest.fixture(params=["cassandra", "rocksdb"])
async def site(
    request: pytest.FixtureRequest, memcached: Cluster, cassandra: Cluster, tmp_path: Path
) -> AsyncIterator[Site]:
    """Two stages on one Cassandra, or the one that a folder has."""
    is_shared = request.param == "cassandra"
    url = f"{cassandra.url}/suite?space=cache-{time.time_ns()}" if is_shared else f"rocksdb://{tmp_path}/rows"
    config: dict[str, Any] = {
        "engines": {"default": {"url": url}, "hot": {"url": memcached.url}},
        "telemetry": {"log_level": "warning"},
    }
    async with AsyncExitStack() as opened:
        stages: list[Stage] = []
        for number in range(2 if is_shared else 1):
            stage = Stage.open(config=config, data=str(tmp_path / f"data-{number}"), variables={})
            stages.append(await opened.enter_async_context(stage))
            if not number:
                spec = NamespaceSpec(name="people", abstraction="kv", config=KNOBS)
                await stage.client(Namespaces).put(namespace=spec)
        yield Site(stages)


async def test_a_node_that_is_killed_and_one_that_hangs_lose_nothing_and_leave_nothing_stale(
    site: Site, memcached: Cluster
) -> None:
    first, second = memcached.servers
    await site.write(5)
    assert await site.all_shown() == [site.written] * (2 * len(site.stages) + 1)
    first.kill()
    await site.write(5)
    await asyncio.to_thread(memcached.start)
    await asyncio.to_thread(memcached.ready, WAIT_S)
    await site.write(2)
    second.pause()
    try:
        await site.write(5)
    finally:
        second.resume()
    await site.told()
    assert await site.all_shown() == [site.written] * (2 * len(site.stages) + 1)
    async with asyncio.timeout(WAIT_S):
        hits = site.hits()
        while site.hits() < hits + len(IDS):
            await site.all_shown()


async def test_a_write_that_a_hanging_store_may_have_is_not_stale_once_it_is_acknowledged(
    memcached: Cluster, cassandra: Cluster, tmp_path: Path
) -> None:
    url = f"{cassandra.url}/suite?space=cache-{time.time_ns()}"
    config: dict[str, Any] = {"engines": {"default": {"url": url}, "hot": {"url": memcached.url}}}
    async with (
        Stage.open(config=config, data=str(tmp_path / "one"), variables={}) as one,
        AsyncExitStack() as later,
    ):
        await one.client(Namespaces).put(namespace=NamespaceSpec(name="people", abstraction="kv", config=KNOBS))
        two = await later.enter_async_context(Stage.open(config=config, data=str(tmp_path / "two"), variables={}))
        site = Site([one, two])
        await site.write(2)
        await site.all_shown()
        hasty = one.client(KeyValue, "people").with_options(deadline=DEADLINE_S)
        sent: dict[str, Any] = {"id": IDS[0], "items": [PutItem(key=b"n", value=b"99")]}
        cassandra.servers[0].pause()
        try:
            with pytest.raises((Unavailable, DeadlineExceeded)):
                await hasty.put_items(**sent)
        finally:
            cassandra.servers[0].resume()
        assert {await site.shown(place, IDS[0]) for place in (0, 1, 0, 1)} <= {site.written[IDS[0]], 99}
        async with asyncio.timeout(WAIT_S):
            await one.client(KeyValue, "people").put_items(**sent)
        assert [await site.shown(place, IDS[0]) for place in (0, 1, 0, 1)] == [99] * 4
