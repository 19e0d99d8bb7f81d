"""The suite over an engine whose modules the run is given; not collected by itself."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from soundstage.core.environment import Environment
from soundstage.engines.records.port import Capability, Records
from soundstage.engines.rocks.options import Durability
from soundstage.testing.records import OpenEngine, RecordsSuite


class TestSubject(RecordsSuite):
    capabilities = frozenset(
        {Capability.CONDITIONAL, Capability.STATISTICS, Capability.CHECKPOINT, Capability.TRANSFER, Capability.BULK}
    )

    @pytest.fixture
    def open_engine(self, engine_module: ModuleType, durability: Durability, tmp_path: Path) -> OpenEngine:
        """A memory engine or a database, whichever the module has."""
        kept: dict[str, Records] = {}

        def made(environment: Environment, store: str) -> Records:
            if hasattr(engine_module, "MemoryRecords"):
                return kept.setdefault(store, engine_module.MemoryRecords(environment))
            options = engine_module.RocksOptions(durability=durability, cache=1 << 20, low_water=1 << 20)
            return engine_module.open_rocksdb(str(tmp_path / store), options, environment)

        async def open_engine(environment: Environment, store: str = "store") -> Records:
            engine = made(environment, store)
            await engine.start()
            return engine

        return open_engine
