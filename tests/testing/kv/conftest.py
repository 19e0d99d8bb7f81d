from __future__ import annotations

from pathlib import Path

import pytest

from soundstage.core.environment import Environment
from soundstage.engines.records.memory import MemoryRecords
from soundstage.engines.records.port import Records
from soundstage.engines.records.rocksdb import RocksOptions, open_rocksdb
from soundstage.testing.records import OpenEngine


def memory_opener(engine: type[MemoryRecords] = MemoryRecords) -> OpenEngine:
    """Opens engines that are kept by name, as folders are."""
    kept: dict[str, MemoryRecords] = {}

    async def open_engine(environment: Environment, store: str = "store") -> Records:
        opened = kept.setdefault(store, engine(environment))
        await opened.start()
        return opened

    return open_engine


def rocksdb_opener(folder: Path) -> OpenEngine:
    """Opens engines in folders of `folder`."""

    async def open_engine(environment: Environment, store: str = "store") -> Records:
        # The model says nothing of power cuts, and a flush of each write would take most of the time.
        engine = open_rocksdb(str(folder / store), RocksOptions(durability="os"), environment)
        await engine.start()
        return engine

    return open_engine


@pytest.fixture
def open_memory() -> OpenEngine:
    return memory_opener()
