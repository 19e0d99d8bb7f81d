"""The suite over the engines of the house."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.testing.kv.conftest import memory_opener, rocksdb_opener

from soundstage.testing.kv import KeyValueSuite
from soundstage.testing.records import OpenEngine


@pytest.mark.slow
class TestMemory(KeyValueSuite):
    @pytest.fixture
    def open_engine(self) -> OpenEngine:
        return memory_opener()


@pytest.mark.slow
class TestRocksdb(KeyValueSuite):
    @pytest.fixture
    def open_engine(self, tmp_path: Path) -> OpenEngine:
        return rocksdb_opener(tmp_path)
