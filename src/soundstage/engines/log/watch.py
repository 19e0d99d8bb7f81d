"""Who waits for entries, and is woken when some come; nobody looks again and again."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Iterable

from soundstage.core.environment import Environment


class Watch:
    """Waiters by what they wait for; for one event loop."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._waiting: dict[Hashable, set[asyncio.Future[None]]] = {}

    def tell(self, key: Hashable) -> None:
        """Whoever waits for `key` looks again."""
        for waiter in self._waiting.pop(key, ()):
            if not waiter.done():
                waiter.set_result(None)

    def tell_all(self) -> None:
        """Everybody looks again."""
        for key in list(self._waiting):
            self.tell(key)

    async def until(self, keys: Iterable[Hashable], deadline_ns: int | None) -> bool:
        """Something was told of one of `keys`; false when the deadline came first."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        watched = list(keys)
        for key in watched:
            self._waiting.setdefault(key, set()).add(waiter)
        try:
            if deadline_ns is None:
                await waiter
                return True
            return await self._by(waiter, deadline_ns)
        finally:
            for key in watched:
                waiters = self._waiting.get(key)
                if waiters is not None:
                    waiters.discard(waiter)
                    if not waiters:
                        del self._waiting[key]

    async def _by(self, waiter: asyncio.Future[None], deadline_ns: int) -> bool:
        left_ns = deadline_ns - self._environment.monotonic_ns()
        if left_ns <= 0:
            return waiter.done()
        sleeping = asyncio.ensure_future(self._environment.sleep(left_ns / 1e9))
        try:
            await asyncio.wait((waiter, sleeping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
        return waiter.done()
