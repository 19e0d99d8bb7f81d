"""What an export leaves: every event once and as reads show it, read by other programs, going on where it stopped."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import polars
import pyarrow.parquet as pq
import pytest
from tests.data.parquet.conftest import Stopping, content_of, over
from tests.data.timeseries.conftest import event, everything, make
from tests.data.timeseries.parquet.conftest import (
    AT,
    MINUTE,
    SLICED,
    SLICES,
    YEARS,
    events_in,
    exported,
    in_order,
    some,
)

from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import Forbidden, InvalidArgument, NotFound, TooLarge
from soundstage.core.time import Duration, Instant
from soundstage.data.parquet.footers import MARK, Footer
from soundstage.data.timeseries import TimeInterval, TimeSeries
from soundstage.data.timeseries.parquet import exporting, walking
from soundstage.engines.records.port import Budget
from soundstage.runtime.jobs import Jobs
from soundstage.runtime.stage import Stage


async def shown(series: TimeSeries, ids: list[str], interval: TimeInterval = YEARS) -> Any:
    return in_order([each for name in ids for each in await everything(series, name, interval)])


IDS = ["bike-0", "bike-1", "bike-2"]


@pytest.mark.parametrize("ids", [None, IDS])
async def test_every_event_is_in_it_as_reads_show_it(stage: Stage, trips: TimeSeries, ids: list[str] | None) -> None:
    await trips.write_event_records_sync(events=some())
    await trips.write_event_records_sync(events=[*some()[3:9], event(AT, "e0", "bike-0", more=b"later")])
    found = await exported(trips, time_series_ids=ids)
    assert await events_in(stage, found.file) == await shown(trips, IDS)
    assert (found.namespace, found.events, found.items) == ("trips", 30, 41)


@pytest.mark.parametrize("ids", [None, IDS])
async def test_it_begins_at_the_start_and_ends_before_the_end(
    stage: Stage, trips: TimeSeries, ids: list[str] | None
) -> None:
    await trips.write_event_records_sync(events=some())
    interval = TimeInterval(start=Instant(AT + 5 * MINUTE), end=Instant(AT + 17 * MINUTE))
    found = await exported(trips, interval, time_series_ids=ids)
    assert found.events == 12
    assert await events_in(stage, found.file) == await shown(trips, IDS, interval)


async def test_only_events_of_given_ids_are_in_it_each_id_once(stage: Stage, trips: TimeSeries) -> None:
    await trips.write_event_records_sync(events=some())
    found = await exported(trips, time_series_ids=["bike-1", "bike-1", "nobody"])
    assert await events_in(stage, found.file) == await shown(trips, ["bike-1"])


async def test_a_slice_without_an_end_is_in_it(stage: Stage, again: TimeSeries) -> None:
    await again.write_event_records_sync(events=some())
    assert (await exported(again)).events == 30


async def test_duckdb_reads_it(stage: Stage, trips: TimeSeries, tmp_path: Path) -> None:
    await trips.write_event_records_sync(events=some())
    await stage.files.download((await exported(trips)).file, path := tmp_path / "trips.parquet")
    found: Any = duckdb.sql(
        f"SELECT count(*), count(DISTINCT event_id), min(epoch_ns(event_time)), max(octet_length(event_items['k'])) "
        f"FROM '{path}'"
    )
    assert found.fetchall() == [(30, 30, AT, 3)]


async def test_polars_reads_it(stage: Stage, trips: TimeSeries) -> None:
    await trips.write_event_records_sync(events=some())
    frame = polars.read_parquet(BytesIO(await content_of(stage, (await exported(trips)).file)))
    assert frame["event_time"].dt.epoch("ns").min() == AT
    assert frame.filter(polars.col("event_id") == "e3").height == 1


async def test_the_footer_says_what_it_is(stage: Stage, trips: TimeSeries) -> None:
    await trips.write_event_records_sync(events=[event(AT, "e", "ada", key=b"value")])
    metadata = pq.read_metadata(BytesIO(await content_of(stage, (await exported(trips)).file)))
    said = msgspec.json.decode(metadata.metadata[MARK], type=Footer)
    assert (said.format, said.kind, said.namespace, said.items, said.bytes) == (1, "timeseries", "trips", 1, 8)


async def test_an_interval_without_events_is_a_file_without_rows(stage: Stage, trips: TimeSeries) -> None:
    found = await exported(trips)
    assert (found.events, await events_in(stage, found.file)) == (0, [])


async def test_an_id_of_any_length_is_whole(stage: Stage, trips: TimeSeries) -> None:
    await trips.write_event_records_sync(events=[event(AT, "e", "x" * 1_024)])
    (found,) = await events_in(stage, (await exported(trips)).file)
    assert found.time_series_id == "x" * 1_024


async def test_blocked_ids_are_not_in_it(stage: Stage) -> None:
    trips = await make(stage, **SLICED)
    await trips.write_event_records_sync(events=some())
    trips = await make(stage, **SLICED, blocked_ids=["bike-1"])
    assert (await exported(trips)).events == 20
    with pytest.raises(Forbidden) as refused:
        await trips.export_parquet(time_interval=YEARS, time_series_ids=["bike-0", "bike-1"])
    assert refused.value.field == "time_series_ids[1]"


async def test_closed_slices_are_not_in_it(stage: Stage) -> None:
    hours: dict[str, Any] = {"time_partition": {"seconds_per_slice": "1h"}, "accept_limit": "10h"}
    trips = await make(stage, **hours, retention={"close_after": "10h", "delete_after": "3650d"})
    now = stage.environment.now_ns()
    await trips.write_event_records_sync(events=[event(now - 9 * 60 * MINUTE, "old"), event(now, "new")])
    trips = await make(
        stage, time_partition=hours["time_partition"], retention={"close_after": "2h", "delete_after": "3650d"}
    )
    assert [each.event_id for each in await events_in(stage, (await exported(trips)).file)] == ["new"]


async def test_an_interval_that_ends_before_it_begins_is_refused_at_once(trips: TimeSeries) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await trips.export_parquet(time_interval=TimeInterval(start=Instant(5), end=Instant(5)))
    assert refused.value.field == "time_interval"


async def test_an_unknown_namespace_is_refused_at_once(stage: Stage) -> None:
    with pytest.raises(NotFound):
        await stage.client(TimeSeries, "none").export_parquet(time_interval=YEARS)


async def test_an_event_that_reads_refuse_as_too_large_is_refused(
    stage: Stage, trips: TimeSeries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walking, "EVENT_MAX_BYTES", 100)
    await trips.write_event_records_sync(events=[event(AT, "large", a=bytes(60), b=bytes(60))])
    with pytest.raises(TooLarge, match="large"):
        await exported(trips)


async def test_nothing_is_left_beside_the_file(stage: Stage, trips: TimeSeries) -> None:
    await trips.write_event_records_sync(events=some())
    await exported(trips)
    assert (await stage.engines.blobs("blobs", "").usage()).blobs == 1


@pytest.mark.parametrize("calls", [0, 1, 4, 9, 20])
async def test_it_goes_on_where_it_was_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: int) -> None:
    monkeypatch.setattr(walking, "_PAGE", Budget(rows=2))
    monkeypatch.setattr(exporting, "GROUP_ROWS", 4)
    engine = Stopping(SystemEnvironment(), SLICES)
    async with over(engine, tmp_path) as stage:
        trips = await make(stage, **SLICED)
        wide = [event(AT + n, f"w{n}", "bike-0", **{f"k{k}": b"v" for k in range(5)}) for n in range(4)]
        await trips.write_event_records_sync(events=[*some(), *wide])
        engine.left = calls
        job = await trips.export_parquet(time_interval=YEARS)
        await engine.stopped.wait()
    engine.left = None
    async with over(engine, tmp_path) as stage:
        outcome = await stage.client(Jobs).result(job_id=job.job_id, wait=Duration.parse("60s"))
        assert (outcome.state, outcome.error) == ("succeeded", None)
        found = await events_in(stage, outcome.files[0])
        assert found == await shown(stage.client(TimeSeries, "trips"), IDS)
        assert len(found) == 34


async def test_what_was_read_before_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walking, "_PAGE", Budget(rows=2))
    monkeypatch.setattr(exporting, "GROUP_ROWS", 4)
    engine = Stopping(SystemEnvironment(), SLICES)
    async with over(engine, tmp_path) as stage:
        trips = await make(stage)
        await trips.write_event_records_sync(events=some())
        engine.left = 15
        job = await trips.export_parquet(time_interval=YEARS)
        await engine.stopped.wait()
    engine.left = 100
    async with over(engine, tmp_path) as stage:
        await stage.client(Jobs).result(job_id=job.job_id, wait=Duration.parse("60s"))
    # All of the pages are some 21.
    assert engine.left > 100 - 12
