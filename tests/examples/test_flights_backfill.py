"""What is exported of real flights that came by a backfill is what duckdb says of their source."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
from examples.flights_backfill.flights_backfill import COLUMNS, KNOBS, latest, write

from soundstage import Duration, Instant, Stage
from soundstage.data.timeseries import TimeInterval, TimeSeries
from soundstage.runtime.namespaces import Namespaces, NamespaceSpec

pytestmark = pytest.mark.slow

SOURCE = """
    SELECT origin, count(*) AS flights, round(avg(delay), 1) AS late
    FROM read_parquet(?) WHERE date >= '2001-02-03 06:00' AND date < '2001-02-03 18:00'
    GROUP BY origin HAVING flights >= 100 ORDER BY late DESC, origin LIMIT 3
"""
SAME = """
    SELECT count(*) FROM (
        SELECT origin, epoch_ns(date), delay::VARCHAR, distance::VARCHAR, destination FROM read_parquet(?)
        WHERE date >= '2001-02-03 06:00' AND date < '2001-02-03 18:00'
        EXCEPT ALL
        SELECT time_series_id, epoch_ns(event_time), decode(event_items['delay']), decode(event_items['distance']),
            decode(event_items['destination']) FROM read_parquet(?)
    )
"""
NOON = TimeInterval(start=Instant.parse("2001-02-03T06:00:00Z"), end=Instant.parse("2001-02-03T18:00:00Z"))


async def test_every_flight_is_out_as_it_came(tmp_path: Path) -> None:
    source, result = tmp_path / "in.parquet", tmp_path / "out.parquet"
    write(source, "date >= '2001-02-03' AND date < '2001-02-04'")
    async with Stage.open(data="memory:", config={"jobs": {"poll_interval": "10ms"}}, variables={}) as stage:
        spec = NamespaceSpec(name="flights", abstraction="timeseries", config=KNOBS)
        await stage.client(Namespaces).put(namespace=spec)
        flights, file = stage.client(TimeSeries, "flights"), await stage.files.upload(source)
        await (await flights.import_parquet(file=file, columns=COLUMNS, accept_limit=Duration(0))).result()
        exported = await (await flights.export_parquet(time_interval=NOON)).result()
        await stage.files.download(exported.file, result)
    assert exported.events == pq.read_metadata(result).num_rows > 5_000
    assert duckdb.execute(SAME, [str(source), str(result)]).fetchall() == [(0,)]
    assert latest(result) == duckdb.execute(SOURCE, [str(source)]).fetchall()
