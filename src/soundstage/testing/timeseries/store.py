"""The store under test, and what its role does."""

from __future__ import annotations

from typing import Any

from soundstage.data.timeseries.api import TimeSeries, TimeSlice
from soundstage.data.timeseries.service import TimeSeriesService
from soundstage.runtime.stage import Stage
from soundstage.testing.records import OpenEngine
from soundstage.testing.stores import NAMESPACE, StoreUnderTest


class Store(StoreUnderTest):
    """A namespace of time series with these knobs."""

    series: TimeSeries

    def __init__(self, open_engine: OpenEngine, name: str, knobs: dict[str, Any]) -> None:
        super().__init__(open_engine, name)
        self._knobs = knobs

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
        service = self.running.systems.service("timeseries")
        assert isinstance(service, TimeSeriesService)
        await service.tend(NAMESPACE, lambda: None)

    @property
    def now_ns(self) -> int:
        return self.environment.now_ns()
