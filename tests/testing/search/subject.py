"""The suite over an engine that the run is given; not collected by itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from soundstage.core.environment import VirtualEnvironment
from soundstage.engines.search.memory import MemorySearch
from soundstage.engines.search.port import Search, SearchCapability
from soundstage.testing.search import OpenIndexes, PassTime, SearchSuite


@pytest.fixture
def environment() -> VirtualEnvironment:
    return VirtualEnvironment()


class TestSubject(SearchSuite):
    capabilities = frozenset({SearchCapability.NESTED, SearchCapability.VECTORS})

    @pytest.fixture
    def open_search(
        self, engine: Callable[[VirtualEnvironment], MemorySearch], environment: VirtualEnvironment
    ) -> OpenIndexes:
        async def open_search() -> Search:
            made = engine(environment)
            await made.start()
            return made

        return open_search

    @pytest.fixture
    def pass_time(self, environment: VirtualEnvironment) -> PassTime:
        async def advance(seconds: float) -> None:
            environment.advance(seconds)

        return advance
