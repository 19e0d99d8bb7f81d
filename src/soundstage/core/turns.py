"""Turns at many places: who is at one waits for the others there, and for nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Hashable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class _Place:
    def __init__(self) -> None:
        self.lock: asyncio.Lock = asyncio.Lock()
        self.wanted = 0


class Turns(Generic[K]):
    """First come, first served, in one event loop. Nothing is kept of places where nobody is."""

    def __init__(self) -> None:
        self._places: dict[K, _Place] = {}

    def __len__(self) -> int:
        return len(self._places)

    @asynccontextmanager
    async def at(self, place: K) -> AsyncGenerator[None]:
        """Within the block nobody else has a turn at `place`."""
        found = self._places.setdefault(place, _Place())
        found.wanted += 1
        try:
            async with found.lock:
                yield
        finally:
            found.wanted -= 1
            if not found.wanted:
                del self._places[place]
