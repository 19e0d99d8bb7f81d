"""Looks after the workers of a stage: engines offered to them, health and metrics gathered, an end in order."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import get_args

from soundstage.core.errors import InvalidArgument, SoundstageError
from soundstage.engines.host import HostServer
from soundstage.runtime.config import MEMORY, StageConfig
from soundstage.runtime.engines import SCHEMES, Engines
from soundstage.runtime.measurement import Measurement
from soundstage.runtime.openers import HOST_SOCKET, HostedPort
from soundstage.runtime.roles import HTTP
from soundstage.runtime.stage import Stage
from soundstage.runtime.urls import split_url
from soundstage.runtime.workers.merging import merged
from soundstage.runtime.workers.order import Order, config_of_worker
from soundstage.runtime.workers.worker import Worker

METRICS = "metrics"

PARENT = "main"
"""The name of the process that has the engines."""

ANSWER_WITHIN_S = 2.0
"""A process that does not tell its metrics in this time is left out of them."""

STOP_MARGIN_S = 5.0


class Supervisor:
    """The workers of `stage`, which is running, as `config.processes` has them; `config` is what they get."""

    def __init__(self, stage: Stage, config: StageConfig) -> None:
        self.workers: list[Worker] = []
        self._stage = stage
        self._config = config
        self._environment = stage.environment
        self._temporary: str | None = None
        self._server: HostServer | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """The engines are offered, and every worker is ready.

        Raises why one of them could not start; `stop` then ends the others.
        """
        folder = self._folder()
        self._server = HostServer(self._stage.engines.offered(), Path(folder, HOST_SOCKET), self._environment)
        await self._server.start()
        self._stage.watch(self)
        hosted = hosted_ports(self._stage.engines, self._config)
        for role, count in self._config.processes.workers.items():
            config = config_of_worker(self._config, role, count, hosted, folder)
            for number in range(1, count + 1):
                order = Order(worker=f"{role}-{number}", role=role, config=config)
                self.workers.append(Worker(order, self._config.processes.restarts, self._environment, self._answer))
        self._tasks = [asyncio.ensure_future(worker.run()) for worker in self.workers]
        if self.workers:
            self._stage.gather = self.metrics_text
        await asyncio.gather(*(worker.ready for worker in self.workers))

    async def stop(self) -> None:
        """No worker runs any more: those that answer calls ended first, then the others together. Idempotent."""
        timeout_s = (self._config.http.drain_timeout + self._config.control.drain_timeout) / 1e9 + STOP_MARGIN_S
        for first in (True, False):
            ending = [worker.stop(timeout_s) for worker in self.workers if (worker.role == HTTP) == first]
            await asyncio.gather(*ending)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(worker.ready for worker in self.workers if worker.ready.done()), return_exceptions=True)
        self._tasks.clear()
        if self._server is not None:
            await self._server.stop()
            self._server = None
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary = None

    def reasons(self) -> list[str]:
        """Why the stage is not well, for each worker that does not work."""
        return [f"worker {worker.name}: {worker.reason}" for worker in self.workers if worker.reason is not None]

    def measurements(self) -> Iterator[Measurement]:
        """Whether each worker works, and how often it was started again."""
        for worker in self.workers:
            labels = {"worker": worker.name}
            yield Measurement("worker_up", "whether the worker is ready", worker.reason is None, labels=labels)
            yield Measurement(
                "worker_restarts", "times the worker was started again", worker.restarts, "counter", labels
            )

    async def metrics_text(self) -> bytes:
        """The metrics of all processes, told apart by the label `process`."""
        texts = {PARENT: self._stage.metrics_text()}
        asked = {asyncio.ensure_future(_metrics_of(worker)): worker.name for worker in self.workers}
        if asked:
            answered, late = await asyncio.wait(asked, timeout=ANSWER_WITHIN_S)
            for task in late:
                task.cancel()
            texts |= {asked[task]: text for task in answered if (text := task.result()) is not None}
        return merged(dict(sorted(texts.items())))

    async def _answer(self, kind: str) -> bytes:
        return await self.metrics_text() if kind == METRICS else b""

    def _folder(self) -> str:
        """Where the socket is: the data folder, or where nobody else can look when data is in memory."""
        if self._config.data == MEMORY:
            self._temporary = tempfile.mkdtemp(prefix="soundstage-")
            return self._temporary
        folder = os.path.realpath(self._config.data)
        os.makedirs(folder, exist_ok=True)
        return folder


def hosted_ports(engines: Engines, config: StageConfig) -> dict[str, list[str]]:
    """The engines that only this process may have open, by name, with their ports.

    Raises `InvalidArgument` where there are workers and they could not use one.
    """
    hosted: dict[str, list[str]] = {}
    for name in engines:
        scheme = SCHEMES.get(split_url(name, config.engines[name].url).scheme)
        if scheme is None or not scheme.shared:
            hosted[name] = list(engines.ports(name))
            _check_offered(name, hosted[name], config)
    return hosted


def _check_offered(name: str, ports: Sequence[str], config: StageConfig) -> None:
    if config.processes.workers and not set(ports) <= set(get_args(HostedPort)):
        raise InvalidArgument(
            f"the engine {name!r} keeps {', '.join(ports)} in the memory of one process, and workers are others",
            field=f"engines.{name}.url",
            hint="use iceberg:FOLDER, which all processes of a machine may have open, or start no workers",
        )


async def _metrics_of(worker: Worker) -> bytes | None:
    if worker.channel is None:
        return None
    try:
        return await worker.channel.ask(METRICS)
    except SoundstageError:
        return None
