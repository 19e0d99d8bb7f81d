"""The memory engine, which is the specification, under the suite that every engine passes."""

from __future__ import annotations

import pytest
from tests.engines.records.opened import in_memory

from soundstage.engines.records.port import Capability
from soundstage.testing.records import OpenEngine, RecordsSuite


class TestMemory(RecordsSuite):
    capabilities = frozenset({Capability.CONDITIONAL, Capability.STATISTICS, Capability.TRANSFER, Capability.BULK})

    @pytest.fixture
    def open_engine(self) -> OpenEngine:
        return in_memory()


class TestMemoryConditional(TestMemory):
    conditional = True
