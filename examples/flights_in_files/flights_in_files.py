"""The flights of two days of 2001 in files of Parquet: read as before by the stage, and where they lie by SQL."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb

from soundstage import Instant, Stage
from soundstage.core.environment import VirtualEnvironment
from soundstage.data.timeseries import Event, EventItem, TimeInterval, TimeSeries
from soundstage.data.timeseries.service import TimeSeriesService
from soundstage.datasets import fetch
from soundstage.runtime.namespaces import Namespaces, NamespaceSpec

ENGINES = {"default": {"url": "rocksdb:records"}, "cold": {"url": "file:segments?layout=plain"}}
"""What is written goes into the one, and old slices into the folder of the other, as what they are."""

KNOBS: dict[str, Any] = {
    "time_partition": {"seconds_per_slice": "1d", "seconds_per_bucket": "6h"},
    "compaction": {"engine": "cold", "after": "1h"},
}

DAYS = "date >= '2001-01-01' AND date < '2001-01-03'"
BOTH_DAYS = TimeInterval(start=Instant.parse("2001-01-01T00:00:00Z"), end=Instant.parse("2001-01-03T00:00:00Z"))
FILES = "segments/files/timeseries/**/*.parquet"
"""Below the data folder: those of each slice are a folder."""

BATCH = 1_000
SEALED_S = 121.0
"""What a stage waits for after the last write to a table, and a little more."""

LATE = """
    WITH flights AS (
        PIVOT (FROM read_parquet(?) WHERE item_key IN ('delay', 'destination'))
        ON item_key IN ('delay', 'destination') USING first(decode(item_value))
        GROUP BY time_series_id, event_time, event_id
    )
    SELECT time_series_id AS origin, count(*), round(avg(delay::INTEGER), 1) AS late
    FROM flights GROUP BY origin HAVING count(*) >= 300 ORDER BY late DESC, origin LIMIT 3
"""


def source() -> Iterator[tuple[str, int, int, int, str]]:
    """Origin, time in nanoseconds, delay, distance and destination of each flight."""
    file = fetch("flights-3m") / "flights-3m.parquet"
    columns = "origin, epoch_ns(date), delay, distance, destination"
    yield from duckdb.execute(f"SELECT {columns} FROM '{file}' WHERE {DAYS} ORDER BY ALL").fetchall()


def events() -> list[Event]:
    """Each flight as an event of the airport that it left."""
    return [
        Event(
            time_series_id=origin,
            event_time=Instant(time_ns),
            event_id=str(number),
            event_items=[
                EventItem(event_item_key="delay", event_item_value=str(delay).encode()),
                EventItem(event_item_key="distance", event_item_value=str(distance).encode()),
                EventItem(event_item_key="destination", event_item_value=destination.encode()),
            ],
        )
        for number, (origin, time_ns, delay, distance, destination) in enumerate(source())
    ]


async def load(stage: Stage) -> TimeSeries:
    """A namespace that has the flights."""
    spec = NamespaceSpec(name="flights", abstraction="timeseries", config=KNOBS)
    await stage.client(Namespaces).put(namespace=spec)
    flights, found = stage.client(TimeSeries, "flights"), events()
    for at in range(0, len(found), BATCH):
        await flights.write_event_records_sync(events=found[at : at + BATCH])
    return flights


async def rewrite(stage: Stage, clock: VirtualEnvironment) -> None:
    """All slices lie in files: what a stage does by itself hours after they have ended, on a clock put forward."""
    service, flights = stage.systems.service("timeseries"), stage.client(TimeSeries, "flights")
    assert isinstance(service, TimeSeriesService)
    while any(each.segments is None for each in (await flights.list_slices()).slices):
        await service.compact("flights", lambda: None)
        clock.advance(SEALED_S)


async def delays(flights: TimeSeries, airport: str) -> list[int]:
    """Of all flights of an airport, as the stage reads them."""
    pages = flights.read_event_records.pages(time_series_id=airport, time_interval=BOTH_DAYS)
    return [
        int(item.event_item_value)
        async for page in pages
        for event in page.records
        for item in event.event_items
        if item.event_item_key == "delay"
    ]


async def main(folder: str) -> None:
    """Loads, rewrites, and asks both."""
    clock = VirtualEnvironment()
    async with Stage.open(data=folder, config={"engines": ENGINES}, environment=clock, background=False) as stage:
        flights = await load(stage)
        await rewrite(stage, clock)
        for each in (await flights.list_slices()).slices:
            print(f"{each.start}: {each.segment_rows} items in {each.segments} file")
        late = duckdb.execute(LATE, [str(Path(folder, FILES))]).fetchall()
        for origin, count, minutes in late:
            found = await delays(flights, origin)
            print(f"{origin}: {count} flights, {minutes} minutes late, says duckdb", end="; ")
            print(f"{len(found)}, {sum(found) / len(found):.1f}, says the stage")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(main(folder))
