"""What the tests of the suite have in common: names of their own, and questions asked in one line."""

from __future__ import annotations

import itertools
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

import msgspec

from soundstage.engines.search.port import Page, Request, Search
from soundstage.engines.search.queries import Query, Sort
from soundstage.testing.search.films import NAME, show

OpenIndexes: TypeAlias = Callable[[], Awaitable[Search]]
"""The engine of one test, started; a second one, after the first was stopped, has what the first had written."""

PassTime: TypeAlias = Callable[[float], Awaitable[None]]
"""The engine's clock goes on by so many seconds."""

_numbers = itertools.count()


def own_name() -> str:
    """A name of an index or alias that nothing else has."""
    return f"t{os.getpid()}-{next(_numbers)}"


async def ids_of(search: Search, index: str, query: Query) -> set[str]:
    """The ids of all that matches, which are not more than a page has."""
    page = await search.search(index, Request(query=query, limit=1_000))
    return {hit.document.id for hit in page.hits}


async def found(search: Search, query: Query) -> set[str]:
    """The films that match."""
    await show(search)
    return await ids_of(search, NAME, query)


async def ordered(search: Search, *sort: Sort) -> list[str]:
    """All films in that order."""
    await show(search)
    return in_order(await search.search(NAME, Request(sort=sort, limit=100)))


def in_order(page: Page) -> list[str]:
    """The ids of a page."""
    return [hit.document.id for hit in page.hits]


async def all_pages(search: Search, index: str, request: Request, pages: int = 100) -> Sequence[Page]:
    """The pages of a request, one after the other, to the last."""
    found: list[Page] = []
    while len(found) < pages:
        found.append(await search.search(index, request))
        if found[-1].after is None:
            return found
        request = msgspec.structs.replace(request, after=found[-1].after)
    raise AssertionError(f"more than {pages} pages")
