"""Engines as the suite's fixtures open them."""

from __future__ import annotations

from pathlib import Path

from soundstage.core.environment import Environment
from soundstage.core.size import Size
from soundstage.engines.records.memory import MemoryRecords
from soundstage.engines.records.port import Records
from soundstage.engines.records.rocksdb import RocksOptions, open_rocksdb
from soundstage.engines.rocks.options import Durability
from soundstage.testing.records import OpenEngine

SMALL = Size(1 << 20)


def in_memory() -> OpenEngine:
    """Engines that are kept for as long as the opener, as folders are."""
    kept: dict[str, MemoryRecords] = {}

    async def open_engine(environment: Environment, store: str = "store") -> Records:
        engine = kept.setdefault(store, MemoryRecords(environment))
        await engine.start()
        return engine

    return open_engine


def on_disk(folder: Path, durability: Durability) -> OpenEngine:
    """Databases below `folder`."""

    async def open_engine(environment: Environment, store: str = "store") -> Records:
        options = RocksOptions(durability=durability, cache=SMALL, low_water=SMALL)
        engine = open_rocksdb(str(folder / store), options, environment)
        await engine.start()
        return engine

    return open_engine
