"""Work for the processor, off the event loop: in threads where it frees the interpreter, else in processes.

    planes = await stage.compute.thread(grain.synthesize, planes, params)
    model = await stage.compute.process(train, path, seed=7)

A handler holds the loop for 2 ms at most; what takes longer goes here. In a simulation the work is done inline,
so that one seed is one history.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from soundstage.core.environment import Environment, SystemEnvironment
from soundstage.core.errors import Exhausted, Unavailable
from soundstage.runtime.config import ComputeConfig

if TYPE_CHECKING:
    from pebble import ProcessPool

log: logging.Logger = logging.getLogger("soundstage.compute")

P = ParamSpec("P")
T = TypeVar("T")

TASKS_PER_PROCESS = 10_000
"""A process is replaced after so many pieces of work, so that what leaks in one is freed some day."""

STOP_WAIT_S = 10.0
"""How long a stop waits for work in threads, when it is told nothing else."""

_THREADS = "soundstage-compute"
_PR_SET_PDEATHSIG = 1
_STOP_STEP_S = 0.01


class Lane:
    """How much work of one kind there is, and may be."""

    def __init__(self, kind: str, workers: int, queued: int) -> None:
        self.kind = kind
        self.workers = workers
        self.load: int = 0
        self.done: int = 0
        self.refused: int = 0
        self._most = workers + queued

    def enter(self) -> None:
        """One more piece of work. Raises `Exhausted`."""
        if self.load >= self._most:
            self.refused += 1
            raise Exhausted(
                f"{self.load} pieces of work are under way in {self.kind}, the limit",
                hint="retry later, or raise compute.queued",
                retry_after_ms=100,
            )
        self.load += 1

    def leave(self) -> None:
        """One piece of work less."""
        self.load -= 1
        self.done += 1


class Compute:
    """Runs functions in threads and processes that are started when they are first needed."""

    def __init__(self, config: ComputeConfig, environment: Environment, stop_wait_s: float = STOP_WAIT_S) -> None:
        self._environment = environment
        self._stop_wait_s = stop_wait_s
        processors = os.cpu_count() or 1
        self.threads: Lane = Lane("threads", config.threads or processors, config.queued)
        self.processes: Lane = Lane("processes", config.processes or processors, config.queued)
        self._inline = not isinstance(environment, SystemEnvironment)
        self._thread_pool: ThreadPoolExecutor | None = None
        self._process_pool: ProcessPool | None = None
        self._stopped = False

    async def thread(self, do: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `do` returns, or raises, from a thread: for work that frees the interpreter, such as NumPy's.

        Raises `Exhausted` when too much waits, `Unavailable` once the stage has stopped. Who is cancelled gets
        away at once; work that had begun goes on to its end unheard.
        """
        self._check_open()
        self.threads.enter()
        if self._inline:
            return self._done_here(self.threads, do, *args, **kwargs)
        if self._thread_pool is None:
            self._thread_pool = ThreadPoolExecutor(self.threads.workers, thread_name_prefix=_THREADS)
        running = self._thread_pool.submit(do, *args, **kwargs)
        return await self._heard(self.threads, running)

    async def process(self, do: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `do` returns, or raises, from another process: for Python that computes.

        `do`, its arguments and its result are pickled, so `do` is a function of a module. Who is cancelled ends
        the work: its process is killed. Raises as `thread` does, and `Unavailable` when the process dies.
        """
        self._check_open()
        self.processes.enter()
        if self._inline:
            return self._done_here(self.processes, do, *args, **kwargs)
        if self._process_pool is None:
            self._process_pool = _process_pool(self.processes.workers)
        try:
            running: Future[T] = self._process_pool.schedule(do, args=list(args), kwargs=dict(kwargs))
        except RuntimeError as error:
            # The pool has lost its footing: the next piece of work gets another.
            self._process_pool = None
            self.processes.leave()
            raise Unavailable(f"the processes take no work: {error}", hint="retry", outcome="not_applied") from None
        return await self._heard(self.processes, running)

    async def stop(self) -> None:
        """No work is taken; what waits is dropped, processes are killed, threads have ended. Idempotent.

        Work in a thread that has not ended after `stop_wait_s` goes on unheard.
        """
        self._stopped = True
        threads, self._thread_pool = self._thread_pool, None
        processes, self._process_pool = self._process_pool, None
        if processes is not None:
            processes.stop()
            await asyncio.to_thread(processes.join)
        if threads is not None:
            threads.shutdown(wait=False, cancel_futures=True)
            await self._threads_ended(threads)

    async def _threads_ended(self, threads: ThreadPoolExecutor) -> None:
        """No thread works any more; or some do, for longer than a stop waits."""
        until_ns = self._environment.monotonic_ns() + self._stop_wait_s * 1e9
        while self.threads.load and self._environment.monotonic_ns() < until_ns:
            await self._environment.sleep(_STOP_STEP_S)
        if self.threads.load:
            log.warning("work in threads goes on after the stop", extra={"pieces": self.threads.load})
        else:
            await asyncio.to_thread(threads.shutdown)

    def _check_open(self) -> None:
        if self._stopped:
            raise Unavailable("the stage has stopped", outcome="not_applied", retryable=False)

    def _done_here(self, lane: Lane, do: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return do(*args, **kwargs)
        finally:
            lane.leave()

    async def _heard(self, lane: Lane, running: Future[T]) -> T:
        # A thread that nobody listens to still takes its place until it ends.
        loop = asyncio.get_running_loop()
        running.add_done_callback(lambda _: _tell(loop, lane.leave))
        try:
            return await asyncio.wrap_future(running)
        except asyncio.CancelledError:
            # Who is cancelled hears of that and of nothing else, whatever became of the work.
            if self._stopped and not _is_cancelled():
                raise _stopped_meanwhile() from None
            raise
        except BrokenExecutor:
            # The pool has lost its processes: the next piece of work gets another.
            self._process_pool = None
            raise _stopped_meanwhile() if self._stopped else _died(None) from None
        except Exception as error:  # noqa: BLE001 - whatever the work raised is its caller's
            raise _told(error) from None


def works_on() -> bool:
    """Whether threads of some `Compute` of this process are there still, which the interpreter waits for at its end."""
    return any(thread.name.startswith(_THREADS) for thread in threading.enumerate())


def _is_cancelled() -> bool:
    """Whether somebody wants the task that runs to end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _tell(loop: asyncio.AbstractEventLoop, what: Callable[[], None]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(what)


def _told(error: Exception) -> Exception:
    """`error`, or what it means when it is the pool's own."""
    if type(error).__name__ == "ProcessExpired":
        return _died(getattr(error, "exitcode", None))
    return error


def _died(code: int | None) -> Unavailable:
    return Unavailable(
        f"the process that did the work died{'' if code is None else f' (exit code {code})'}",
        hint="it may have run out of memory, or crashed in native code",
        outcome="unknown",
        retryable=False,
    )


def _stopped_meanwhile() -> Unavailable:
    return Unavailable("the stage stopped during the work", outcome="unknown", retryable=False)


def _process_pool(workers: int) -> ProcessPool:
    from pebble import ProcessPool

    # A forked process would share sockets, locks and threads' state with the stage.
    context: Any = multiprocessing.get_context("spawn")
    return ProcessPool(
        max_workers=workers,
        max_tasks=TASKS_PER_PROCESS,
        initializer=_begin_process,
        initargs=[os.getpid()],
        context=context,
    )


def _begin_process(parent: int) -> None:
    """A process that computes ignores Ctrl-C, which is the stage's to handle, and ends when the stage dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
