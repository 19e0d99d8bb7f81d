"""Turns: first come, first served, in one event loop, and nobody waits for longer than there is time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Hashable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

from soundstage.core.errors import DeadlineExceeded

K = TypeVar("K", bound=Hashable)


class Line:
    """So many may go at once; the others wait."""

    def __init__(self, free: int) -> None:
        self.free: int = free
        self._waiting: dict[asyncio.Future[None], None] = {}

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def take_now(self) -> bool:
        """Whether it is the caller's turn at once."""
        if self.free <= 0:
            return False
        self.free -= 1
        return True

    async def take(self, within_s: float | None = None) -> None:
        """It is the caller's turn, until it calls `give`.

        Raises `DeadlineExceeded`, of the event loop's clock, where it has not come `within_s`.
        """
        if self.take_now():
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[turn] = None
        try:
            await _come(turn, within_s)
        except BaseException:
            self._waiting.pop(turn, None)
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.give()
            raise

    def give(self) -> None:
        """The next has its turn."""
        while self._waiting:
            turn = next(iter(self._waiting))
            del self._waiting[turn]
            if not turn.done():
                turn.set_result(None)
                return
        self.free += 1

    def close(self, refusal: Callable[[], Exception]) -> None:
        """Whoever waits is told so, each by a `refusal` of its own."""
        for turn in self._waiting:
            if not turn.done():
                turn.set_exception(refusal())
        self._waiting.clear()


async def _come(turn: asyncio.Future[None], within_s: float | None) -> None:
    if within_s is None:
        return await turn
    timer = asyncio.get_running_loop().call_later(max(0.0, within_s), _end, turn)
    try:
        return await turn
    finally:
        timer.cancel()


def _end(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_exception(
            DeadlineExceeded("the deadline passed before its turn came", hint="allow more time", outcome="not_applied")
        )


class _Place:
    def __init__(self) -> None:
        self.line: Line = Line(1)
        self.wanted = 0


class Turns(Generic[K]):
    """Turns at many places: who is at one waits for the others there, and for nobody else.

    Nothing is kept of places where nobody is.
    """

    def __init__(self) -> None:
        self._places: dict[K, _Place] = {}

    def __len__(self) -> int:
        return len(self._places)

    @asynccontextmanager
    async def at(self, place: K, within_s: float | None = None) -> AsyncGenerator[None]:
        """Within the block nobody else has a turn at `place`. Raises as `Line.take` does."""
        found = self._places.setdefault(place, _Place())
        found.wanted += 1
        try:
            await found.line.take(within_s)
            try:
                yield
            finally:
                found.line.give()
        finally:
            found.wanted -= 1
            if not found.wanted:
                del self._places[place]
