"""A signal that something changed, for any number of tasks that wait for it."""

from __future__ import annotations

import asyncio


class Signal:
    """Counts changes; whoever has seen fewer is woken. For one event loop."""

    __slots__ = ("_event", "count")

    def __init__(self) -> None:
        self.count: int = 0
        self._event = asyncio.Event()

    def notify(self) -> None:
        """One more change: everyone who waits is woken."""
        self.count += 1
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self, seen: int) -> int:
        """The count, once it is greater than `seen`; at once when it is already."""
        while self.count <= seen:
            await self._event.wait()
        return self.count
