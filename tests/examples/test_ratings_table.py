"""The parts of the example with the ratings' table, on a few ratings in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from examples.ratings_table.ratings_table import BATCH, NAME, SPEC, columns, count, mean

from soundstage import Instant
from soundstage.core.environment import VirtualEnvironment
from soundstage.datasets.movielens import Rating
from soundstage.engines.tables.filters import equal
from soundstage.engines.tables.memory import MemoryTables
from soundstage.engines.tables.port import Tables


@pytest.fixture
async def tables() -> AsyncIterator[Tables]:
    engine = MemoryTables(VirtualEnvironment())
    await engine.start()
    await engine.create(SPEC)
    yield engine
    await engine.stop()


def rating(user: int, film: int, stars: int) -> Rating:
    return Rating(user, film, stars, Instant(875_000_000 * 10**9))


async def test_ratings_come_as_columns(tables: Tables) -> None:
    await tables.append(NAME, columns([rating(1, 50, 5), rating(2, 50, 2), rating(1, 7, 3)]))
    assert await count(tables.scan(NAME)) == 3
    assert await mean(tables.scan(NAME, equal("film", 50))) == 3.5


async def test_many_ratings_come_in_several_batches() -> None:
    batches = list(columns(rating(1, film, 1) for film in range(BATCH + 1)))
    assert [batch.num_rows for batch in batches] == [BATCH, 1]
