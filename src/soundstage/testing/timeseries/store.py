"""The store under test: a stage over one engine, on a virtual clock, spoken to through its client."""

from __future__ import annotations

from typing import Any, cast

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.namespace import NamespaceSpec
from soundstage.data.timeseries.api import TimeSeries, TimeSlice
from soundstage.data.timeseries.service import TimeSeriesService
from soundstage.engines.records.port import Records
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.stage import Stage
from soundstage.testing.kv.store import Started
from soundstage.testing.records import OpenEngine

NAMESPACE = "walked"


class Store:
    """Opened by `open`; `restart` serves on from what the engine kept on the storage `name`."""

    series: TimeSeries

    def __init__(self, open_engine: OpenEngine, name: str, knobs: dict[str, Any]) -> None:
        self.environment: VirtualEnvironment = VirtualEnvironment()
        self._knobs = knobs
        self._open_engine = open_engine
        self._name = name
        self._stage: Stage | None = None

    async def open(self) -> None:
        """Calls are answered; the namespace is there."""
        engine = await self._open_engine(self.environment, self._name)
        stage = Stage.open(
            data="memory:",
            config={"engines": {"default": {"url": "memory:"}}},
            variables={},
            environment=self.environment,
            engines={"default": cast("Records", Started(engine))},
            background=False,
        )
        self._stage = await stage.start()
        self.series = stage.client(TimeSeries, NAMESPACE)
        await self.configure(self._knobs)

    async def close(self) -> None:
        if self._stage is not None:
            stage, self._stage = self._stage, None
            await stage.stop()

    async def restart(self) -> None:
        await self.close()
        await self.open()

    async def configure(self, knobs: dict[str, Any]) -> None:
        """The namespace has these knobs from here on."""
        self._knobs = knobs
        spec = NamespaceSpec(name=NAMESPACE, abstraction="timeseries", config=knobs)
        await self._running().client(Namespaces).put(namespace=spec)

    async def slices(self) -> list[TimeSlice]:
        """Those there are."""
        return (await self.series.list_slices()).slices

    async def tend(self) -> None:
        """What the role does in one round."""
        service = self._running().systems.service("timeseries")
        assert isinstance(service, TimeSeriesService)
        await service.tend(NAMESPACE, lambda: None)

    @property
    def now_ns(self) -> int:
        return self.environment.now_ns()

    def _running(self) -> Stage:
        if self._stage is None:
            raise RuntimeError("the store is closed")
        return self._stage
