"""The store under test, and what its role does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from soundstage.core.environment import Environment
from soundstage.data.timeseries.api import TimeSeries, TimeSlice
from soundstage.data.timeseries.service import TimeSeriesService
from soundstage.engines.blobs.port import Blobs
from soundstage.runtime.stage import Stage
from soundstage.testing.records import OpenEngine
from soundstage.testing.stores import NAMESPACE, StoreUnderTest


class Store(StoreUnderTest):
    """A namespace of time series with these knobs."""

    series: TimeSeries

    def __init__(
        self,
        open_engine: OpenEngine,
        name: str,
        knobs: dict[str, Any],
        cold: Callable[[Environment], Blobs] | None = None,
    ) -> None:
        super().__init__(open_engine, name)
        self._knobs = knobs
        if cold is not None:
            self.blobs["cold"] = cold(self.environment)

    async def begin(self, stage: Stage) -> None:
        self.series = stage.client(TimeSeries, NAMESPACE)
        await self.configure(self._knobs)

    async def configure(self, knobs: dict[str, Any]) -> None:
        """The namespace has these knobs from here on."""
        self._knobs = knobs
        await self.put("timeseries", knobs)

    async def slices(self) -> list[TimeSlice]:
        """Those there are."""
        return (await self.series.list_slices()).slices

    async def tend(self) -> None:
        """What the role does in one round."""
        await self._service.tend(NAMESPACE, lambda: None)

    async def compact(self) -> None:
        """One step of rewriting slices into segments, if any is due."""
        await self._service.compact(NAMESPACE, lambda: None)

    @property
    def _service(self) -> TimeSeriesService:
        service = self.running.systems.service("timeseries")
        assert isinstance(service, TimeSeriesService)
        return service

    @property
    def now_ns(self) -> int:
        return self.environment.now_ns()
