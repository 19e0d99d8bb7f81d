"""The fence of an index on the engine in memory; `tests/conformance` has it on a real one."""

from __future__ import annotations

import pytest
from tests.data.timeseries.index_fence import Fence, Late

from soundstage.core.environment import VirtualEnvironment
from soundstage.engines.search.memory import MemorySearch


class TestMemory(Fence):
    @pytest.fixture
    def search(self, environment: VirtualEnvironment) -> Late:
        return Late(MemorySearch(environment))
