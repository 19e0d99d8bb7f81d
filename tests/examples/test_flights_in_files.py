"""What duckdb finds of real flights in the files of their slices, where they lie, is what source and stage have."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
from examples.flights_in_files.flights_in_files import DAYS, ENGINES, FILES, LATE, delays, load, rewrite

from soundstage import Stage
from soundstage.core.environment import VirtualEnvironment
from soundstage.datasets import fetch

pytestmark = [pytest.mark.slow, pytest.mark.holds_the_loop]

ROWS = """
    SELECT time_series_id, epoch_ns(event_time), item_key, decode(item_value) FROM read_parquet($files)
"""
SOURCE = f"""
    UNPIVOT (
        SELECT origin, epoch_ns(date) AS at, delay::VARCHAR AS delay, distance::VARCHAR AS distance, destination
        FROM read_parquet($source) WHERE {DAYS}
    ) ON delay, distance, destination
"""
SIZE = """
    SELECT sum(strlen(time_series_id) + 8 + strlen(event_id) + strlen(item_key) + octet_length(item_value))
    FROM read_parquet(?)
"""
AIRPORT = f"SELECT delay FROM read_parquet(?) WHERE {DAYS} AND origin = ? ORDER BY delay"
LATEST = f"""
    SELECT origin, count(*), round(avg(delay), 1) AS late
    FROM read_parquet(?) WHERE {DAYS} GROUP BY origin HAVING count(*) >= 300 ORDER BY late DESC, origin LIMIT 3
"""


async def test_every_item_of_every_flight_is_in_the_files_once_and_they_are_small(tmp_path: Path) -> None:
    clock, source = VirtualEnvironment(), str(fetch("flights-3m") / "flights-3m.parquet")
    async with Stage.open(
        data=str(tmp_path), config={"engines": ENGINES}, environment=clock, variables={}, background=False
    ) as stage:
        flights = await load(stage)
        await rewrite(stage, clock)
        files, asked = str(tmp_path / FILES), {"files": str(tmp_path / FILES), "source": source}
        told = (await flights.list_slices()).slices
        assert sum(each.segment_bytes or 0 for each in told) * 4 < duckdb.execute(SIZE, [files]).fetchall()[0][0]
        for one, other in ((ROWS, SOURCE), (SOURCE, ROWS)):
            differing = f"SELECT count(*) FROM (({one}) EXCEPT ALL ({other}))"
            assert duckdb.execute(differing, asked).fetchall() == [(0,)]
        late = duckdb.execute(LATE, [files]).fetchall()
        assert late == duckdb.execute(LATEST, [source]).fetchall()
        for origin, count, _ in late:
            found = await delays(flights, origin)
            expected = duckdb.execute(AIRPORT, [source, origin]).fetchall()
            assert sorted(found) == [delay for (delay,) in expected]
            assert len(found) == count
