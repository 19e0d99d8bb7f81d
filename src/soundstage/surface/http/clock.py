"""What a server does now and then: end slow connections, and tell the date."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from email.utils import formatdate
from typing import Protocol

from soundstage.core.environment import Environment
from soundstage.runtime.config import HttpConfig

ROUND_MAX_S = 1.0
ROUND_MIN_S = 0.01
SLICE = 1_000
"""Connections looked at before others get their turn."""


class Watched(Protocol):
    """A connection."""

    def check_time(self, now: float) -> None:
        """End the connection if it has taken too long over what it does."""
        ...


class ServerClock:
    """One per server. `date` is a whole header line, at most a second old."""

    def __init__(self, environment: Environment, limits: HttpConfig) -> None:
        self._environment = environment
        shortest_s = min(limits.idle_timeout, limits.header_timeout, limits.body_timeout) / 1e9
        self._round_s = min(ROUND_MAX_S, max(ROUND_MIN_S, shortest_s / 4))
        self.date: bytes = b""
        self._tell_date()

    async def run(self, connections: Callable[[], Iterable[Watched]]) -> None:
        """Look at all connections a few times within the shortest time-out, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await self._environment.sleep(self._round_s)
            self._tell_date()
            for number, connection in enumerate(list(connections())):
                if number % SLICE == SLICE - 1:
                    await asyncio.sleep(0)
                connection.check_time(loop.time())

    def _tell_date(self) -> None:
        self.date = f"date: {formatdate(self._environment.now_ns() // 1_000_000_000, usegmt=True)}\r\n".encode()
