"""Truncations of a namespace with a cache, and what erases the rows that they hide."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from soundstage.core.message import IdempotencyToken
from soundstage.data.kv import api
from soundstage.data.kv.truncated import stamp_of
from soundstage.testing.simulation.caches.book import NOBODY, Write, deleted
from soundstage.testing.simulation.caches.crew import ANSWER_S, KNOWN, Crew
from soundstage.testing.simulation.caches.server import NAMESPACE, Server
from soundstage.testing.simulation.scenario import Divergence


class Truncations:
    """Truncates, and knows from when on everybody must see it."""

    def __init__(self, crew: Crew, records: Sequence[str], keys: Sequence[bytes]) -> None:
        self._crew = crew
        self._records = records
        self._keys = keys

    async def truncate(self, token: IdempotencyToken, server: Server) -> bool:
        """Whether it is known that all records of before are gone."""
        crew = self._crew
        at = stamp_of(token.generation_time.us, token.token)
        gone = deleted(at.time_us, at.token)
        writes = [(record, Write(NOBODY, crew.now_s, dict.fromkeys(self._keys, gone))) for record in self._records]
        for record, write in writes:
            crew.book.begin(record, write)
        self._stir()
        author, before = server.author, self._quiet()
        request = api.Truncate(namespace=NAMESPACE, confirm=NAMESPACE, idempotency_token=token)
        try:
            await crew.within(server.call("truncate", request, ANSWER_S))
        except KNOWN:
            crew.site.note("uncertain")
            return False
        if before is not None and self._quiet() == before and not crew.agree:
            raise Divergence("the namespace was truncated, and a server that nothing is wrong with has not heard of it")
        for record, write in writes:
            crew.book.acknowledge(record, write, author, crew.now_s, told=crew.has_told(author, record))
        crew.site.note("truncated")
        return True

    async def erase(self, server: Server) -> None:
        """What is hidden is erased, so far as that is due and nothing is wrong."""
        self._stir()
        with suppress(*KNOWN):
            await self._crew.within(server.erase())
            self._crew.site.note("erased")

    def _stir(self) -> None:
        for server in self._crew.servers:
            server.expect_change()

    def _quiet(self) -> object:
        """What has happened to all so far; None while something is wrong with somebody."""
        calm, servers = self._crew.site.host.calm(), self._crew.servers
        if calm is None or any(server.stage is None or server.process.is_paused for server in servers):
            return None
        return calm, [(server.author, server.process.pauses) for server in servers]
