"""Ends calls whose deadline has passed, all with one timer.

A timer per call would cost more than many a call. One task wakes every few milliseconds while any call
has a deadline, and cancels those that are overdue; the dispatcher turns that into `DeadlineExceeded`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from heapq import heapify, heappop, heappush
from typing import Any, TypeVar

from soundstage.core.environment import Environment

T = TypeVar("T")

TICK_S = 0.002
"""How late a deadline may be noticed."""

COMPACT_AT = 256


class Watched:
    """One call with a deadline. `cancelling` is how often its task had been cancelled before."""

    __slots__ = ("cancelling", "ended", "expired", "settled", "task")

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self.task: asyncio.Task[Any] = task
        self.cancelling: int = task.cancelling()
        self.ended: bool = False
        self.expired: bool = False
        self.settled: bool = False


class Deadlines:
    """The calls that must end in time. `run` is a role of the stage."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._heap: list[tuple[int, int, Watched]] = []
        self._pending = asyncio.Event()
        self._order = 0
        self._ended = 0

    def watch(self, deadline_ns: int) -> Watched:
        """Cancel the current task once `deadline_ns` (monotonic) has passed, until it is released."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a call with a deadline runs in a task")
        call = Watched(task)
        self._order += 1
        heappush(self._heap, (deadline_ns, self._order, call))
        self._pending.set()
        return call

    def release(self, call: Watched) -> None:
        """The call has ended, one way or the other."""
        call.ended = True
        if call.expired:
            self.was_late(call)
            return
        self._ended += 1
        if self._ended > COMPACT_AT and self._ended * 2 > len(self._heap):
            # Ended calls with late deadlines would otherwise pile up behind one long call.
            self._heap = [entry for entry in self._heap if not entry[2].ended]
            heapify(self._heap)
            self._ended = 0

    async def keep(self, doing: Awaitable[T], deadline_ns: int, late: Callable[[], Exception]) -> T:
        """What `doing` returns; raises what `late` gives once `deadline_ns` (monotonic) has passed."""
        watched = self.watch(deadline_ns)
        try:
            return await doing
        except asyncio.CancelledError:
            if self.was_late(watched):
                raise late() from None
            raise
        finally:
            self.release(watched)

    @staticmethod
    def was_late(call: Watched) -> bool:
        """Whether the cancellation that has reached the call came from its deadline, and from nowhere else."""
        if not call.expired or call.settled:
            return False
        call.settled = True
        return call.task.uncancel() <= call.cancelling

    async def run(self) -> None:
        """Cancel overdue calls until cancelled itself."""
        while True:
            await self._pending.wait()
            self.expire()
            if self._heap:
                await self._environment.sleep(TICK_S)
            else:
                self._pending.clear()

    def expire(self) -> None:
        """Cancel what is overdue at this moment."""
        now_ns = self._environment.monotonic_ns()
        heap = self._heap
        while heap and (heap[0][2].ended or heap[0][0] <= now_ns):
            call = heappop(heap)[2]
            if call.ended:
                self._ended -= 1
            else:
                call.expired = True
                call.task.cancel()
