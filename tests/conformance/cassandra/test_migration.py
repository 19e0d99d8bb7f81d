"""From one process to a cluster, and back: a stage that is written to moves there, and a namespace comes from there."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from soundstage.core.environment import Environment, SystemEnvironment
from soundstage.core.message import IdempotencyToken
from soundstage.core.namespace import NamespaceSpec
from soundstage.data.kv import KeyValue, MatchAll, Predicate, PutItem
from soundstage.engines.records.cassandra import open_cassandra, parse_address
from soundstage.engines.records.port import Records
from soundstage.runtime.config import EngineConfig, StageConfig
from soundstage.runtime.engines import Engines
from soundstage.runtime.namespaces import Namespaces
from soundstage.runtime.stage import Stage
from soundstage.runtime.transfer.housing import Housing
from soundstage.runtime.transfer.moving import EngineCopy
from soundstage.servers import Cluster

pytestmark = pytest.mark.slow

WRITERS = 4
EACH = 30


@pytest.fixture
def url(cassandra: Cluster) -> str:
    return f"{cassandra.url}/suite?space=moved-{time.time_ns()}"


def copy_between(source: Records, target: Records, environment: Environment) -> EngineCopy:
    """As `soundstage engines copy` makes it."""
    housing = Housing("default", target, source, StageConfig(), environment)
    return EngineCopy(source, target, environment, asyncio.to_thread, housing.tables)


class Writers:
    """Put numbered items, and delete every third, until they are stopped; `kept` is what was acknowledged."""

    def __init__(self, stage: Stage) -> None:
        self.kept: list[set[bytes]] = [set() for _ in range(WRITERS)]
        self._films = stage.client(KeyValue, "films")
        self._stopping = False
        self._tasks = [asyncio.ensure_future(self._write(number)) for number in range(WRITERS)]

    async def until(self, count: int) -> None:
        """Each has so many items."""
        while min(map(len, self.kept)) < count:
            assert not any(task.done() for task in self._tasks)
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        self._stopping = True
        await asyncio.gather(*self._tasks)

    async def _write(self, writer: int) -> None:
        number = 0
        while not self._stopping:
            record, key = f"record-{writer}", b"%06d" % number
            await self._films.put_items(id=record, items=[PutItem(key=key, value=b"value")])
            self.kept[writer].add(key)
            if number % 300 == 299:
                await self._films.delete_items(id=record, predicate=Predicate(match_all=MatchAll()))
                self.kept[writer].clear()
            number += 1
            await asyncio.sleep(0)


async def keys_of(kv: KeyValue, record: str) -> set[bytes]:
    return {item.key async for page in kv.get_items.pages(id=record) for item in page.items}


async def test_a_stage_moves_to_a_cluster_while_it_is_written_and_nothing_is_lost(url: str, tmp_path: Path) -> None:
    environment = SystemEnvironment()
    target = open_cassandra(parse_address("cluster", urlsplit(url), {}, None), environment)
    await target.start()
    async with Stage.open(data=str(tmp_path), variables={}) as stage:
        await stage.client(Namespaces).put(namespace=NamespaceSpec(name="films", abstraction="kv"))
        guarded = NamespaceSpec(name="seats", abstraction="kv", config={"conditional_writes": True})
        await stage.client(Namespaces).put(namespace=guarded)
        await stage.client(KeyValue, "seats").put_items(id="row", items=[PutItem(key=b"7", value=b"Ada")])
        writers = Writers(stage)
        copy = copy_between(stage.engines.get("default", ""), target, environment)
        await copy.begin()
        rounds = await copy.follow()
        await writers.stop()
    engines = Engines({"default": EngineConfig(url="rocksdb:records")}, str(tmp_path), environment)
    await engines.start()
    await copy_between(engines.get("default", ""), target, environment).finish(rounds[-1].began_us)
    await engines.stop()
    await target.stop()
    config = {"engines": {"default": {"url": url}}, "telemetry": {"log_level": "warning"}}
    async with Stage.open(config=config, data=str(tmp_path / "cluster"), variables={}) as stage:
        films, seats = stage.client(KeyValue, "films"), stage.client(KeyValue, "seats")
        found = [await keys_of(films, f"record-{number}") for number in range(WRITERS)]
        taken = [item.value for item in (await seats.get_items(id="row")).items]
    assert found == writers.kept
    assert taken == [b"Ada"]
    assert sum(map(len, found)) > 0


@pytest.mark.parametrize("conditional", [False, True])
async def test_a_namespace_comes_back_from_a_file_when_its_cluster_is_gone(
    url: str, tmp_path: Path, *, conditional: bool
) -> None:
    config = {"engines": {"default": {"url": url}}, "telemetry": {"log_level": "warning"}}
    everything = Predicate(match_all=MatchAll())
    async with Stage.open(config=config, data=str(tmp_path / "cluster"), variables={}) as stage:
        knobs = {"conditional_writes": conditional}
        await stage.client(Namespaces).put(namespace=NamespaceSpec(name="films", abstraction="kv", config=knobs))
        films = stage.client(KeyValue, "films")
        written = (await films.put_items(id="late", items=[PutItem(key=b"a", value=b"first")])).idempotency_token
        await films.delete_items(id="late", predicate=everything)
        writers = Writers(stage)
        await writers.until(EACH)
        await writers.stop()
        made = await (await stage.client(Namespaces).export(name="films")).result()
        file = b"".join([chunk async for chunk in stage.files.open(made.file)])
    async with Stage.open(data=str(tmp_path / "local"), variables={}) as stage:
        again = await stage.files.upload(file, name="films")
        await (await stage.client(Namespaces).import_(name="films", file=again)).result()
        films = stage.client(KeyValue, "films")
        found = [await keys_of(films, f"record-{number}") for number in range(WRITERS)]
        late = IdempotencyToken(written.generation_time, "of another")
        await films.put_items(id="late", items=[PutItem(key=b"b", value=b"late")], idempotency_token=late)
        deleted = await keys_of(films, "late")
    assert (found, deleted) == (writers.kept, set())
