"""Processes beside the host, on the engine that the host has open: what leases, schedules and jobs are for.

Each has clocks of its own, which are off and run at a speed of their own, and its own way to the engine. It may be
killed, so that nothing of it happens any more but what it had sent, and paused: then none of its code runs, while
time passes and what it had sent arrives, until it goes on as if nothing had been.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from random import Random
from typing import Any, TypeVar

from soundstage.core.errors import Unavailable
from soundstage.engines.records.port import Records
from soundstage.testing.simulation.environment import START_NS, SimulatedEnvironment
from soundstage.testing.simulation.faults import FaultyRecords
from soundstage.testing.simulation.host import Host
from soundstage.testing.simulation.loop import PROCESS, SimulationLoop
from soundstage.testing.simulation.turn import Turn, taking

T = TypeVar("T")

SPEED = 0.05
"""So much, at most, a process's monotonic clock is too fast or too slow."""

UPTIME_S = 1_000_000.0
"""So long, at most, a process's machine has been up when the run begins."""


class Killed(Exception):
    """The process that was to do it has ended."""


class ProcessEnvironment(SimulatedEnvironment):
    """Clocks that have nothing in common with those of other processes: `speed` is that of its monotonic one."""

    def __init__(self, loop: SimulationLoop, seed: str) -> None:
        super().__init__(loop, seed)
        random = Random(f"machine {seed}")
        self.speed: float = random.uniform(1 - SPEED, 1 + SPEED)
        self._loop = loop
        self._booted_ns = round(random.uniform(0, UPTIME_S) * 1e9)

    def now_ns(self) -> int:
        return START_NS + round(self.skew_s * 1e9) + self._loop.virtual_ns

    def monotonic_ns(self) -> int:
        return self._booted_ns + round(self._loop.virtual_ns * self.speed)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self.speed)


class Process:
    """One process after the other, under one number; `life` counts them.

    `pauses` counts how often it was paused or killed. `records` and `environment` are those of the present life.
    """

    def __init__(self, loop: SimulationLoop, host: Host, seed: str, number: int) -> None:
        self.number = number
        self.life: int = 0
        self.pauses: int = 0
        self.is_up: bool = False
        self.counts: Counter[str] = Counter()
        self.environment: ProcessEnvironment
        self.records: Records
        self._loop = loop
        self._host = host
        self._seed = seed
        self._way: _Way
        self._turn: Turn
        self._tasks: dict[asyncio.Task[Any], None] = {}

    @property
    def name(self) -> str:
        """That of the present life."""
        return f"process {self.number}/{self.life}"

    @property
    def is_cut(self) -> Callable[[], bool]:
        """Whether the present life has ended, to be asked later on."""
        way = self._way
        return lambda: way.cut

    @property
    def is_paused(self) -> bool:
        """Whether none of its code runs."""
        return self._loop.is_held(self._way)

    def begin(self, skew_s: float = 0.0) -> None:
        """Another process is there, whose wall clock is off by `skew_s`."""
        self.life += 1
        self.is_up = True
        self.environment = ProcessEnvironment(self._loop, f"{self.name} {self._seed}")
        self.environment.skew_s = skew_s
        self._turn = Turn(Random(f"turns {self.name} {self._seed}"))
        self._way = _Way(self._host, self.counts)
        records: Any = self._way
        self.records = records

    async def run(self, doing: Coroutine[Any, Any, T]) -> T:
        """What `doing`, code of this process, returns. Raises `Killed` when the process ends before it."""
        if not self.is_up:
            doing.close()
            raise Killed(self.name)
        task = self.spawn(doing)
        # Who waits is not of the process: it may give up while that is paused.
        await asyncio.wait({task})
        if task.cancelled():
            raise Killed(self.name)
        return task.result()

    def spawn(self, doing: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A task of this process."""
        context = copy_context()
        context.run(PROCESS.set, self._way)
        task = self._loop.create_task(doing, context=context)
        self._tasks[task] = None
        task.add_done_callback(lambda done: self._tasks.pop(done, None))
        return task

    def serve(self, doing: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """As `spawn`, for what goes on by itself: it meets faults by dice of the process, not by a step's."""
        with taking(self._turn):
            return self.spawn(doing)

    def pause(self, seconds: float) -> None:
        """None of its code runs for so long."""
        self.pauses += 1
        self._loop.hold(self._way)
        self._loop.call_later(seconds, self._loop.let_go, self._way)

    def resume(self) -> None:
        """It is not paused. Idempotent."""
        self._loop.let_go(self._way)

    def kill(self) -> None:
        """The process has ended at once: it reaches nothing any more. Idempotent."""
        if not self.is_up:
            return
        self.is_up = False
        self.pauses += 1
        self._way.cut = True
        for task in list(self._tasks):
            task.cancel()
        # Nobody hears of what its code does in vain on its way out.
        self._loop.let_go(self._way)


class _Way:
    """The records engine of the host as a process reaches it; also what tells the code of one process from others'.

    Once `cut` nothing goes there; what has been sent arrives all the same.
    """

    def __init__(self, host: Host, counts: Counter[str]) -> None:
        self.cut: bool = False
        self.capabilities = host.engine.capabilities
        self._host = host
        engine: Any = _Engine(host)
        self._port = FaultyRecords(engine, host.environment)
        self._port.counts = counts

    async def start(self) -> None:
        """It is the host's to start."""

    async def stop(self) -> None:
        """It is the host's to stop."""

    def __getattr__(self, name: str) -> Any:
        if not hasattr(FaultyRecords, name):
            raise AttributeError(name)

        async def reach(*args: Any, **options: Any) -> Any:
            if self.cut:
                raise Unavailable("this process has ended", outcome="not_applied", retryable=False)
            self._port.rates, self._port.spared = self._host.rates, self._host.spared
            # What is under way is no code of the process.
            context = copy_context()
            context.run(PROCESS.set, None)
            doing = getattr(self._port, name)(*args, **options)
            sent = asyncio.get_running_loop().create_task(doing, context=context)
            sent.add_done_callback(_heard)
            return await asyncio.shield(sent)

        return reach


class _Engine:
    """Whichever engine the host has open; `Unavailable` while it has none."""

    def __init__(self, host: Host) -> None:
        self.capabilities = host.engine.capabilities
        self._host = host

    def __getattr__(self, name: str) -> Any:
        async def reach(*args: Any, **options: Any) -> Any:
            host = self._host
            if not host.is_up:
                raise Unavailable("the engine is down", outcome="not_applied")
            engine = host.engine.engine
            answer = await getattr(engine, name)(*args, **options)
            if not host.is_up or host.engine.engine is not engine:
                # What it said last may not be on its disk.
                raise Unavailable("the engine went down before it answered", outcome="unknown")
            return answer

        return reach


def _heard(sent: asyncio.Task[Any]) -> None:
    """Nobody may have waited for its end."""
    if not sent.cancelled():
        sent.exception()
