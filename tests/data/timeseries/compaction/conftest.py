"""A stage with an engine for segments, on the virtual clock."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from tests.data.timeseries.conftest import DAY, NOW, H, S, event, make, service_of

from soundstage.core.environment import VirtualEnvironment
from soundstage.data.timeseries import TimeSeries, TimeSlice
from soundstage.engines.blobs.memory import MemoryBlobs
from soundstage.runtime.stage import Stage

OpenStage: TypeAlias = Callable[..., Awaitable[Stage]]

COMPACTION: dict[str, Any] = {"engine": "cold", "after": "10m", "file_size": "64KiB"}

DAILY: dict[str, Any] = {
    "accept_limit": "1h",
    "retention": {"close_after": "60d", "delete_after": "70d"},
    "time_partition": {"seconds_per_slice": "1d", "seconds_per_bucket": "6h", "event_buckets": 2},
    "compaction": COMPACTION,
}
"""With what events of a day are accepted until one o'clock of the next."""

YESTERDAY = (NOW // DAY - 1) * DAY
MORNING = (NOW // DAY) * DAY


@pytest.fixture
def cold(environment: VirtualEnvironment) -> MemoryBlobs:
    """What has the segments of stages in memory."""
    return MemoryBlobs(environment)


@pytest.fixture
async def open_cold(environment: VirtualEnvironment, cold: MemoryBlobs, tmp_path: Path) -> AsyncIterator[OpenStage]:
    """Opens stages that do nothing by themselves: in memory, or with all they have in a folder."""
    async with AsyncExitStack() as opened:

        async def open(engine: Any = "memory", query: str = "") -> Stage:
            folders = {
                "default": {"url": f"rocksdb://{tmp_path}/database", "durability": "os"},
                "cold": {"url": f"file://{tmp_path}/segments{query}", "durability": "os"},
            }
            memory = {"default": {"url": "memory:"}, "cold": {"url": "memory:"}}
            given = {} if isinstance(engine, str) else {"default": engine}
            stage = Stage.open(
                data="memory:",
                config={"engines": folders if engine == "rocksdb" else memory},
                engines=given if engine == "rocksdb" else {**given, "cold": cold},
                environment=environment,
                variables={},
                background=False,
            )
            return await opened.enter_async_context(stage)

        yield open


@pytest.fixture(params=["memory", "rocksdb"])
async def cold_stage(request: pytest.FixtureRequest, open_cold: OpenStage) -> Stage:
    """A stage on each embedded engine in turn."""
    return await open_cold(request.param)


@pytest.fixture
async def plain_cold(open_cold: OpenStage) -> Stage:
    """A stage in memory."""
    return await open_cold()


async def step(stage: Stage, name: str = "trips") -> bool:
    """A step of the role."""
    return await service_of(stage).compact(name, lambda: None)


async def settle(stage: Stage, environment: VirtualEnvironment, name: str = "trips") -> None:
    """All that is due is rewritten, and what is left of before is gone."""
    for _ in range(20):
        while await step(stage, name):
            pass
        environment.advance(121.0)
    environment.advance(3_600.0)
    await step(stage, name)


async def slices(series: TimeSeries) -> list[TimeSlice]:
    return (await series.list_slices()).slices


async def flights(stage: Stage, count: int = 300, **config: Any) -> TimeSeries:
    """A namespace with events of yesterday, of three ids, two items each, some at one time."""
    series = await make(stage, **{**DAILY, "accept_limit": "3d", **config})
    events = [
        event(YESTERDAY + at // 2 * 500 * S, f"e{at:04d}", f"id{at % 3}", k=b"%d" % (at % 7), note=b"x" * (at % 50))
        for at in range(count)
    ]
    for begin in range(0, count, 1_000):
        await series.write_event_records_sync(events=events[begin : begin + 1_000])
    await make(stage, **{**DAILY, **config})
    return series


__all__ = [
    "COMPACTION",
    "DAILY",
    "DAY",
    "MORNING",
    "NOW",
    "YESTERDAY",
    "H",
    "OpenStage",
    "S",
    "event",
    "flights",
    "make",
    "settle",
    "slices",
    "step",
]
