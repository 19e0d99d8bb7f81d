"""What the acts of a run share: the servers, the book, and who has heard of what."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from soundstage.core.errors import DeadlineExceeded, Exhausted, TokenDrift, Unavailable
from soundstage.testing.simulation.caches.book import Author, Book
from soundstage.testing.simulation.caches.server import Server
from soundstage.testing.simulation.process import Killed
from soundstage.testing.simulation.scenario import Site

ANSWER_S = 3.0
KNOWN = (Unavailable, DeadlineExceeded, Exhausted, TokenDrift, Killed)
"""How calls end that prove nothing."""

R = TypeVar("R")


class Crew:
    """The servers at `site`, and the `book` of what was written by way of them."""

    def __init__(self, site: Site, servers: Sequence[Server], book: Book) -> None:
        self.site = site
        self.servers: Sequence[Server] = servers
        self.book: Book = book

    @property
    def now_s(self) -> float:
        return self.site.loop.time()

    @property
    def agree(self) -> bool:
        """Whether all servers that are up know the same version of the namespace."""
        return len({server.space for server in self.servers if server.stage is not None}) <= 1

    def has_told(self, author: Author, record: str) -> bool:
        """Whether all have been told of what that server, in that life, wrote to the record until now.

        Who has not heard of a change of the namespace yet looks where others tell nothing.
        """
        server = self.servers[author.server]
        return server.author == author and server.stage is not None and not server.owes(record) and self.agree

    async def within(self, calling: Coroutine[Any, Any, R]) -> R:
        """The answer, which is not waited for longer than a client would."""
        task = asyncio.ensure_future(calling)
        done, _ = await asyncio.wait({task}, timeout=ANSWER_S + 1.0)
        if not done:
            task.cancel()
            raise DeadlineExceeded("no answer in time", outcome="unknown", retryable=True)
        return task.result()
