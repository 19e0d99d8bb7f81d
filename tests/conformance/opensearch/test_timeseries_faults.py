"""The index of time series on a real OpenSearch that hangs or dies, or does late what it was asked: nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count as endless
from typing import TypeAlias

import pytest
from tests.conformance.opensearch.conftest import engine_at
from tests.conformance.opensearch.test_timeseries import QUARTERS, whole
from tests.conformance.pauses import paused
from tests.data.timeseries.conftest import ALWAYS, everything, make, service_of
from tests.data.timeseries.index_fence import Fence, Late
from tests.data.timeseries.index_walks import ROUGH, walk
from tests.data.timeseries.test_index import FLIGHTS, INDEX, flight, found, numbers

from soundstage.core.errors import DeadlineExceeded, SoundstageError, Unavailable
from soundstage.data.timeseries import AggregationQuery, EventCount, TimeSeries
from soundstage.data.timeseries.index import building
from soundstage.engines.records.port import Budget
from soundstage.engines.search.opensearch import OpenSearchSearch
from soundstage.runtime.stage import Stage
from soundstage.servers import Cluster

pytestmark = pytest.mark.slow

PATIENCE_S = 0.5
"""Of who is not to wait for a node that hangs."""

SEED = 3
STEPS = 50
"""The engine in memory walks more of them."""


OpenIndexed: TypeAlias = Callable[..., Awaitable[Stage]]


@pytest.fixture
async def open_indexed(url: str) -> AsyncIterator[OpenIndexed]:
    """Opens a stage in memory with a search engine `found` that is a real one; once."""
    opened: list[Stage] = []

    async def open(background: bool = False, patience_s: float = 30.0) -> Stage:
        engines = {"default": {"url": "memory:"}, "found": {"url": f"{url}?patience_s={patience_s}"}}
        config = {"engines": engines, "telemetry": {"log_level": "error"}}
        opened.append(Stage.open(data="memory:", config=config, variables={}, background=background))
        return await opened[0].start()

    yield open
    for each in opened:
        await each.stop()


async def filled(stage: Stage) -> TimeSeries:
    series = await make(stage, index=INDEX, time_partition=QUARTERS)
    await series.write_event_records_sync(events=FLIGHTS)
    return series


def lag_s(stage: Stage) -> float:
    """How old the first write is that is not in the index, as the process with the role tells it."""
    told = {each.name: each.value for each in service_of(stage).measurements()}
    return told.get("timeseries_index_lag_seconds", 0.0)


async def counted(series: TimeSeries, within_s: float = 30.0) -> int | None:
    """How many events the index has; None while it does not say."""
    asked = AggregationQuery(count=EventCount())
    call = series.with_options(deadline=within_s, retries=0).aggregate_event_records
    try:
        return (await call(time_interval=ALWAYS, aggregation_query=asked)).count
    except (Unavailable, DeadlineExceeded):
        return None


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(120):
        for _ in endless():
            if await holds():
                return
            await asyncio.sleep(0.05)


async def whole_at_last(stage: Stage) -> None:
    """`whole`, however often the engine runs out of patience before."""

    async def holds() -> bool:
        try:
            await whole(stage)
        except Unavailable:
            return False
        return True

    await until(holds)


async def test_while_it_hangs_the_store_serves_and_what_it_does_late_is_right(
    open_indexed: OpenIndexed, opensearch: Cluster
) -> None:
    stage = await open_indexed(patience_s=PATIENCE_S)
    trips = await filled(stage)
    await whole_at_last(stage)
    lags: list[float] = []
    async with paused(*opensearch.servers, seconds=0.0):
        for number in (100, 101):
            await trips.write_event_records_sync(events=[flight(number)])
            with pytest.raises(SoundstageError) as failed:
                await service_of(stage).tend_index("trips", lambda: None)
            assert failed.value.retryable
            lags.append(lag_s(stage))
        assert numbers(await everything(trips, "plane0")) == [0, 4, 8, 12, 16, 100]
        assert await counted(trips, PATIENCE_S) is None
    assert 0 < lags[0] < lags[1]
    await whole_at_last(stage)
    assert (numbers(await found(trips)), lag_s(stage)) == ([*range(20), 100, 101], 0.0)
    assert await counted(trips) == 22


async def test_an_index_whose_node_dies_is_followed_again_when_that_is_back_and_lacks_nothing(
    open_indexed: OpenIndexed, opensearch: Cluster
) -> None:
    stage = await open_indexed(background=True, patience_s=PATIENCE_S)
    trips = await filled(stage)

    async def has(events: int) -> bool:
        return await counted(trips) == events

    async def is_behind(seconds: float) -> bool:
        return lag_s(stage) > seconds

    await until(lambda: has(20))
    (server,) = opensearch.servers
    server.kill()
    await trips.write_event_records_sync(events=[flight(100)])
    await until(lambda: is_behind(0.5))
    await trips.write_event_records_sync(events=[flight(101)])
    assert numbers(await everything(trips, "plane1")) == [1, 5, 9, 13, 17, 101]
    assert await counted(trips, PATIENCE_S) is None
    server.start()
    await asyncio.to_thread(opensearch.ready)
    await until(lambda: has(22))
    assert numbers(await found(trips)) == [*range(20), 100, 101]


async def test_an_index_is_made_anew_while_the_old_one_serves(
    open_indexed: OpenIndexed, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = await open_indexed()
    trips, engine = await filled(stage), stage.search("found")
    await whole(stage)
    monkeypatch.setattr(building, "WALK", Budget(rows=10, bytes=1 << 20))
    monkeypatch.setattr(building, "EVENTS", 1)
    (old,) = await engine.indexes()
    assert (await trips.rebuild_index()).number == 1
    service_of(stage).rest_indexes()
    assert await service_of(stage).tend_index("trips", lambda: None)
    await trips.write_event_records_sync(events=[flight(100)])
    assert await service_of(stage).tend_index("trips", lambda: None)
    (serving,) = [each for each in await engine.indexes() if each.aliases]
    assert (serving, len(await engine.indexes())) == (old, 2)
    # What is written meanwhile comes into both.
    await engine.refresh(old.spec.name)
    assert numbers(await found(trips)) == [*range(20), 100]
    await whole(stage)
    assert numbers(await found(trips)) == [*range(20), 100]
    (new,) = await engine.indexes()
    assert new.spec.name != old.spec.name


class TestFence(Fence):
    @pytest.fixture
    def search(self, url: str) -> Late:
        return Late(engine_at(url))


@pytest.mark.timeout(300)
async def test_whatever_befalls_an_index_it_has_everything_in_the_end(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spaces = iter((url, f"{url}b"))

    def open_engine() -> OpenSearchSearch:
        return engine_at(next(spaces))

    await walk(open_engine, SEED, ROUGH, STEPS, monkeypatch)
