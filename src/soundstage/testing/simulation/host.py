"""The machine that a simulated stage runs on: it serves, crashes, and comes back with what its storage kept."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from soundstage.catalogue import SYSTEMS
from soundstage.core.call import Call
from soundstage.core.errors import InvalidArgument, Unavailable
from soundstage.core.operation import Operation
from soundstage.core.system import System
from soundstage.engines.blobs.memory import MemoryBlobs
from soundstage.engines.records.port import Sweep
from soundstage.runtime.stage import Stage
from soundstage.testing.simulation.environment import SimulatedEnvironment
from soundstage.testing.simulation.faults import HEALTHY, FaultRates, FaultyRecords
from soundstage.testing.simulation.log import LastingLog
from soundstage.testing.simulation.search import LastingSearch
from soundstage.testing.simulation.storage import End, Storage

ENGINE = "default"
BLOBS = "blobs"
LOG = "log"
SEARCH = "search"

CONFIG: Mapping[str, Any] = {
    "data": "memory:",
    "engines": {name: {"url": "memory:"} for name in (ENGINE, BLOBS, LOG, SEARCH)},
    "systems": {"writeahead": {"log": LOG}},
}

NOTHING: Mapping[str, Any] = {}


class Host:
    """One stage over one engine that is seen through faults; `config` is what its stage file says besides `CONFIG`.

    `rates` are the faults of its port, for tables not in `spared`; `changes` counts how often they were set. It knows
    `systems` besides those of the catalogue; its `blobs`, `log` and `search` stay when its process does not.
    `restarts` counts the processes that ended.
    """

    def __init__(
        self,
        storage: Storage,
        environment: SimulatedEnvironment,
        spared: frozenset[str],
        systems: Sequence[System] = (),
        config: Mapping[str, Any] = NOTHING,
    ) -> None:
        self.storage = storage
        self.config: Mapping[str, Any] = {**CONFIG, **config}
        self.systems: tuple[System, ...] = (*SYSTEMS, *systems)
        self.blobs: MemoryBlobs = MemoryBlobs(environment)
        self.log: LastingLog = LastingLog(environment, lambda: self.rates)
        self.search: LastingSearch = LastingSearch(environment, lambda: self.rates)
        self.environment = environment
        self.restarts: int = 0
        self.changes: int = 0
        self.spared = spared
        self.rates: FaultRates = HEALTHY
        self.engine: FaultyRecords
        self._stage: Stage | None = None
        self._counts: Counter[str] = Counter()
        self._changing = False
        # Ordered, so that a crash ends the calls in the same order in every run.
        self._calls: dict[asyncio.Task[Any], None] = {}

    @property
    def stage(self) -> Stage:
        """The stage; `Unavailable` while there is none."""
        if self._stage is None:
            raise Unavailable("the host refuses connections", outcome="not_applied")
        return self._stage

    @property
    def is_up(self) -> bool:
        return self._stage is not None

    async def start(self) -> None:
        """The stage serves. Nothing disturbs it before it does.

        `InvalidArgument` for an engine that starts threads: virtual time has one.
        """
        before = set(threading.enumerate())
        self.engine = FaultyRecords(self.storage.open(self.environment), self.environment)
        self.engine.spared = self.spared
        given: dict[str, Any] = {ENGINE: self.engine, BLOBS: self.blobs, LOG: self.log, SEARCH: self.search}
        stage = Stage.open(
            config=self.config,
            variables={},
            environment=self.environment,
            systems=self.systems,
            engines=given,
            background=False,
        )
        await stage.start()
        threads = sorted(thread.name for thread in set(threading.enumerate()) - before)
        if threads:
            await stage.stop()
            raise _has_threads(threads)
        self._stage = stage
        self.set_rates(self.rates)

    def set_rates(self, rates: FaultRates) -> None:
        """The port's faults from now on."""
        self.changes += 1
        self.rates = rates
        self.engine.rates = rates

    def calm(self) -> tuple[int, int] | None:
        """What has happened so far; None while something is wrong."""
        return (self.changes, self.restarts) if self.rates is HEALTHY and self.is_up else None

    async def call(self, operation: Operation[..., Any], request: Any, call: Call) -> Any:
        """The stage's reply to a request that has arrived. `CancelledError` when the process ends before it."""
        stage, task = self.stage, asyncio.current_task()
        assert task is not None
        self._calls[task] = None
        try:
            return await stage.dispatch(operation.system, operation.name, call, request)
        finally:
            del self._calls[task]

    def counts(self) -> Counter[str]:
        """How often each fault of the port has struck, over all processes."""
        return self._counts + self.engine.counts + self.log.counts + self.search.counts

    async def sweep(self, budget_rows: int) -> Sweep:
        """What the sweeper's role does, once."""
        _ = self.stage
        return await self.engine.sweep(budget_rows)

    async def restart(self, end: End, down_s: float) -> bool:
        """The process ended so, and another one serves after `down_s`; false while another restart goes on.

        Calls under way end with the process, unless it is stopped, which waits for them.
        """
        if self._changing or self._stage is None:
            return False
        self._changing = True
        stage = self._stage
        if end == "stop":
            await stage.stop()
            self._stage = None
            self._end_calls()
        else:
            self._stage = None
            # What is on disk is settled before anybody notices that the process is gone.
            self.storage.leave(end)
            self._end_calls()
            await stage.stop()
        self.restarts += 1
        self._counts.update(self.engine.counts)
        await self.environment.sleep(down_s)
        await self.start()
        self._changing = False
        return True

    def _end_calls(self) -> None:
        for task in self._calls:
            task.cancel()

    async def stop(self) -> None:
        """The stage has stopped. Idempotent."""
        stage, self._stage = self._stage, None
        if stage is not None:
            await stage.stop()


def _has_threads(names: list[str]) -> InvalidArgument:
    return InvalidArgument(
        f"the engine runs threads of its own ({', '.join(names)}), which know nothing of virtual time",
        field="engine",
        hint="run the conformance suite on it, which works in real time",
    )
