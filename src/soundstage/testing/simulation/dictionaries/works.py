"""Jobs about dictionaries, each in a process beside the host that may end or stop still at any call of the engine."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

from soundstage.core.call import Call
from soundstage.data.kv.api import DictionariesDropped, DictionaryTrained, DropDictionaries, TrainDictionary
from soundstage.engines.records.port import Capability
from soundstage.runtime.stage import Stage
from soundstage.runtime.work.context import JobContext
from soundstage.testing.simulation.blobs import BlobWay
from soundstage.testing.simulation.dictionaries.steps import DictionaryStep
from soundstage.testing.simulation.host import BLOBS, CONFIG, ENGINE, LOG
from soundstage.testing.simulation.process import Process
from soundstage.testing.simulation.scenario import Site

T = TypeVar("T")


class Unhurried:
    """What the code of a job is given: nobody takes it away, so that the code has to be right without."""

    def check(self) -> None:
        """It has the job."""

    def progress(self, *told: object) -> None:
        """Nobody looks."""


class Stumbling:
    """The records engine of a process to which something happens at one of its calls."""

    def __init__(self, process: Process, step: DictionaryStep, site: Site) -> None:
        self.capabilities: frozenset[Capability] = process.records.capabilities
        self._process = process
        self._step = step
        self._site = site
        self._calls = 0

    async def start(self) -> None:
        """It is the host's to start."""

    async def stop(self) -> None:
        """It is the host's to stop."""

    def __getattr__(self, name: str) -> Any:
        reach = getattr(self._process.records, name)
        if name not in ("apply", "get", "read", "walk"):
            return reach

        async def reached(*args: Any, **options: Any) -> Any:
            self._calls += 1
            is_now = self._calls == self._step.stumbles_at
            if is_now and not self._step.after:
                await self._stumble()
            answer = await reach(*args, **options)
            if is_now and self._step.after:
                await self._stumble()
            return answer

        return reached

    async def _stumble(self) -> None:
        if self._step.paused_s is None:
            self._process.kill()
            self._site.note("killed")
        else:
            self._process.pause(self._step.paused_s)
            self._site.note("paused")
        # A process that is killed, or held, gets no further than this.
        await self._process.environment.sleep(0)


async def train(site: Site, step: DictionaryStep, namespace: str) -> DictionaryTrained:
    """A dictionary was made. Raises `Killed` where its process ended first, and what the job fails with."""
    request = TrainDictionary(namespace=namespace, size=step.size)

    async def training(service: Any) -> DictionaryTrained:
        await service.check_train_dictionary(Call(), request)
        return await service.train_dictionary(Call(), request, cast("JobContext", Unhurried()))

    return await _in_process(site, step, training)


async def drop(site: Site, step: DictionaryStep, namespace: str) -> DictionariesDropped:
    """Those that were retired are nearer to their end. Raises as `train`."""
    request = DropDictionaries(namespace=namespace)

    async def dropping(service: Any) -> DictionariesDropped:
        return await service.drop_dictionaries(Call(), request, cast("JobContext", Unhurried()))

    return await _in_process(site, step, dropping)


async def _in_process(site: Site, step: DictionaryStep, do: Callable[[Any], Awaitable[T]]) -> T:
    process = site.add_process()
    process.begin()
    try:
        return await process.run(_served(site, process, step, do))
    finally:
        process.kill()


async def _served(site: Site, process: Process, step: DictionaryStep, do: Callable[[Any], Awaitable[T]]) -> T:
    host = site.host
    records: Any = Stumbling(process, step, site)
    # What is the host's it does not stop.
    blobs = BlobWay(host.blobs, process.is_cut, lambda: host.rates)
    given: Any = {ENGINE: records, BLOBS: blobs, LOG: host.log}
    stage = Stage.open(
        config=CONFIG,
        variables={},
        environment=process.environment,
        systems=host.systems,
        engines=given,
        background=False,
    )
    try:
        await stage.start()
        return await do(await stage.systems.started("kv"))
    finally:
        await stage.stop()
