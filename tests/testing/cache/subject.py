"""The suite over an engine that the run is given; not collected by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from soundstage.core.environment import VirtualEnvironment
from soundstage.engines.cache.memory import MemoryCache
from soundstage.engines.cache.port import Cache
from soundstage.testing.cache import CacheSuite
from soundstage.testing.cache.suite import PassTime


@pytest.fixture
def environment() -> VirtualEnvironment:
    return VirtualEnvironment()


class TestSubject(CacheSuite):
    @pytest.fixture
    async def cache(self, made: MemoryCache) -> AsyncIterator[Cache]:
        await made.start()
        yield made
        await made.stop()

    @pytest.fixture
    def pass_time(self, environment: VirtualEnvironment) -> PassTime:
        async def advance(seconds: float) -> None:
            environment.advance(seconds)

        return advance
