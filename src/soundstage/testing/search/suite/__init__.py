"""The tests of the suite, by the part of the port they hold an engine to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, ClassVar

import pytest
import pytest_asyncio

from soundstage.engines.search.port import IndexSpec, Search, SearchCapability
from soundstage.engines.search.queries import All
from soundstage.testing.records.requirements import select
from soundstage.testing.search.bench import OpenIndexes
from soundstage.testing.search.films import PLAIN
from soundstage.testing.search.suite.counts import Counts
from soundstage.testing.search.suite.indexes import Indexes
from soundstage.testing.search.suite.lifecycle import Lifecycle
from soundstage.testing.search.suite.objects import Objects
from soundstage.testing.search.suite.orders import Orders
from soundstage.testing.search.suite.questions import Questions
from soundstage.testing.search.suite.requests import Requests
from soundstage.testing.search.suite.vectors import Vectors
from soundstage.testing.search.suite.writes import Writes

PLAIN_NAME = "plain"


class SearchSuite(Indexes, Writes, Questions, Orders, Counts, Objects, Vectors, Requests, Lifecycle):
    """What every engine of the search port does. Subclass it with fixtures `open_search` and `pass_time`.

    `capabilities` are those that the engine announces; tests that need others are not there.
    """

    pytestmark: ClassVar[list[pytest.MarkDecorator]] = [pytest.mark.asyncio]
    capabilities: ClassVar[frozenset[SearchCapability]] = frozenset()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        select(cls, cls.capabilities)

    @pytest_asyncio.fixture
    async def search(self, open_search: OpenIndexes) -> AsyncIterator[Search]:
        """The engine, started."""
        engine = await open_search()
        yield engine
        await engine.stop()

    @pytest_asyncio.fixture
    async def plain(self, search: Search) -> str:
        """The name of an empty index with the fields that every engine has."""
        await search.create_index(IndexSpec(name=PLAIN_NAME, fields=PLAIN))
        # To make and drop one for each test takes some engines long.
        while await search.delete_where(PLAIN_NAME, All()):
            pass
        return PLAIN_NAME

    async def test_the_engine_announces_what_it_is_held_to(self, search: Search) -> None:
        assert search.capabilities == self.capabilities
