"""The suite over the engines of the house."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.testing.kv.conftest import memory_opener

from soundstage.core.environment import Environment
from soundstage.engines.records.port import Records
from soundstage.engines.records.rocksdb import RocksOptions, open_rocksdb
from soundstage.testing.records import OpenEngine
from soundstage.testing.timeseries.suite import TimeSeriesSuite


@pytest.mark.slow
@pytest.mark.holds_the_loop
class TestMemory(TimeSeriesSuite):
    @pytest.fixture
    def open_engine(self) -> OpenEngine:
        return memory_opener()


@pytest.mark.slow
@pytest.mark.holds_the_loop
class TestRocksdb(TimeSeriesSuite):
    @pytest.fixture
    def open_engine(self, tmp_path: Path) -> OpenEngine:
        async def open_engine(environment: Environment, store: str = "store") -> Records:
            # The model says nothing of power cuts, and a flush of each write would take most of the time.
            engine = open_rocksdb(str(tmp_path / store), RocksOptions(durability="os"), environment)
            await engine.start()
            return engine

        return open_engine
