"""The indexes of another process under the suite that every engine passes."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.engines.host.hosted import Hosted

from soundstage.core.environment import VirtualEnvironment
from soundstage.engines.search.memory import MemorySearch
from soundstage.engines.search.port import Search, SearchCapability
from soundstage.testing.search import OpenIndexes, PassTime, SearchSuite


@pytest.fixture
def environment() -> VirtualEnvironment:
    return VirtualEnvironment()


@pytest.mark.slow
class TestMemory(SearchSuite):
    capabilities = frozenset({SearchCapability.NESTED, SearchCapability.VECTORS})

    @pytest.fixture
    def open_search(self, tmp_path: Path, environment: VirtualEnvironment) -> OpenIndexes:
        async def open_search() -> Search:
            hosted = Hosted(MemorySearch(environment), "search", tmp_path / "host", environment)
            await hosted.start()
            return hosted  # pyright: ignore[reportReturnType]

        return open_search

    @pytest.fixture
    def pass_time(self, environment: VirtualEnvironment) -> PassTime:
        async def advance(seconds: float) -> None:
            environment.advance(seconds)

        return advance
