"""Films are found, and an index that is built again takes the place of the one before."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from examples.film_search.film_search import SHOWN, build, counted, document, shown, titles

from soundstage.core.environment import VirtualEnvironment
from soundstage.datasets.movielens import Film
from soundstage.engines.search.memory import MemorySearch
from soundstage.engines.search.port import Search
from soundstage.engines.search.queries import All, Match

HEAT = Film(1, "Heat", 1995, ("Crime", "Crime", "Drama"))
TRAIN = Film(2, "Train, The", 1964, ("War",))
UNKNOWN = Film(3, "unknown", None, ())


@pytest.fixture
async def search() -> AsyncIterator[Search]:
    engine = MemorySearch(VirtualEnvironment())
    await engine.start()
    await build(engine, 1, [HEAT, TRAIN, UNKNOWN])
    yield engine
    await engine.stop()


async def test_films_come_by_year_and_those_without_one_last(search: Search) -> None:
    assert await titles(search, All()) == ["Train, The", "Heat", "unknown"]


async def test_a_film_is_found_by_its_words(search: Search) -> None:
    assert await titles(search, Match("title", "the TRAIN")) == ["Train, The"]


async def test_an_index_that_is_built_again_is_the_one_that_is_searched(search: Search) -> None:
    assert await build(search, 2, [HEAT]) == 1
    assert await titles(search, All()) == ["Heat"]
    assert {info.spec.name: info.aliases for info in await search.indexes()} == {"films-1": [], "films-2": [SHOWN]}


async def test_films_are_counted(search: Search) -> None:
    page = await counted(search)
    assert shown(page, "genres") == "Crime 1, Drama 1, War 1"
    assert shown(page, "decades") == "1960 1, 1990 1"


def test_a_film_without_a_year_has_none() -> None:
    assert document(UNKNOWN).fields == {"title": "unknown", "name": "unknown", "genres": []}
