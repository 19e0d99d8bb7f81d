"""The suite over the engines of the house."""

from __future__ import annotations

from pathlib import Path

import pytest

from soundstage.core.environment import Environment
from soundstage.engines.records.memory import MemoryRecords
from soundstage.engines.records.port import Records
from soundstage.engines.records.rocksdb import RocksOptions, open_rocksdb
from soundstage.testing.kv import KeyValueSuite
from soundstage.testing.records import OpenEngine


@pytest.mark.slow
class TestMemory(KeyValueSuite):
    @pytest.fixture
    def open_engine(self) -> OpenEngine:
        kept: dict[str, MemoryRecords] = {}

        async def open_engine(environment: Environment, store: str = "store") -> Records:
            engine = kept.setdefault(store, MemoryRecords(environment))
            await engine.start()
            return engine

        return open_engine


@pytest.mark.slow
class TestRocksdb(KeyValueSuite):
    @pytest.fixture
    def open_engine(self, tmp_path: Path) -> OpenEngine:
        async def open_engine(environment: Environment, store: str = "store") -> Records:
            # The model says nothing of power cuts, and a flush of each write would take most of the time.
            engine = open_rocksdb(str(tmp_path / store), RocksOptions(durability="os"), environment)
            await engine.start()
            return engine

        return open_engine
