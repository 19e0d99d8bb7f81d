"""The engines and the stage that a simulated run stands on."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from soundstage.core.environment import Environment
from soundstage.data.kv.api import KeyValue
from soundstage.engines.records.memory import MemoryRecords
from soundstage.engines.records.port import Records
from soundstage.runtime.namespaces.api import Namespaces, NamespaceSpec
from soundstage.runtime.stage import Stage
from soundstage.testing.simulation.kv import EngineFactory


class StageStore:
    """The key-value store of a whole stage, over one engine."""

    def __init__(self, stage: Stage, namespace: str) -> None:
        self.kv: KeyValue = stage.client(KeyValue, namespace)
        self._stage = stage

    async def close(self) -> None:
        await self._stage.stop()


async def open_store(engine: Records, environment: Environment, namespace: str) -> StageStore:
    """A stage on `engine` with one key-value namespace, whose markers go after ten to twenty minutes."""
    stage = Stage.open(
        config={"engines": {"default": {"url": "memory:"}}},
        variables={},
        environment=environment,
        engines={"default": engine},
        background=False,
    )
    await stage.start()
    config = {"delete_ttl_min": "10m", "delete_ttl_max": "20m", "conditional_writes": True}
    await stage.client(Namespaces).put(namespace=NamespaceSpec(name=namespace, abstraction="kv", config=config))
    return StageStore(stage, namespace)


def memory(_folder: str) -> EngineFactory:
    """One memory engine for the whole run; reopening it finds what was there."""
    kept: list[MemoryRecords] = []

    async def open_engine(environment: Environment) -> Records:
        if kept:
            await kept[0].stop()
        else:
            kept.append(MemoryRecords(environment))
        await kept[0].start()
        return kept[0]

    return open_engine


def rocksdb(folder: str) -> EngineFactory:
    """A database in `folder`, closed and opened again at every restart."""
    opened: list[Records] = []

    async def open_engine(environment: Environment) -> Records:
        from soundstage.engines.records.rocksdb import RocksOptions, open_rocksdb

        while opened:
            await opened.pop().stop()
        engine = open_rocksdb(f"{folder}/database", RocksOptions(), environment)
        await engine.start()
        opened.append(engine)
        return engine

    return open_engine


ENGINES: Mapping[str, Callable[[str], EngineFactory]] = {"memory": memory, "rocksdb": rocksdb}
