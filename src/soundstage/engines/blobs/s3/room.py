"""How many bytes all blobs may still have, without counting them at every put.

A count of all objects is a request for each thousand of them. It is made when somebody has a limit to keep, and then
trusted for a minute, with what this process has put since on top; before a put is refused, it is made again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager

from soundstage.core.environment import Environment
from soundstage.core.errors import Exhausted
from soundstage.engines.blobs import refusals
from soundstage.engines.blobs.port import Expectation, Usage

COUNTED_FOR_NS = 60 * 10**9


class Coming:
    """The bytes of one put so far."""

    def __init__(self) -> None:
        self.bytes: int = 0

    def add(self, size: int) -> None:
        self.bytes += size


class Room:
    """What all blobs have, as far as is known. Never less than it is, but for what other processes have just put."""

    def __init__(self, count: Callable[[], Awaitable[Usage]], quota: int | None, environment: Environment) -> None:
        self._count = count
        self._quota = quota
        self._environment = environment
        self._coming: set[Coming] = set()
        self._used = 0
        self._put = 0
        self._counted_ns: int | None = None
        self._counting = asyncio.Lock()

    @contextmanager
    def coming(self) -> Generator[Coming]:
        """Within the block a put's bytes count among those that all blobs have."""
        put = Coming()
        self._coming.add(put)
        try:
            yield put
        finally:
            self._coming.discard(put)

    def put(self, size: int) -> None:
        """A put has ended, and its bytes are there to stay."""
        self._used += size
        self._put += size

    async def check(self, expect: Expectation) -> None:
        """Raises `Exhausted` when all blobs, those that are coming included, have more bytes than they may."""
        if self._quota is None and expect.most_in_all is None:
            return
        known_ns = self._counted_ns
        if known_ns is None or self._environment.monotonic_ns() - known_ns > COUNTED_FOR_NS:
            await self._recount(known_ns)
        known_ns = self._counted_ns
        try:
            self._compare(expect)
        except Exhausted:
            await self._recount(known_ns)
            self._compare(expect)

    async def _recount(self, known_ns: int | None) -> None:
        """All blobs are counted, by one for all who want it, unless that was done since `known_ns`."""
        async with self._counting:
            if self._counted_ns != known_ns:
                return
            began_ns, put = self._environment.monotonic_ns(), self._put
            # What is put while others are counted may be among them or not.
            self._used = (await self._count()).bytes + self._put - put
            self._counted_ns = began_ns

    def _compare(self, expect: Expectation) -> None:
        coming = sum(put.bytes for put in self._coming)
        refusals.check_all(self._used + coming, self._quota, expect)
