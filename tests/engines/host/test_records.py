"""Records of another process under the suite that every engine passes."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.engines.host.hosted import Hosted
from tests.engines.records.opened import SMALL

from soundstage.core.environment import Environment
from soundstage.engines.records.memory import MemoryRecords
from soundstage.engines.records.port import Capability, Records
from soundstage.engines.records.rocksdb import RocksOptions, open_rocksdb
from soundstage.testing.records import OpenEngine, RecordsSuite

EXAMPLES = 25
"""Of each property: the engines themselves are tried with all of them, and here is what is between."""


@pytest.mark.slow
class TestMemory(RecordsSuite):
    examples = EXAMPLES
    capabilities = frozenset(
        {Capability.CONDITIONAL, Capability.STATISTICS, Capability.TRANSFER, Capability.BULK, Capability.HOSTED}
    )

    @pytest.fixture
    def open_engine(self, tmp_path: Path) -> OpenEngine:
        kept: dict[str, MemoryRecords] = {}

        async def open_engine(environment: Environment, store: str = "store") -> Records:
            engine = kept.setdefault(store, MemoryRecords(environment))
            hosted = Hosted(engine, "records", tmp_path / f"{store}-host", environment)
            await hosted.start()
            return hosted  # pyright: ignore[reportReturnType]

        return open_engine


@pytest.mark.slow
class TestRocks(RecordsSuite):
    examples = EXAMPLES
    capabilities = frozenset(
        {
            Capability.CONDITIONAL,
            Capability.STATISTICS,
            Capability.CHECKPOINT,
            Capability.TRANSFER,
            Capability.BULK,
            Capability.DURABLE,
            Capability.ATOMIC_WITH_LOG,
            Capability.HOSTED,
        }
    )
    conditional = True

    @pytest.fixture
    def open_engine(self, tmp_path: Path) -> OpenEngine:
        async def open_engine(environment: Environment, store: str = "store") -> Records:
            options = RocksOptions(cache=SMALL, low_water=SMALL)
            engine = open_rocksdb(str(tmp_path / store), options, environment)
            hosted = Hosted(engine, "records", tmp_path / f"{store}-host", environment)
            await hosted.start()
            return hosted  # pyright: ignore[reportReturnType]

        return open_engine
