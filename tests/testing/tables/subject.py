"""The suite over an engine that the run is given; not collected by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from soundstage.engines.tables.memory import MemoryTables
from soundstage.engines.tables.port import Tables
from soundstage.testing.tables import BranchingTablesSuite


class TestSubject(BranchingTablesSuite):
    @pytest.fixture
    async def tables(self, made: MemoryTables) -> AsyncIterator[Tables]:
        await made.start()
        yield made
        await made.stop()
