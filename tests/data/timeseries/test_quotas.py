"""Quotas of a namespace hold for both kinds of writes together, and for reads; what is over them is not done."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.data.timeseries.conftest import ALWAYS, NOW, event, everything, make

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import Exhausted
from soundstage.core.namespace import NamespaceSpec, Quotas
from soundstage.core.time import Duration
from soundstage.data.timeseries import TimeSeries
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.stage import Stage

QUOTAS = Quotas(reads_per_second=1, writes_per_second=1, burst=Duration.parse("2s"))

Call = Callable[[TimeSeries], Awaitable[Any]]


def durable(trips: TimeSeries) -> Awaitable[Any]:
    return trips.write_event_records_sync(events=[event(NOW, "durable")])


def queued(trips: TimeSeries) -> Awaitable[Any]:
    return trips.write_event_records(events=[event(NOW, "queued")])


def read(trips: TimeSeries) -> Awaitable[Any]:
    return trips.read_event_records(time_series_id="ada", time_interval=ALWAYS)


@pytest.fixture
async def trips(plain_stage: Stage) -> TimeSeries:
    spec = NamespaceSpec(name="trips", abstraction="timeseries", quotas=QUOTAS)
    await plain_stage.client(Namespaces).put(namespace=spec)
    return plain_stage.client(TimeSeries, "trips").with_options(deadline=Duration.parse("1ms"))


async def refused(trips: TimeSeries, call: Call) -> Exhausted:
    with pytest.raises(Exhausted) as found:
        await call(trips)
    return found.value


@pytest.mark.parametrize(
    ("first", "second", "third"), [(durable, queued, durable), (queued, durable, queued), (read, read, read)]
)
async def test_the_call_over_the_quota_is_told_when_to_come_again(
    trips: TimeSeries, environment: VirtualEnvironment, first: Call, second: Call, third: Call
) -> None:
    await first(trips)
    await second(trips)
    error = await refused(trips, third)
    assert error.retryable
    assert error.retry_after_ms == 1_000
    await environment.sleep(1)
    await third(trips)


async def test_reads_are_left_when_writes_are_used_up(trips: TimeSeries) -> None:
    await durable(trips)
    await durable(trips)
    await refused(trips, durable)
    await read(trips)


async def test_of_a_write_over_the_quota_nothing_is_stored(plain_stage: Stage, trips: TimeSeries) -> None:
    await durable(trips)
    await durable(trips)
    for write in (durable, queued):
        await refused(trips, write)
    other = await make(plain_stage, "other")
    await other.write_event_records_sync(events=[event(NOW, "elsewhere")])
    assert [each.event_id for each in await everything(trips)] == ["durable"]
