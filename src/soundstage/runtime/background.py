"""What a stage does besides answering calls: rounds that repeat at an interval, each a task of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from soundstage.core.environment import Environment
from soundstage.core.errors import SoundstageError

log: logging.Logger = logging.getLogger("soundstage.runtime")

FAILURES_TO_TELL = 3
"""Rounds that fail in a row before the stage says that it is not well."""

PAUSE_MAX_S = 30.0


class Round:
    """One kind of repeated work. `work` returns seconds until the next round, None for the usual interval.

    A round that fails is logged and tried again, ever more slowly; `failing` says why it does.
    """

    def __init__(self, name: str, interval_s: float, work: Callable[[], Awaitable[float | None]]) -> None:
        self.name = name
        self.interval_s = interval_s
        self.work = work
        self.rounds: int = 0
        self.failures: int = 0
        self._in_a_row = 0
        self._reason = ""

    @property
    def failing(self) -> str | None:
        """Why the last rounds failed, when several did in a row."""
        return self._reason if self._in_a_row >= FAILURES_TO_TELL else None

    async def once(self) -> float:
        """One round; returns the seconds until the next."""
        self.rounds += 1
        try:
            pause_s = await self.work()
        except SoundstageError as error:
            return self._failed(error)
        except Exception as error:
            log.exception("a background round failed by a defect", extra={"round": self.name})
            return self._failed(error)
        self._in_a_row = 0
        return self.interval_s if pause_s is None else pause_s

    def _failed(self, error: Exception) -> float:
        self.failures += 1
        self._in_a_row += 1
        self._reason = f"{self.name}: {error}"
        if self._in_a_row == 1:
            log.warning("a background round failed", extra={"round": self.name, "reason": str(error)})
        return min(PAUSE_MAX_S, self.interval_s * 2 ** min(self._in_a_row, 16))


class Background:
    """The rounds of a stage, which its roles repeat, and endless tasks; started in order, stopped in reverse.

    Roles stop first and together: one that waited for the end of another would go on without what keeps its lease.
    """

    def __init__(self, environment: Environment) -> None:
        self.rounds: list[Round] = []
        self._environment = environment
        self._tasks: list[asyncio.Task[None]] = []
        self._roles: list[asyncio.Task[None]] = []

    def add(self, name: str, interval_s: float, work: Callable[[], Awaitable[float | None]]) -> Round:
        """A round that repeats once started; returns it, so that it can be run by hand."""
        added = Round(name, interval_s, work)
        self.rounds.append(added)
        return added

    async def repeat(self, rounds: Sequence[Round]) -> None:
        """The rounds repeat, each at its own pace, until this is cancelled."""
        tasks = [asyncio.ensure_future(self._repeat(each)) for each in rounds]
        try:
            await asyncio.gather(*tasks)
        finally:
            await _ended(tasks)

    def run(self, name: str, task: Awaitable[None]) -> None:
        """`task`, which does not end by itself, runs until `stop`."""
        self._tasks.append(_named(name, task))

    def play(self, role: str, task: Awaitable[None]) -> None:
        """As `run`, of what does the work of a role."""
        self._roles.append(_named(role, task))

    async def stop(self) -> None:
        """Nothing runs any more. Idempotent."""
        await _ended(self._roles)
        self._roles.clear()
        while self._tasks:
            await _ended([self._tasks.pop()])

    async def _repeat(self, each: Round) -> None:
        while True:
            await self._environment.sleep(await each.once())


def _named(name: str, task: Awaitable[None]) -> asyncio.Task[None]:
    begun = asyncio.ensure_future(task)
    begun.set_name(f"soundstage {name}")
    return begun


async def _ended(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
