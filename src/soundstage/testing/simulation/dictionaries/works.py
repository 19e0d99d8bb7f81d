"""Jobs about dictionaries, each in a process beside the host that may end or stop still at any call of the engine."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, TypeVar, cast

from soundstage.core.call import Call
from soundstage.data.kv.api import (
    DictionariesDropped,
    DictionaryTrained,
    DropDictionaries,
    ImportParquet,
    ParquetImported,
    TrainDictionary,
)
from soundstage.engines.records.port import Batch, Capability
from soundstage.runtime.stage import Stage
from soundstage.runtime.work.context import JobContext
from soundstage.testing.simulation.blobs import BlobWay
from soundstage.testing.simulation.dictionaries.steps import DictionaryStep
from soundstage.testing.simulation.host import BLOBS, CONFIG, ENGINE, LOG
from soundstage.testing.simulation.process import Process
from soundstage.testing.simulation.scenario import Site

T = TypeVar("T")

Do: TypeAlias = Callable[[Stage, Any], Awaitable[T]]
"""What a process does with its stage, and with the service of kv there."""

Sending: TypeAlias = Callable[[str, bytes, Batch], None]
"""Hears that a batch is about to go to a table."""


class Unhurried:
    """What the code of a job is given: nobody takes it away, so that the code has to be right without."""

    def check(self) -> None:
        """It has the job."""

    def progress(self, *told: object) -> None:
        """Nobody looks."""


class Lasting(Unhurried):
    """What the code of an import is given, attempt after attempt: `state` is what the one before kept."""

    def __init__(self, job_id: str) -> None:
        self.job_id: str = job_id
        self.state: bytes | None = None

    async def checkpoint(self, state: bytes) -> None:
        """The next attempt goes on from there."""
        self.state = state


def _unheard(table: str, partition: bytes, batch: Batch) -> None:
    """Nobody asks what a job writes."""


class Stumbling:
    """The records engine of a process to which something happens at one of its calls; `sending` hears of writes."""

    def __init__(self, process: Process, step: DictionaryStep, site: Site, sending: Sending) -> None:
        self.capabilities: frozenset[Capability] = process.records.capabilities
        self._process = process
        self._step = step
        self._site = site
        self._sending = sending
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
            if name == "apply":
                self._sending(*args[:3])
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

    async def training(_: Stage, service: Any) -> DictionaryTrained:
        await service.check_train_dictionary(Call(), request)
        return await service.train_dictionary(Call(), request, cast("JobContext", Unhurried()))

    return await _in_process(site, step, training)


async def drop(site: Site, step: DictionaryStep, namespace: str) -> DictionariesDropped:
    """Those that were retired are nearer to their end. Raises as `train`."""
    request = DropDictionaries(namespace=namespace)

    async def dropping(_: Stage, service: Any) -> DictionariesDropped:
        return await service.drop_dictionaries(Call(), request, cast("JobContext", Unhurried()))

    return await _in_process(site, step, dropping)


async def bring(
    site: Site, step: DictionaryStep, namespace: str, content: bytes, job: Lasting, sending: Sending
) -> ParquetImported:
    """The rows of a file are in the namespace. Raises as `train`."""

    async def bringing(stage: Stage, service: Any) -> ParquetImported:
        request = ImportParquet(namespace=namespace, file=await stage.files.upload(content), versions="new")
        await service.check_import_parquet(Call(), request)
        return await service.import_parquet(Call(), request, cast("JobContext", job))

    return await _in_process(site, step, bringing, sending)


async def _in_process(site: Site, step: DictionaryStep, do: Do[T], sending: Sending = _unheard) -> T:
    process = site.add_process()
    process.begin()
    try:
        return await process.run(_served(site, process, step, do, sending))
    finally:
        process.kill()


async def _served(site: Site, process: Process, step: DictionaryStep, do: Do[T], sending: Sending) -> T:
    host = site.host
    records: Any = Stumbling(process, step, site, sending)
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
        return await do(stage, await stage.systems.started("kv"))
    finally:
        await stage.stop()
