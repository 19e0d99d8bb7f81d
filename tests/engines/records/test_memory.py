"""The memory engine, which is the specification, under the suite that every engine passes."""

from __future__ import annotations

import pytest

from soundstage.core.environment import Environment
from soundstage.engines.records.memory import MemoryRecords
from soundstage.engines.records.port import Capability, Records
from soundstage.testing.records import OpenEngine, RecordsSuite


class TestMemory(RecordsSuite):
    capabilities = frozenset({Capability.CONDITIONAL, Capability.STATISTICS})

    @pytest.fixture
    def open_engine(self) -> OpenEngine:
        """Engines that are kept for as long as the test, as folders are."""
        kept: dict[str, MemoryRecords] = {}

        async def open_engine(environment: Environment, store: str = "store") -> Records:
            engine = kept.setdefault(store, MemoryRecords(environment))
            await engine.start()
            return engine

        return open_engine


class TestMemoryConditional(TestMemory):
    conditional = True
