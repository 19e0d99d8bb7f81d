"""The flights of three days of 2001 from a file of Parquet into time series, and a day of them out again for SQL."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import duckdb

from soundstage import Duration, Instant, Stage, errors
from soundstage.data.timeseries import EventColumns, TimeInterval, TimeSeries
from soundstage.datasets import fetch
from soundstage.runtime.namespaces import Namespaces, NamespaceSpec

KNOBS: dict[str, Any] = {
    "accept_limit": "10m",
    "time_partition": {"seconds_per_slice": "1d", "seconds_per_bucket": "6h"},
}
"""Events are as old as ten minutes at most, but for those of a backfill; each day has a table of its own."""

COLUMNS = EventColumns(time_series_id=["origin"], event_time="date", utc=True)
"""A flight is an event of the airport that it leaves; all else that a row has is an item."""

DAYS = "date >= '2001-01-01' AND date < '2001-01-04'"
DAY = TimeInterval(start=Instant.parse("2001-01-03T00:00:00Z"), end=Instant.parse("2001-01-04T00:00:00Z"))

LATEST = """
    SELECT time_series_id AS origin, count(*) AS flights, round(avg(decode(event_items['delay'])::INTEGER), 1) AS delay
    FROM read_parquet(?) GROUP BY origin HAVING flights >= 100 ORDER BY delay DESC, origin LIMIT 3
"""


def write(path: Path, where: str = DAYS) -> None:
    """The flights of that time as a file of another program's."""
    source = fetch("flights-3m") / "flights-3m.parquet"
    duckdb.execute(f"COPY (SELECT * FROM '{source}' WHERE {where} ORDER BY date) TO '{path}' (FORMAT parquet)")


def latest(path: Path) -> list[tuple[str, int, float]]:
    """The three airports of an exported file that flights left with the greatest delays, by duckdb."""
    return duckdb.execute(LATEST, [str(path)]).fetchall()


async def main() -> None:
    """Is refused old events, takes them as a backfill, twice, and exports a day."""
    with tempfile.TemporaryDirectory() as folder:
        source, result = Path(folder, "flights.parquet"), Path(folder, "day.parquet")
        write(source)
        async with Stage.open(data=f"{folder}/stage") as stage:
            spec = NamespaceSpec(name="flights", abstraction="timeseries", config=KNOBS)
            await stage.client(Namespaces).put(namespace=spec)
            flights, file = stage.client(TimeSeries, "flights"), await stage.files.upload(source)
            try:
                await (await flights.import_parquet(file=file, columns=COLUMNS)).result()
            except errors.InvalidArgument as refused:
                print(f"refused: {refused}")
            for _ in range(2):
                filled = await flights.import_parquet(file=file, columns=COLUMNS, accept_limit=Duration(0))
                print(f"{(await filled.result()).events} flights are in")
            print(f"{len((await flights.list_slices()).slices)} slices")
            exported = await (await flights.export_parquet(time_interval=DAY)).result()
            await stage.files.download(exported.file, result)
            print(f"{exported.events} flights of a day are out")
            for origin, count, delay in latest(result):
                print(f"{origin}: {count} flights, {delay} minutes late")


if __name__ == "__main__":
    asyncio.run(main())
