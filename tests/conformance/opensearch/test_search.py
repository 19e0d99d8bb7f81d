"""The suite on a real OpenSearch."""

from __future__ import annotations

import asyncio

import pytest
from tests.conformance.opensearch.conftest import engine_at

from soundstage.engines.search.port import Search, SearchCapability
from soundstage.servers import Cluster
from soundstage.testing.search import OpenIndexes, PassTime, SearchSuite

pytestmark = pytest.mark.slow


class TestOpenSearch(SearchSuite):
    capabilities = frozenset(SearchCapability)

    @pytest.fixture
    def open_search(self, opensearch: Cluster) -> OpenIndexes:
        async def open_search() -> Search:
            engine = engine_at(f"{opensearch.url}/suite", patience_s=30.0)
            await engine.start()
            return engine

        return open_search

    @pytest.fixture
    def pass_time(self) -> PassTime:
        return asyncio.sleep
