"""Several processes on one store, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from random import Random
from typing import Any, TypeVar

from tests.runtime.errands.service import ErrandsService

from soundstage.catalogue import SYSTEMS
from soundstage.core.errors import Unavailable
from soundstage.core.job import JobInfo
from soundstage.core.system import System
from soundstage.engines.records.memory import MemoryRecords
from soundstage.runtime.stage import Stage
from soundstage.testing.simulation.environment import SimulatedEnvironment
from soundstage.testing.simulation.loop import SimulationLoop, run

ERRANDS = System("errands", "tests.runtime.errands", "Counts, for tests")

T = TypeVar("T")

FAR = ("get", "read", "apply")
"""What a process asks of the store over the network."""


class SharedRecords(MemoryRecords):
    """A store that outlives the processes which use it, and refuses those that were cut off."""

    async def stop(self) -> None: ...


class CutOff:
    """A process's way to the store; once cut, whatever it does there fails, as for one that is dead.

    The way there and back takes up to `delay_s` each, at random, so that processes come between each other.
    """

    def __init__(self, records: SharedRecords, delay_s: float = 0.0, seed: int = 1) -> None:
        self._records = records
        self._delay_s = delay_s
        # A generator of its own: how long ways take changes nothing else that is at random.
        self._random = Random(seed)
        self.cut = False

    def __getattr__(self, name: str) -> Any:
        if self.cut and name not in ("stop", "capabilities"):
            raise Unavailable("this process is dead", outcome="not_applied", retryable=False)
        found = getattr(self._records, name)
        return self._far(found) if self._delay_s and name in FAR else found

    def _far(self, reached: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Coroutine[Any, Any, Any]]:
        async def reach(*args: Any, **options: Any) -> Any:
            await asyncio.sleep(self._random.uniform(0, self._delay_s))
            answer = await reached(*args, **options)
            await asyncio.sleep(self._random.uniform(0, self._delay_s))
            return answer

        return reach


class Cluster:
    """Stages, as processes, on one store in virtual time."""

    def __init__(self, loop: SimulationLoop, seed: int) -> None:
        self.seed = seed
        self.loop = loop
        self.environment = SimulatedEnvironment(loop, seed)
        self.records = SharedRecords(self.environment)
        self.links: dict[Stage, CutOff] = {}

    @asynccontextmanager
    async def process(
        self, skew_s: float = 0.0, background: bool = True, delay_s: float = 0.0, **jobs: Any
    ) -> AsyncGenerator[Stage]:
        """A running process; its wall clock is off by `skew_s`, and the store up to `delay_s` away."""
        self.seed += 1
        environment = SimulatedEnvironment(self.loop, self.seed)
        environment.skew_s = skew_s
        link: Any = CutOff(self.records, delay_s, self.seed)
        stage = Stage.open(
            data="memory:",
            environment=environment,
            systems=(*SYSTEMS, ERRANDS),
            engines={"default": link},
            background=background,
            config={"jobs": {"lease": "10s", **jobs}},
        )
        async with stage:
            self.links[stage] = link
            yield stage

    async def kill(self, stage: Stage) -> None:
        """The process is dead: it reaches the store no more, and nothing of it goes on."""
        self.links[stage].cut = True
        service = stage.systems.service("errands")
        assert isinstance(service, ErrandsService)
        await asyncio.sleep(0)


def counted(stage: Stage) -> list[tuple[str, int, int]]:
    """What a process counted."""
    service = stage.systems.service("errands")
    assert isinstance(service, ErrandsService)
    return service.counted


def simulated(main: Callable[[Cluster], Coroutine[Any, Any, T]], seed: int = 1) -> T:
    """The result of `main` in a cluster of its own."""

    async def within() -> T:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimulationLoop)
        return await main(Cluster(loop, seed))

    return run(within, seed)


async def states(job: Any) -> list[str]:
    """The states that a job went through, as seen by watching it."""
    seen: list[str] = []
    info: JobInfo
    async for info in job.watch():
        if seen[-1:] != [info.state]:
            seen.append(info.state)
    return seen
