"""The memory engine is what the suite says, and tells time by its environment."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from soundstage.core.environment import VirtualEnvironment
from soundstage.engines.tables.memory import MemoryTables
from soundstage.engines.tables.port import At, TableCapability, Tables
from soundstage.testing.tables import BranchingTablesSuite
from soundstage.testing.tables.samples import SPEC, film, ids, rows


@pytest.fixture
async def engine() -> AsyncIterator[MemoryTables]:
    made = MemoryTables(VirtualEnvironment())
    await made.start()
    yield made
    await made.stop()


class TestMemory(BranchingTablesSuite):
    @pytest.fixture
    async def tables(self, engine: MemoryTables) -> Tables:
        return engine


def test_it_has_branches_and_no_files() -> None:
    assert MemoryTables(VirtualEnvironment()).capabilities == {TableCapability.BRANCHES}


async def test_a_state_is_found_by_the_time_it_had_until_the_next() -> None:
    environment = VirtualEnvironment()
    engine = MemoryTables(environment)
    await engine.start()
    await engine.create(SPEC)
    first = await engine.append("films", rows(film(1)))
    environment.advance(10)
    await engine.append("films", rows(film(2)))
    assert await ids(engine, at=At(time_us=first.committed_us + 9_999_999)) == [1]
    assert await ids(engine, at=At(time_us=first.committed_us + 10_000_000)) == [1, 2]
