"""Who looks at slices, and when: what is kept, what is told, and that it is one thing for all processes."""

from __future__ import annotations

import pytest
from tests.data.timeseries.conftest import DAY, NOW, H, event, make, served, service_of

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import NotFound
from soundstage.data.timeseries import TimeSeries
from soundstage.data.timeseries.api.partitions import SlicePartitions
from soundstage.data.timeseries.partitioning.histograms import AGAIN_NS, FRESH_NS, Histograms
from soundstage.runtime.stage import Stage

DAILY = {"seconds_per_slice": "1d", "seconds_per_bucket": "1h"}
KEPT = {"close_after": "5d", "delete_after": "6d"}


async def observe(stage: Stage) -> None:
    await service_of(stage).observe("trips", lambda: None)


async def daily(stage: Stage) -> TimeSeries:
    return await make(stage, time_partition=DAILY, retention=KEPT, accept_limit="3h")


async def told(trips: TimeSeries, table: str | None = None) -> list[SlicePartitions]:
    return (await trips.partition_histogram(slice=table)).slices


async def write(trips: TimeSeries, at: int, ids: int, prefix: str = "id") -> None:
    await trips.write_event_records_sync(events=[event(at, "e", f"{prefix}-{number}") for number in range(ids)])


async def test_partitions_are_told_by_quantiles_of_bytes_and_of_rows(stage: Stage) -> None:
    trips = await daily(stage)
    await write(trips, NOW, 99)
    await trips.write_event_records_sync(events=[event(NOW, str(n), "wide", k=b"x" * 1_000) for n in range(50)])
    (found,) = await told(trips)
    assert found.rows is not None
    assert found.bytes is not None
    assert found.buckets is not None
    assert (found.partitions, found.partitions_seen, found.share_seen) == (100, 100, 1.0)
    assert (found.rows.p50, found.rows.p99, found.rows.max) == (1, 1, 50)
    assert found.bytes.p50 < 200 < 50_000 < found.bytes.max < 60_000
    assert sum(each.partitions for each in found.buckets) == 100


async def test_what_the_role_found_is_told_until_it_looks_again(stage: Stage, environment: VirtualEnvironment) -> None:
    trips = await daily(stage)
    await write(trips, NOW, 3)
    await observe(stage)
    await write(trips, NOW, 3, "more")
    assert [each.partitions for each in await told(trips)] == [3]
    await observe(stage)
    assert [each.partitions for each in await told(trips)] == [3]
    environment.advance(DAY / 64 / 1e9)
    await observe(stage)
    assert [each.partitions for each in await told(trips)] == [6]


async def test_a_slice_that_is_asked_for_alone_is_looked_at_where_it_may_have_grown(
    stage: Stage, environment: VirtualEnvironment
) -> None:
    trips = await daily(stage)
    await write(trips, NOW, 3)
    await observe(stage)
    await write(trips, NOW, 3, "more")
    table = served(stage).catalogue.slices[0].table
    assert [each.partitions for each in await told(trips, table)] == [3]
    environment.advance(FRESH_NS / 1e9)
    assert [each.partitions for each in await told(trips, table)] == [6]


async def test_an_immutable_slice_is_looked_at_once_more_and_then_never(
    stage: Stage, environment: VirtualEnvironment
) -> None:
    trips = await daily(stage)
    await write(trips, NOW, 3)
    await observe(stage)
    for _ in range(2):
        environment.advance(DAY / 1e9 + 4 * H / 1e9)
        await observe(stage)
    (found,) = await told(trips)
    # Not the second time.
    assert found.surveyed_at is not None
    assert abs(found.surveyed_at - (NOW + DAY + 4 * H)) < H


async def test_nothing_is_kept_of_slices_that_are_gone(stage: Stage, environment: VirtualEnvironment) -> None:
    trips = await daily(stage)
    await write(trips, NOW, 3)
    await observe(stage)
    assert len(await Histograms(served(stage).table).all()) == 1
    environment.advance(8 * DAY / 1e9)
    await service_of(stage).tend("trips", lambda: None)
    await observe(stage)
    assert await Histograms(served(stage).table).all() == {}


async def test_another_process_tells_the_same(stage: Stage) -> None:
    trips = await daily(stage)
    await write(trips, NOW, 3)
    await observe(stage)
    before = await told(trips)
    del service_of(stage)._served["trips"]
    await write(trips, NOW, 3, "more")
    assert await told(trips) == before


async def test_a_call_looks_at_few_slices_by_itself(plain_stage: Stage) -> None:
    trips = await make(plain_stage, time_partition=DAILY)
    for day in range(6):
        await write(trips, NOW - day * DAY, 1)
    found = await told(trips)
    assert [each.surveyed_at is None for each in found] == [True, True, False, False, False, False]


async def test_a_slice_that_has_not_begun_is_not_looked_at(stage: Stage, environment: VirtualEnvironment) -> None:
    trips = await daily(stage)
    await write(trips, NOW, 1)
    await service_of(stage).tend("trips", lambda: None)
    await observe(stage)
    assert [each.surveyed_at is None for each in await told(trips)] == [False, True]


async def test_a_slice_that_there_is_not(stage: Stage) -> None:
    trips = await daily(stage)
    with pytest.raises(NotFound, match="no slice has the table 'other'") as refused:
        await told(trips, "other")
    assert refused.value.field == "slice"


async def test_of_two_who_looked_one_is_kept(stage: Stage, environment: VirtualEnvironment) -> None:
    trips = await daily(stage)
    await write(trips, NOW, 3)
    await observe(stage)
    histograms = Histograms(served(stage).table)
    (number, before), *_ = (await histograms.all()).items()
    environment.advance(AGAIN_NS / 1e9)
    await histograms.keep(number, before.survey, before)
    kept = await histograms.all()
    await histograms.keep(number, before.survey, before)
    assert await histograms.all() == kept
