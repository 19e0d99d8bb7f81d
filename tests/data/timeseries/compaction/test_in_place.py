"""Segments of a plain layout are opened by other programs where they lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.data.timeseries.compaction.conftest import MORNING, YESTERDAY, OpenStage, flights, settle, slices

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.extras import library
from soundstage.core.time import Instant
from soundstage.data.timeseries import TimeInterval

pytestmark = pytest.mark.holds_the_loop

duckdb: Any = library("duckdb", "tables")


async def test_duckdb_reads_the_folder_of_a_slice_as_it_is(
    open_cold: OpenStage, environment: VirtualEnvironment, tmp_path: Path
) -> None:
    stage = await open_cold("rocksdb", "?layout=plain")
    series = await flights(stage)
    await settle(stage, environment)
    told = [each for each in await slices(series) if each.segments]
    listed = await stage.blobs("cold").list("timeseries/")
    (folder,) = {info.key.rpartition("/")[0] for info in listed}
    rows = duckdb.sql(
        "SELECT time_series_id, count(DISTINCT (event_time, event_id)), count(*) FROM read_parquet(?) "
        "GROUP BY 1 ORDER BY 1",
        params=[f"{tmp_path}/segments/files/{folder}/*.parquet"],
    ).fetchall()
    day = TimeInterval(start=Instant(YESTERDAY), end=Instant(MORNING))
    expected = list[tuple[str, int, int]]()
    for each in ("id0", "id1", "id2"):
        pages = series.read_event_records.pages(time_series_id=each, time_interval=day)
        events = [event async for page in pages for event in page.records]
        expected.append((each, len(events), sum(len(event.event_items) for event in events)))
    assert rows == expected
    assert sum(items for _, _, items in rows) == told[0].segment_rows
