"""What passes every call on passes the suite of the engine behind it."""

from __future__ import annotations

import pytest
from tests.engines.records.opened import in_memory

from soundstage.core.environment import Environment
from soundstage.engines.records.passing import PassingRecords
from soundstage.engines.records.port import Capability, Records
from soundstage.testing.records import OpenEngine, RecordsSuite


class TestPassing(RecordsSuite):
    capabilities = frozenset({Capability.CONDITIONAL})

    @pytest.fixture
    def open_engine(self) -> OpenEngine:
        opened = in_memory()

        async def open_engine(environment: Environment, store: str = "store") -> Records:
            passing = PassingRecords(await opened(environment, store))
            # It has the calls of the port and no others.
            passing.capabilities &= self.capabilities
            return passing

        return open_engine
