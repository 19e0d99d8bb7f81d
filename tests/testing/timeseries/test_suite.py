"""The suite over the engines of the house."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest
from tests.testing.kv.conftest import memory_opener, rocksdb_opener

from soundstage.core.environment import Environment
from soundstage.data.timeseries.compaction import compactor, sorting
from soundstage.data.timeseries.segments import reading
from soundstage.engines.blobs.memory import MemoryBlobs
from soundstage.engines.blobs.port import Blobs
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


@pytest.fixture
def tiny_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Row groups of few rows, sorts that put aside, and caches that keep little: every edge comes up."""
    monkeypatch.setattr(compactor, "GROUP_ROWS", 6)
    monkeypatch.setattr(sorting, "SORT_BYTES", 20_000)
    monkeypatch.setattr(sorting, "FRAME_BYTES", 2_000)
    monkeypatch.setattr(reading, "GROUPS_BYTES", 20_000)


@pytest.mark.slow
@pytest.mark.holds_the_loop
@pytest.mark.usefixtures("tiny_segments")
class TestMemoryWithSegments(TimeSeriesSuite):
    seed = 35
    steps = 300
    examples = 5
    cold: ClassVar[Callable[[Environment], Blobs] | None] = MemoryBlobs

    @pytest.fixture
    def open_engine(self) -> OpenEngine:
        return memory_opener()


@pytest.mark.slow
@pytest.mark.holds_the_loop
@pytest.mark.usefixtures("tiny_segments")
class TestRocksdbWithSegments(TimeSeriesSuite):
    seed = 35
    steps = 300
    examples = 5
    cold: ClassVar[Callable[[Environment], Blobs] | None] = MemoryBlobs

    @pytest.fixture
    def open_engine(self, tmp_path: Path) -> OpenEngine:
        return rocksdb_opener(tmp_path)
