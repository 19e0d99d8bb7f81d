from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.namespace import NamespaceSpec
from soundstage.core.time import NS_PER_S, Instant
from soundstage.data.timeseries import Event, EventItem, TimeInterval, TimeSeries
from soundstage.data.timeseries.namespace import ServedNamespace
from soundstage.data.timeseries.service import TimeSeriesService
from soundstage.engines.records.port import Records
from soundstage.runtime.control.registry import AbstractionViews, Unserved
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.service import NamespaceView
from soundstage.runtime.stage import Stage

OpenStage: TypeAlias = Callable[..., Awaitable[Stage]]

S = NS_PER_S
H = 3_600 * S
DAY = 24 * H

NOW = 1_700_000_000 * S
"""What the virtual clock begins at: 2023-11-14T22:13:20Z."""

ALWAYS = TimeInterval(start=Instant(-(2**63)), end=Instant(2**63 - 1))


def event(at: int, event_id: str = "e", series: str = "ada", **items: bytes) -> Event:
    """An event of `series`; without `items` it has one."""
    found = [EventItem(event_item_key=key, event_item_value=value) for key, value in (items or {"k": b"v"}).items()]
    return Event(time_series_id=series, event_time=Instant(at), event_id=event_id, event_items=found)


def between(start: int, end: int) -> TimeInterval:
    return TimeInterval(start=Instant(start), end=Instant(end))


def ids(events: Sequence[Event]) -> list[str]:
    return [each.event_id for each in events]


async def make(stage: Stage, name: str = "trips", slos: Any = None, **config: Any) -> TimeSeries:
    """A client of the namespace `name`, which exists with these knobs."""
    spec = NamespaceSpec(name=name, abstraction="timeseries", config=config, slos=slos)
    await stage.client(Namespaces).put(namespace=spec)
    return stage.client(TimeSeries, name)


async def everything(
    series: TimeSeries, name: str = "ada", interval: TimeInterval = ALWAYS, **asked: Any
) -> list[Event]:
    """The events of all pages."""
    pages = series.read_event_records.pages(time_series_id=name, time_interval=interval, **asked)
    return [each async for page in pages for each in page.records]


def service_of(stage: Stage) -> TimeSeriesService:
    service = stage.systems.service("timeseries")
    assert isinstance(service, TimeSeriesService)
    return service


def served(stage: Stage, name: str = "trips") -> ServedNamespace:
    """A namespace as the service of this stage keeps it; asked for once there was a call."""
    return service_of(stage)._served[name]


@contextmanager
def unserved(stage: Stage, name: str = "trips") -> Generator[None]:
    """The namespace is there, and cannot be served by this process."""
    views = service_of(stage)._context.namespaces
    assert isinstance(views, AbstractionViews)
    registry, view = views._registry, views.view(name)
    info = registry.infos[name]
    registry.refuse(Unserved(info, "it names an engine that is not there", "add it"))
    yield
    registry.apply(info, view)


@contextmanager
def unknown(stage: Stage, name: str = "trips") -> Generator[None]:
    """The namespace is there, and this process has not heard of it yet."""
    views = service_of(stage)._context.namespaces
    assert isinstance(views, AbstractionViews)
    registry, view = views._registry, views.view(name)
    info = registry.infos[name]
    registry.forget(name)
    yield
    registry.apply(info, view)


@contextmanager
def served_by(stage: Stage, view: NamespaceView) -> Generator[None]:
    """The namespace is served as by `view`."""
    views = service_of(stage)._context.namespaces
    assert isinstance(views, AbstractionViews)
    before, views.views[view.name] = views.view(view.name), view
    yield
    views.views[view.name] = before


async def tend(stage: Stage, name: str = "trips") -> None:
    """A round of the role."""
    await service_of(stage).tend(name, lambda: None)


@pytest.fixture
def environment() -> VirtualEnvironment:
    return VirtualEnvironment(seed=5)


@pytest.fixture
async def open_stage(environment: VirtualEnvironment, tmp_path: Path) -> AsyncIterator[OpenStage]:
    """Opens stages on the virtual clock that do nothing by themselves: in memory, in a folder, or over an engine."""
    async with AsyncExitStack() as opened:

        async def open(engine: str | Records = "memory") -> Stage:
            embedded = {"url": f"rocksdb://{tmp_path}/database", "durability": "os"}
            stage = Stage.open(
                data="memory:",
                config={"engines": {"default": embedded if engine == "rocksdb" else {"url": "memory:"}}},
                engines={} if isinstance(engine, str) else {"default": engine},
                environment=environment,
                variables={},
                background=False,
            )
            return await opened.enter_async_context(stage)

        yield open


@pytest.fixture(params=["memory", "rocksdb"])
async def stage(request: pytest.FixtureRequest, open_stage: OpenStage) -> Stage:
    """A stage on each embedded engine in turn."""
    return await open_stage(request.param)


@pytest.fixture
async def plain_stage(open_stage: OpenStage) -> Stage:
    """A stage in memory, for what does not depend on the engine."""
    return await open_stage()
