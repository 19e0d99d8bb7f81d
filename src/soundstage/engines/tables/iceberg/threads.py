"""The threads of an engine, in which its driver blocks: so many at once, and nobody waits for one beyond a deadline.

Who leaves says so, and the thread ends its work at the next look. One that is stuck, as on a disk that does not answer,
is one of these threads until it goes on: calls wait for the others, each for as long as it may.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeAlias, TypeVar

from soundstage.core.completion import ended
from soundstage.core.environment import Environment
from soundstage.core.errors import Exhausted, SoundstageError, Unavailable
from soundstage.core.time import NS_PER_S
from soundstage.engines.tables import refusals
from soundstage.engines.tables.iceberg.failures import translated
from soundstage.engines.tables.iceberg.work import Work, doing

T = TypeVar("T")

Job: TypeAlias = Callable[[Work], T]
Undo: TypeAlias = Callable[[T], None] | None
"""What is done with what a job came to, where nobody takes it."""

WAITING_MAX = 1_000
"""Calls that wait for a thread, or for their turn at a table."""

STOP_WITHIN_S = 20.0
"""Threads have so long to end when the engine stops; then calls end without them."""


class Threads:
    """`count` threads. For one event loop, in which `start` is called first."""

    def __init__(self, count: int, environment: Environment) -> None:
        self._count = count
        self._environment = environment
        self._executor: ThreadPoolExecutor | None = None
        self._running: set[asyncio.Future[Any]] = set()
        self._asking = 0
        self.trouble: str | None = None
        """Why the last call that was not done was not; None when one has been since."""

    def start(self) -> None:
        """Work is taken."""
        self._stopped: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._executor = ThreadPoolExecutor(self._count, thread_name_prefix="tables")

    async def stop(self) -> None:
        """None is taken, and what was under way has ended or been left to itself. Idempotent."""
        executor, self._executor = self._executor, None
        if executor is None:
            return
        executor.shutdown(wait=False, cancel_futures=True)
        if self._running:
            await asyncio.wait(self._running, timeout=STOP_WITHIN_S)
        self._stopped.set_result(None)

    def check_open(self) -> None:
        """Raises `Unavailable` unless work is taken."""
        if self._executor is None:
            raise refusals.stopped()

    @contextmanager
    def asked(self) -> Generator[None]:
        """Within the block one more call waits, and how it ends is noted. Raises `Exhausted` where too many do."""
        if self._asking >= WAITING_MAX:
            raise Exhausted(f"{WAITING_MAX} calls wait for the tables", retry_after_ms=1_000, outcome="not_applied")
        self._asking += 1
        try:
            yield
            self.trouble = None
        except Unavailable as error:
            self.trouble = error.detail
            raise
        finally:
            self._asking -= 1

    def left_s(self, deadline_ns: int | None) -> float | None:
        """How long there is until then; None: for ever. Raises `DeadlineExceeded` when it is over."""
        if deadline_ns is None:
            return None
        left_ns = deadline_ns - self._environment.monotonic_ns()
        if left_ns <= 0:
            raise refusals.late()
        return left_ns / NS_PER_S

    async def run(
        self, table: str, job: Job[T], *, reading: bool = False, deadline_ns: int | None = None, undo: Undo[T] = None
    ) -> T:
        """What `job` comes to in a thread, and its failure as one of the port's, or `Overtaken`.

        Raises `DeadlineExceeded`, without waiting for the thread. Who is cancelled leaves when the thread has, or by
        the deadline. What the job then came to all the same, a thread hands to `undo`, unless the engine stops.
        """
        within_s = self.left_s(deadline_ns)
        executor = self._executor
        if executor is None:
            raise refusals.stopped()
        work = Work(lambda: self._executor is executor)
        begun = executor.submit(_done, work, table, job, reading)
        running = asyncio.wrap_future(begun)
        self._running.add(running)
        running.add_done_callback(self._over)
        try:
            await asyncio.wait((running, self._stopped), timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            work.leave()
            begun.cancel()
            if within_s is None:
                await ended(running)
            elif (left_ns := (deadline_ns or 0) - self._environment.monotonic_ns()) > 0:
                await asyncio.wait((running,), timeout=left_ns / NS_PER_S)
            await self._unmake(running, undo, deadline_ns)
            raise
        if running.done() and not running.cancelled():
            return running.result()
        outcome = work.leave()
        begun.cancel()
        await self._unmake(running, undo, deadline_ns)
        raise refusals.stopped(outcome) if self._executor is not executor else refusals.late(outcome)

    async def aside(self, job: Callable[[], None], deadline_ns: int | None) -> None:
        """`job` is done by a thread, now or later, or never where the engine stops; its failure is nobody's."""
        if self._executor is None:
            return
        running = asyncio.wrap_future(self._executor.submit(job))
        self._running.add(running)
        running.add_done_callback(self._over)
        left_s = None if deadline_ns is None else (deadline_ns - self._environment.monotonic_ns()) / NS_PER_S
        if left_s is None or left_s > 0:
            await asyncio.wait((running, self._stopped), timeout=left_s, return_when=asyncio.FIRST_COMPLETED)

    async def _unmake(self, running: asyncio.Future[T], undo: Undo[T], deadline_ns: int | None) -> None:
        """What a job came to that nobody takes is handed to `undo`: by the deadline, or once it has come to it."""
        if undo is None:
            return
        if running.done():
            if not running.cancelled() and running.exception() is None:
                await self.aside(partial(undo, running.result()), deadline_ns)
            return

        def unmake(ended: asyncio.Future[T]) -> None:
            if self._executor is not None and not ended.cancelled() and ended.exception() is None:
                self._executor.submit(undo, ended.result())

        running.add_done_callback(unmake)

    def _over(self, running: asyncio.Future[Any]) -> None:
        self._running.discard(running)
        if not running.cancelled():
            # Who left does not want to hear it; asyncio would complain that nobody did.
            running.exception()


def _done(work: Work, table: str, job: Job[T], reading: bool) -> T:
    with doing(work):
        try:
            return translated(table, job, work, reading)
        except SoundstageError as error:
            if error.outcome == "unknown" and not work.has_committed:
                error.outcome = "not_applied"
            raise
