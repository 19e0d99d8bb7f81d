"""Other programs read the files: real flights, asked by duckdb over the segments and over their source."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest
from examples.flights.flights import load, of_january
from tests.data.timeseries.compaction.conftest import OpenStage, settle, slices
from tests.data.timeseries.conftest import make

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.extras import library
from soundstage.core.time import Instant
from soundstage.data.timeseries import TimeInterval

pytestmark = [pytest.mark.slow, pytest.mark.holds_the_loop]

duckdb: Any = library("duckdb", "tables")
pq: Any = library("pyarrow.parquet", "tables")


async def test_duckdb_counts_in_segments_of_real_flights_what_reads_and_their_source_have(
    open_cold: OpenStage, environment: VirtualEnvironment, tmp_path: Path
) -> None:
    stage = await open_cold("rocksdb")
    knobs: dict[str, Any] = {
        "time_partition": {"seconds_per_slice": "7d", "seconds_per_bucket": "1d"},
        "compaction": {"engine": "cold", "after": "10m", "bytes_per_second": "1GiB"},
    }
    flights = await make(stage, **knobs)
    events = list(of_january())
    await load(flights, events)
    for _ in range(6):
        await settle(stage, environment)
    told = await slices(flights)
    assert all(each.segments is not None and each.late is None for each in told)
    blobs = stage.blobs("cold")
    folder = tmp_path / "copied"
    folder.mkdir()
    for number, info in enumerate(await blobs.list("timeseries/")):
        if info.key.endswith(".parquet"):
            data = b"".join([chunk async for chunk in blobs.open(info.key)])
            (folder / f"{number}.parquet").write_bytes(data)
    rows = duckdb.sql(
        "SELECT time_series_id, count(DISTINCT (event_time, event_id)) FROM read_parquet(?) "
        "WHERE item_key = 'dest' AND decode(item_value) = 'LAX' AND event_time < TIMESTAMPTZ '2013-01-20T00:00:00Z' "
        "AND time_series_id LIKE 'airport/%' GROUP BY 1 ORDER BY 1",
        params=[f"{folder}/*.parquet"],
    ).fetchall()
    until = Instant.parse("2013-01-20T00:00:00Z")
    expected = dict[str, int]()
    for each in events:
        to_lax = any(item.event_item_key == "dest" and item.event_item_value == b"LAX" for item in each.event_items)
        if to_lax and each.event_time < until and each.time_series_id.startswith("airport/"):
            expected[each.time_series_id] = expected.get(each.time_series_id, 0) + 1
    assert rows == sorted(expected.items())
    month = TimeInterval(start=Instant.parse("2013-01-01T00:00:00Z"), end=until)
    pages = flights.read_event_records.pages(time_series_id="airport/JFK", time_interval=month)
    read = [event async for page in pages for event in page.records]
    counted = duckdb.sql(
        "SELECT count(DISTINCT (event_time, event_id)) FROM read_parquet(?) "
        "WHERE time_series_id = 'airport/JFK' AND event_time < TIMESTAMPTZ '2013-01-20T00:00:00Z'",
        params=[f"{folder}/*.parquet"],
    ).fetchall()
    assert counted == [(len(read),)]
    first = pq.read_table(next(iter(sorted(folder.iterdir()))))
    assert first.column("event_time")[0].as_py().tzinfo is not None
    assert isinstance(first.column("event_time")[0].as_py(), datetime.datetime)
