"""How do time series compare with PostgreSQL, which keeps the same flights in partitions by range?

The events are real: flights of the United States, by the airport that they left. PostgreSQL waits for the disk as we
do (`fsync` and `synchronous_commit` on) and gets the same batches by COPY, from as many writers; it has a primary key,
as events are to be told apart, and is asked by prepared statements. It is another process, and we are not: that is what
embedded means, and part of what is measured. Its buffers are 32 MiB, our cache is the default.
"""

from __future__ import annotations

import asyncio
import gc
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from time import perf_counter, process_time
from typing import Any

import msgspec

from benchmarks.report import Figure, figure, options, percentile, show, slowness
from soundstage import datasets
from soundstage.core.extras import library
from soundstage.core.namespace import NamespaceSpec
from soundstage.core.time import NS_PER_S, Instant
from soundstage.data.timeseries.api import Event, EventItem, TimeInterval, TimeSeries
from soundstage.data.timeseries.service import TimeSeriesService
from soundstage.engines.records.port import TableSpec
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.stage import Stage
from soundstage.servers import Cluster

H = 3_600 * NS_PER_S
DAY = 24 * H
MIB = 1 << 20

WRITERS = 8
DENSE, SPARSE = 3, 120
"""Ranks of airports by their flights: with some hundreds a day, and with one or two."""

LAYOUT: dict[str, Any] = {"seconds_per_slice": "60d", "seconds_per_bucket": "1d"}

CREATE = """
CREATE TABLE events (series text, at bigint, event_id text, item_key text, value bytea,
    PRIMARY KEY (series, at, event_id, item_key)) PARTITION BY RANGE (at)
"""
COPY = "COPY events FROM STDIN"
SELECT = """
SELECT at, event_id, item_key, value FROM events WHERE series = %s AND at >= %s AND at < %s
ORDER BY at DESC, event_id, item_key LIMIT %s
"""


class Scale(msgspec.Struct, frozen=True):
    """How much is done: `events` in writes of `batch`, in `rounds` alternating turns, and so many reads of a kind."""

    events: int
    batch: int
    rounds: int
    reads: int
    tables: int


FULL = Scale(events=1_000_000, batch=1_000, rounds=5, reads=1_000, tables=500)
QUICK = Scale(events=100_000, batch=1_000, rounds=3, reads=200, tables=50)


def flights(count: int) -> list[Event]:
    """The first ones, in the order of time."""
    pq: Any = library("pyarrow.parquet", "tables")
    path = datasets.fetch("flights-3m") / "flights-3m.parquet"
    table = pq.read_table(path).slice(0, count)
    columns = (table.column(name).to_pylist() for name in ("origin", "date", "delay", "distance", "destination"))
    return [
        Event(
            time_series_id=origin,
            event_time=Instant(int(date.timestamp() * 1e6) * 1_000),
            event_id=f"{number}",
            event_items=[
                EventItem(event_item_key="flight", event_item_value=f"{destination} {delay} {distance}".encode())
            ],
        )
        for number, (origin, date, delay, distance, destination) in enumerate(zip(*columns, strict=True))
    ]


def batches(events: Sequence[Event], size: int) -> list[list[Event]]:
    return [list(events[at : at + size]) for at in range(0, len(events), size)]


class Ours:
    """A namespace on RocksDB, in this process."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.series: TimeSeries = stage.client(TimeSeries, "flights")

    async def configure(self, **config: Any) -> None:
        """The namespace has these knobs."""
        spec = NamespaceSpec(name="flights", abstraction="timeseries", config={"time_partition": LAYOUT, **config})
        await self.stage.client(Namespaces).put(namespace=spec)

    async def ingest(self, events: Sequence[Sequence[Event]]) -> None:
        """All of them are durable."""
        left = list(events)[::-1]

        async def write() -> None:
            while left:
                await self.series.write_event_records_sync(events=list(left.pop()))

        await asyncio.gather(*(write() for _ in range(WRITERS)))

    async def read(self, series: str, start: int, end: int, limit: int) -> int:
        """How many events there are, at most `limit`."""
        interval = TimeInterval(start=Instant(start), end=Instant(end))
        pages = self.series.read_event_records.pages(
            time_series_id=series, time_interval=interval, page_size=min(limit, 10_000), total_record_limit=limit
        )
        return sum([len(page.records) async for page in pages])

    @property
    def service(self) -> TimeSeriesService:
        found = self.stage.systems.service("timeseries")
        assert isinstance(found, TimeSeriesService)
        return found

    def partition_reads(self) -> float:
        """Since the start."""
        return sum(each.value for each in self.service.measurements() if each.name == "timeseries_partition_reads")


class Rival:
    """A table of PostgreSQL with a partition for each 60 days; a thread and a connection for each writer."""

    def __init__(self, url: str) -> None:
        psycopg: Any = library("psycopg", "tables")
        self._connections = [psycopg.connect(url, autocommit=True) for _ in range(WRITERS)]
        self._threads = ThreadPoolExecutor(WRITERS)
        self._reader = self._connections[0].cursor()

    def prepare(self, first: int, last: int) -> None:
        """The table is there, with partitions for the time from `first` to `last`, and the disk is waited for."""
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            self._reader.execute(f"ALTER SYSTEM SET {setting} = on")
        self._reader.execute("SELECT pg_reload_conf()")
        self._reader.execute(CREATE)
        width = 60 * DAY
        for start in range(first // width * width, last + 1, width):
            name = f"events_{start // width}"
            self._reader.execute(
                f"CREATE TABLE {name} PARTITION OF events FOR VALUES FROM ({start}) TO ({start + width})"
            )

    def holds_to_the_disk(self) -> bool:
        """Whether what it acknowledges is flushed."""
        found = [self._reader.execute(f"SHOW {each}").fetchone()[0] for each in ("fsync", "synchronous_commit")]
        return found == ["on", "on"]

    async def ingest(self, events: Sequence[Sequence[Event]]) -> None:
        """All of them are durable."""
        left = list(events)[::-1]

        def write(connection: Any) -> None:
            cursor = connection.cursor()
            while True:
                try:
                    batch = left.pop()
                except IndexError:
                    return
                with cursor.copy(COPY) as copy:
                    for event in batch:
                        for item in event.event_items:
                            row = (event.time_series_id, int(event.event_time), event.event_id)
                            copy.write_row((*row, item.event_item_key, item.event_item_value))

        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.run_in_executor(self._threads, write, each) for each in self._connections))

    async def read(self, series: str, start: int, end: int, limit: int) -> int:
        """How many rows there are, at most `limit`."""
        return len(self._reader.execute(SELECT, (series, start, end, limit), prepare=True).fetchall())

    def settle(self) -> None:
        """It knows its tables, as autovacuum would have it in time."""
        self._reader.execute("ANALYZE events")

    def close(self) -> None:
        self._threads.shutdown()
        for connection in self._connections:
            connection.close()


class Asked(msgspec.Struct, frozen=True):
    """A read of both sides."""

    series: str
    start: int
    end: int
    limit: int


async def ingested(ours: Ours, rival: Rival, events: Sequence[Event], scale: Scale) -> list[Figure]:
    """Events per second, in alternating turns."""
    rates: list[tuple[float, float]] = []
    cpu_s = 0.0
    size = -(-len(events) // scale.rounds)
    for number in range(scale.rounds):
        part = batches(events[number * size : (number + 1) * size], scale.batch)
        took: dict[object, float] = {}
        for side in (ours, rival) if number % 2 == 0 else (rival, ours):
            began, busy = perf_counter(), process_time()
            await side.ingest(part)
            took[side] = perf_counter() - began
            cpu_s += process_time() - busy if side is ours else 0.0
        count = sum(map(len, part))
        rates.append((count / took[ours], count / took[rival]))
    mine, theirs = (percentile([each[side] for each in rates], 0.5) for side in (0, 1))
    note = f"{WRITERS} writers, {scale.batch} events a write"
    return [
        figure("timeseries.ingest", mine, theirs, "events/s", "higher", target=3.0, note=note),
        # Where others want the processors too, a rival of eight processes has eight times the turns.
        figure("timeseries.ingest_cpu", len(events) / cpu_s, None, "events/CPU s", "higher"),
    ]


async def timed(side: Ours | Rival, asked: Sequence[Asked]) -> tuple[list[float], int]:
    """Milliseconds of each, and how many events they found."""
    took, found = list[float](), 0
    for each in asked:
        began = perf_counter()
        found += await side.read(each.series, each.start, each.end, each.limit)
        took.append((perf_counter() - began) * 1e3)
    return took, found


async def compared(
    ours: Ours, rival: Rival, name: str, asked: Sequence[Asked], targets: tuple[float | None, float | None]
) -> list[Figure]:
    """The median and the slowest hundredth; both sides found the same."""
    for side in (ours, rival):
        await timed(side, asked[: len(asked) // 4])
    (mine, found), (theirs, same) = await timed(ours, asked), await timed(rival, asked)
    assert found == same, f"{name}: {found} events, and {same} rows"
    return slowness(f"timeseries.{name}", mine, theirs, targets=targets, note=f"{found // len(asked)} events each")


async def read(ours: Ours, rival: Rival, events: Sequence[Event], scale: Scale) -> list[Figure]:
    """Reads of ids that are wide, from any time back."""
    ranked, random = by_flights(events), Random(7)
    first, last = int(events[0].event_time), int(events[-1].event_time)

    def asked(width: int, limit: int) -> list[Asked]:
        found: list[Asked] = []
        for _ in range(scale.reads):
            end = random.randrange(first + (last - first) // 2, last)
            found.append(Asked(random.choice(ranked[:20]), max(first, end - width), end, limit))
        return found

    return [
        *await compared(ours, rival, "newest_100", asked(30 * DAY, 100), (None, 2.0)),
        *await compared(ours, rival, "day", asked(DAY, 10**6), (None, None)),
    ]


def by_flights(events: Sequence[Event]) -> list[str]:
    """Airports, the one with the most flights first."""
    counts: dict[str, int] = {}
    for event in events:
        counts[event.time_series_id] = counts.get(event.time_series_id, 0) + 1
    return sorted(counts, key=lambda each: -counts[each])


async def fanned(ours: Ours, events: Sequence[Event], scale: Scale) -> list[Figure]:
    """What the fan-out comes to where events are dense, and where they are sparse beside one that is always 8."""
    ranked, last = by_flights(events), int(events[-1].event_time)
    dense = [Asked(ranked[DENSE], last - 30 * DAY, last, 100)] * scale.reads
    await timed(ours, dense)
    before = ours.partition_reads()
    await timed(ours, dense)
    reads = (ours.partition_reads() - before) / len(dense)
    sparse = [Asked(ranked[min(SPARSE, len(ranked) - 1)], int(events[0].event_time), last, 100)] * scale.reads
    medians: list[float] = []
    for most in (64, 8):
        await ours.configure(fan_out=8, fan_out_max=most)
        await timed(ours, sparse[: len(sparse) // 2])
        medians.append(percentile((await timed(ours, sparse))[0], 0.5))
    await ours.configure()
    return [
        figure("timeseries.dense_reads", reads, None, "reads", "lower", target=2.0, note="of the store, a page of 100"),
        figure(
            "timeseries.sparse_p50",
            medians[0],
            medians[1],
            "ms",
            "lower",
            target=1.0,
            note="the rival: 8 at once, fixed",
        ),
    ]


def size_of(folder: Path) -> int:
    """Bytes of all files below it."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


async def dropped(ours: Ours, folder: Path, scale: Scale) -> list[Figure]:
    """How long it takes until whole slices are gone beside many other tables, and what is left of their disk."""
    engine = ours.stage.engines.get("default", "")
    for number in range(scale.tables):
        await engine.create_table(TableSpec(name=f"bench/{number}"))
    slices = len((await ours.series.list_slices()).slices)
    before = size_of(folder)
    await ours.configure(retention={"close_after": "3650d", "delete_after": "3650d"}, accept_limit="1d")
    began = perf_counter()
    await ours.service.tend("flights", lambda: None)
    took = (perf_counter() - began) * 1e3
    assert (await ours.series.list_slices()).slices == []
    after, waited = size_of(folder), 0.0
    while after > before / 10 and waited < 10:
        await asyncio.sleep(0.1)
        waited += 0.1
        after = size_of(folder)
    note = f"{slices} of {scale.events:,} events in all, beside {scale.tables} tables"
    return [
        figure("timeseries.drop", took / slices, None, "ms", "lower", target=100.0, note=note),
        figure("timeseries.disk_before", before / MIB, None, "MiB", "lower"),
        figure("timeseries.disk_left", after / MIB, None, "MiB", "lower", note=f"after {waited:.1f} s"),
    ]


async def measured(url: str, folder: Path, scale: Scale) -> list[Figure]:
    """All figures, with what is ours below `folder` and a PostgreSQL at `url`."""
    events = await asyncio.to_thread(flights, scale.events)
    # No program has so many lying about: to look through them all now and then is no work of either side.
    gc.freeze()
    async with Stage.open(data=folder, variables={}, background=False) as stage:
        ours, rival = Ours(stage), Rival(url)
        try:
            rival.prepare(int(events[0].event_time), int(events[-1].event_time))
            await ours.configure()
            await asyncio.sleep(0.1)
            assert rival.holds_to_the_disk()
            figures = await ingested(ours, rival, events, scale)
            rival.settle()
            figures += await read(ours, rival, events, scale)
        finally:
            rival.close()
        figures += await fanned(ours, events, scale)
        return figures + await dropped(ours, folder, scale)


def measure(scale: Scale) -> list[Figure]:
    """All figures."""
    with (
        tempfile.TemporaryDirectory(prefix="soundstage-bench-", ignore_cleanup_errors=True) as folder,
        Cluster("postgresql") as cluster,
    ):
        try:
            return asyncio.run(measured(cluster.url, Path(folder), scale))
        finally:
            gc.unfreeze()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    chosen = options(__doc__ or "", arguments)
    scale = QUICK if chosen.quick else FULL
    show(f"Time series: {scale.events:,} flights, beside PostgreSQL", measure(scale))


if __name__ == "__main__":
    main()
