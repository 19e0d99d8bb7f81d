"""The suite over the engines of the house."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.testing.kv.conftest import memory_opener, rocksdb_opener

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
        return rocksdb_opener(tmp_path)
