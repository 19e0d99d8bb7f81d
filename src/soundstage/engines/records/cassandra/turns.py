"""Whose turn it is: first come, first served, and nobody waits for longer than there is time."""

from __future__ import annotations

import asyncio

from soundstage.core.environment import Environment
from soundstage.engines.records import refusals
from soundstage.engines.records.cassandra.failures import late


class Line:
    """So many may go at once; the others wait."""

    def __init__(self, free: int, environment: Environment) -> None:
        self.free: int = free
        self._environment = environment
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

    async def take(self, deadline_ns: int | None = None) -> None:
        """It is the caller's turn, until it calls `give`. Raises `DeadlineExceeded` where the time is over before."""
        if self.take_now():
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[turn] = None
        try:
            await self._come(turn, deadline_ns)
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

    def close(self) -> None:
        """Whoever waits is told that the engine is stopped."""
        for turn in self._waiting:
            if not turn.done():
                turn.set_exception(refusals.stopped())
        self._waiting.clear()

    async def _come(self, turn: asyncio.Future[None], deadline_ns: int | None) -> None:
        if deadline_ns is None:
            return await turn
        left_s = max(0, deadline_ns - self._environment.monotonic_ns()) / 1e9
        # Whoever goes first waits for servers, which have no other time than this one.
        timer = asyncio.get_running_loop().call_later(left_s, _end, turn)
        try:
            return await turn
        finally:
            timer.cancel()


def _end(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_exception(late())


class Turns:
    """Who writes a partition next, of those in this process: among themselves they need no contest."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._lines: dict[tuple[int, bytes], tuple[Line, list[None]]] = {}

    async def take(self, place: tuple[int, bytes], deadline_ns: int | None = None) -> None:
        """See `Line.take`."""
        line, users = self._lines.setdefault(place, (Line(1, self._environment), []))
        users.append(None)
        try:
            await line.take(deadline_ns)
        except BaseException:
            self._leave(place)
            raise

    def give(self, place: tuple[int, bytes]) -> None:
        """See `Line.give`."""
        self._lines[place][0].give()
        self._leave(place)

    def _leave(self, place: tuple[int, bytes]) -> None:
        users = self._lines[place][1]
        users.pop()
        if not users:
            del self._lines[place]
