"""Random requests: an engine answers them as the specification does."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from soundstage.core.environment import VirtualEnvironment
from soundstage.engines.search.memory import MemorySearch
from soundstage.engines.search.port import Request, Search
from soundstage.testing.search.bench import own_name
from soundstage.testing.search.requests import comparable, documents, request, spec

REQUESTS = 150
CORPORA = 2


class Requests:
    @pytest.mark.slow
    async def test_any_request_is_answered_as_the_specification_answers_it(self, search: Search) -> None:
        for corpus in range(CORPORA):
            asked = spec(own_name(), search.capabilities)
            model = MemorySearch(VirtualEnvironment())
            await model.start()
            for engine in (search, model):
                await engine.create_index(asked)
                await engine.bulk(asked.name, documents(corpus, asked))
                await engine.refresh(asked.name)
            for number in range(REQUESTS):
                # An engine in memory waits for nothing, and others want their turn.
                await asyncio.sleep(0)
                seed = corpus * REQUESTS + number
                await self._compare(seed, search, model, asked.name, request(seed, asked))
            await search.drop_index(asked.name)

    async def _compare(self, seed: int, search: Search, model: Search, index: str, asked: Request) -> None:
        """Two pages, the second from where each of the two says that the first ended."""
        pages = [await engine.search(index, asked) for engine in (search, model)]
        assert (seed, asked, comparable(pages[0])) == (seed, asked, comparable(pages[1]))
        if pages[0].after is not None:
            ends = [msgspec.structs.replace(asked, after=page.after) for page in pages]
            pages = [await engine.search(index, more) for engine, more in zip((search, model), ends, strict=True)]
            assert (seed, asked, comparable(pages[0])) == (seed, asked, comparable(pages[1]))
