"""The memory engine is what the suite says, and shows nothing sooner than the port promises."""

from __future__ import annotations

import pytest

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import TooLarge
from soundstage.engines.search.memory import MemorySearch
from soundstage.engines.search.port import (
    INDEXES_MAX,
    VISIBLE_WITHIN_S,
    Delete,
    Field,
    IndexSpec,
    Kind,
    Put,
    Search,
    SearchCapability,
)
from soundstage.engines.search.queries import All
from soundstage.testing.search import OpenIndexes, PassTime, SearchSuite
from soundstage.testing.search.bench import ids_of

SPEC = IndexSpec(name="films", fields={"year": Field(kind=Kind.INTEGER)})


@pytest.fixture
def environment() -> VirtualEnvironment:
    return VirtualEnvironment()


@pytest.fixture
def open_search(environment: VirtualEnvironment) -> OpenIndexes:
    async def open_search() -> Search:
        engine = MemorySearch(environment)
        await engine.start()
        return engine

    return open_search


class TestMemory(SearchSuite):
    capabilities = frozenset({SearchCapability.NESTED, SearchCapability.VECTORS})

    @pytest.fixture
    def pass_time(self, environment: VirtualEnvironment) -> PassTime:
        async def advance(seconds: float) -> None:
            environment.advance(seconds)

        return advance


async def test_what_was_written_is_not_shown_before_it_has_to_be(
    open_search: OpenIndexes, environment: VirtualEnvironment
) -> None:
    search = await open_search()
    await search.create_index(SPEC)
    await search.bulk("films", [Put("1", {"year": 1})])
    environment.advance(VISIBLE_WITHIN_S / 2)
    assert await ids_of(search, "films", All()) == set()
    environment.advance(VISIBLE_WITHIN_S / 2)
    assert await ids_of(search, "films", All()) == {"1"}


async def test_what_was_deleted_is_shown_until_then(open_search: OpenIndexes) -> None:
    search = await open_search()
    await search.create_index(SPEC)
    await search.bulk("films", [Put("1", {"year": 1})])
    await search.refresh("films")
    await search.bulk("films", [Delete("1")])
    assert await ids_of(search, "films", All()) == {"1"}
    assert await search.get("films", ["1"]) == [None]


async def test_what_a_caller_does_with_a_document_changes_nothing(open_search: OpenIndexes) -> None:
    search = await open_search()
    await search.create_index(SPEC)
    given = {"year": 1}
    await search.bulk("films", [Put("1", given)])
    given["year"] = 2
    (found,) = await search.get("films", ["1"])
    assert found is not None
    found.fields["year"] = 3
    assert [each and each.fields for each in await search.get("films", ["1"])] == [{"year": 1}]


async def test_there_are_so_many_indexes_and_no_more(open_search: OpenIndexes) -> None:
    search = await open_search()
    for number in range(INDEXES_MAX):
        await search.create_index(IndexSpec(name=f"i{number}", fields=SPEC.fields))
    with pytest.raises(TooLarge):
        await search.create_index(SPEC)


async def test_nothing_is_left_of_an_engine_that_was_stopped(open_search: OpenIndexes) -> None:
    search = await open_search()
    await search.create_index(SPEC)
    await search.stop()
    await search.start()
    assert await search.indexes() == []
