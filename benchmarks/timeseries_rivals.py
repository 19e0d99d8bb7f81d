"""How do time series compare with ClickHouse in process, and with one table of Cassandra whose rows expire?

The events are the real flights of `benchmarks.timeseries`. ClickHouse (`chdb`) flushes each insert as we do, sorts by
id and time in partitions of 60 days, and tells events apart when it reads (`LIMIT 1 BY`), as its engine merges
duplicates some time or never. What is counted is counted three ways: by ClickHouse, by our index, and by reading our
events of every id. Cassandra has the design that most begin with: one table, a partition for each id and day, and a
time to live of its rows; its driver keeps 128 requests under way, and neither side waits for the disk.

ClickHouse needs a package that weighs 180 MB, which is not installed with the others: `pip install chdb`.
"""

from __future__ import annotations

import asyncio
import gc
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from time import perf_counter
from typing import Any

import msgspec

from benchmarks.cassandra_driver import driven
from benchmarks.programs import need_package
from benchmarks.report import Figure, figure, options, show, slowness
from benchmarks.timeseries import DAY, WRITERS, Ours, batches, by_flights, flights
from soundstage.core.errors import Unavailable
from soundstage.core.extras import library
from soundstage.core.time import Instant
from soundstage.data.timeseries import AggregationQuery, Event, ItemName, TimeInterval
from soundstage.runtime.stage import Stage
from soundstage.servers import Cluster

UNDER_WAY = 128
TTL_S = 10 * 365 * 86_400

CLICKHOUSE = """
CREATE TABLE flights.events (series String, at Int64, event_id String, item_key String, value String)
ENGINE = MergeTree PARTITION BY intDiv(at, {width}) ORDER BY (series, at, event_id, item_key)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
"""
NEWEST = """
SELECT at, event_id, item_key, value FROM flights.events WHERE series = '{series}' AND at >= {start} AND at < {end}
ORDER BY at DESC, event_id, item_key LIMIT 1 BY at, event_id, item_key LIMIT {limit}
"""
COUNTED = "SELECT uniqExact(at, series, event_id), uniqExact(value) FROM flights.events"

CASSANDRA = """
CREATE TABLE events (series text, day bigint, at bigint, event_id text, item_key text, value blob,
    PRIMARY KEY ((series, day), at, event_id, item_key))
WITH CLUSTERING ORDER BY (at DESC) AND default_time_to_live = {ttl}
"""
INSERT = "INSERT INTO events (series, day, at, event_id, item_key, value) VALUES (?, ?, ?, ?, ?, ?)"
SELECT = "SELECT at, event_id, item_key, value FROM events WHERE series = ? AND day = ? AND at >= ? AND at < ? LIMIT ?"


class Scale(msgspec.Struct, frozen=True):
    """How much is done: `events` in writes of `batch`, `reads` of a kind, and `shared` events for Cassandra."""

    events: int
    batch: int
    reads: int
    shared: int


FULL = Scale(events=300_000, batch=1_000, reads=200, shared=50_000)
QUICK = Scale(events=50_000, batch=1_000, reads=40, shared=10_000)


class ClickHouse:
    """A session in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._session: Any = need_package("chdb").session.Session(str(folder))
        self._arrow: Any = library("pyarrow", "tables")
        self._session.query("CREATE DATABASE flights ENGINE = Atomic")
        self._session.query(CLICKHOUSE.format(width=60 * DAY))

    def tables(self, events: Sequence[Event], size: int) -> list[Any]:
        """The events as what it is given to insert, `size` at once."""
        names = ("series", "at", "event_id", "item_key", "value")
        made: list[Any] = []
        for batch in batches(events, size):
            rows = [
                (each.time_series_id, int(each.event_time), each.event_id, item.event_item_key, item.event_item_value)
                for each in batch
                for item in each.event_items
            ]
            columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
            columns["value"] = [value.decode() for value in columns["value"]]
            made.append(self._arrow.table(columns))
        return made

    def ingest(self, tables: Sequence[Any]) -> None:
        """All of them are on the disk."""
        for given in tables:
            assert given.num_rows
            # It looks for the name among ours.
            self._session.query("INSERT INTO flights.events SELECT * FROM Python(given)")

    def read(self, series: str, start: int, end: int, limit: int) -> int:
        """How many rows there are, at most `limit`."""
        asked = NEWEST.format(series=series, start=start, end=end, limit=limit)
        return self._session.query(asked, "ArrowTable").num_rows

    def count(self) -> tuple[int, int]:
        """Events, and different values."""
        events, values = str(self._session.query(COUNTED)).strip().split(",")
        return int(events), int(values)

    def close(self) -> None:
        self._session.close()


async def counted_by_index(ours: Ours, every: TimeInterval) -> tuple[int, int]:
    """Events, and different values, as the index knows them."""
    asked = AggregationQuery(distinct=ItemName(event_item_key="flight"))
    found = await ours.series.aggregate_event_records(time_interval=every, aggregation_query=asked)
    return found.count, int(found.value or 0)


async def indexed_to_the_end(ours: Ours, every: TimeInterval, events: int) -> None:
    """The index has as many events."""
    found = 0
    while found < events:
        await asyncio.sleep(0.2)
        # It says so while it is being made.
        with suppress(Unavailable):
            found, _ = await counted_by_index(ours, every)


async def counted_by_reading(ours: Ours, ids: Sequence[str], every: TimeInterval) -> tuple[int, int]:
    """The same by every event there is."""
    count, values = 0, set[bytes]()
    for each in ids:
        pages = ours.series.read_event_records.pages(time_series_id=each, time_interval=every, page_size=10_000)
        async for page in pages:
            count += len(page.records)
            values.update(event.event_items[0].event_item_value for event in page.records)
    return count, len(values)


async def seconds(call: Callable[[], Awaitable[tuple[int, int]]]) -> tuple[float, tuple[int, int]]:
    """How long it takes, and what it found."""
    began = perf_counter()
    found = await call()
    return perf_counter() - began, found


async def beside_clickhouse(folder: Path, events: Sequence[Event], scale: Scale) -> list[Figure]:
    """Ingest, newest 100, and what is counted three ways."""
    config = {"engines": {"found": {"url": "tantivy:found"}}}
    async with Stage.open(data=folder / "ours", config=config, variables={}, background=True) as stage:
        ours, rival = Ours(stage), ClickHouse(folder / "clickhouse")
        try:
            await ours.configure()
            tables = rival.tables(events, scale.batch)
            began = perf_counter()
            await ours.ingest(batches(events, scale.batch))
            mine, began = len(events) / (perf_counter() - began), perf_counter()
            await asyncio.to_thread(rival.ingest, tables)
            theirs = len(events) / (perf_counter() - began)
            note = f"{scale.batch} events a write; ours by {WRITERS} writers, theirs one by one"
            return [
                figure("timeseries_rivals.clickhouse_ingest", mine, theirs, "events/s", "higher", note=note),
                *await newest(ours, rival, events, scale),
                *await counted(ours, rival, events),
            ]
        finally:
            rival.close()


async def newest(ours: Ours, rival: ClickHouse, events: Sequence[Event], scale: Scale) -> list[Figure]:
    """The newest 100 of wide ids before any time."""
    ranked, random = by_flights(events)[:20], Random(7)
    first, last = int(events[0].event_time), int(events[-1].event_time)
    took: tuple[list[float], list[float]] = ([], [])
    for number in range(scale.reads + scale.reads // 4):
        series, end = random.choice(ranked), random.randrange(first + (last - first) // 2, last)
        began = perf_counter()
        mine = await ours.read(series, max(first, end - 30 * DAY), end, 100)
        between = perf_counter()
        theirs = rival.read(series, max(first, end - 30 * DAY), end, 100)
        assert mine == theirs, f"{mine} events, and {theirs} rows"
        if number >= scale.reads // 4:
            took[0].append((between - began) * 1e3)
            took[1].append((perf_counter() - between) * 1e3)
    return slowness("timeseries_rivals.clickhouse_newest_100", *took)


async def counted(ours: Ours, rival: ClickHouse, events: Sequence[Event]) -> list[Figure]:
    """All events and their different values: by the index, by reading, and by ClickHouse."""
    every = TimeInterval(start=events[0].event_time, end=Instant(int(events[-1].event_time) + 1))
    theirs, expected = await seconds(lambda: asyncio.to_thread(rival.count))
    reading, read = await seconds(lambda: counted_by_reading(ours, by_flights(events), every))
    await ours.configure(index={"engine": "found", "fields": {"flight": "keyword"}})
    began = perf_counter()
    await indexed_to_the_end(ours, every, len(events))
    built = len(events) / (perf_counter() - began)
    indexed, found = await seconds(lambda: counted_by_index(ours, every))
    assert read == expected, f"{read} by reading, and {expected}"
    assert found[0] == expected[0], f"{found} by the index, and {expected}"
    off = abs(found[1] / expected[1] - 1)
    return [
        figure(
            "timeseries_rivals.count_by_index",
            indexed * 1e3,
            theirs * 1e3,
            "ms",
            "lower",
            note=f"count and distinct, the latter {off:.1%} off; the rival's is exact",
        ),
        figure("timeseries_rivals.count_by_reading", reading * 1e3, theirs * 1e3, "ms", "lower"),
        figure("timeseries_rivals.index_built", built, None, "events/s", "higher"),
    ]


class Table:
    """One table of Cassandra with a time to live, used by its driver alone."""

    def __init__(self, url: str) -> None:
        cluster: Any = library("cassandra.cluster", "cassandra")
        address, _, port = url.removeprefix("cassandra://").partition(":")
        self._cluster = cluster.Cluster([address], port=int(port.split("/")[0]), protocol_version=5)
        session = self._session = self._cluster.connect()
        session.execute("CREATE KEYSPACE bare WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}")
        session.set_keyspace("bare")
        session.execute(CASSANDRA.format(ttl=TTL_S))
        self._insert, self._select = session.prepare(INSERT), session.prepare(SELECT)

    def ingest(self, events: Sequence[Event]) -> None:
        """All of them are acknowledged."""
        driven(self._session, ([self._bound(each)] for each in events), UNDER_WAY)

    def read(self, series: str, start: int, end: int, limit: int) -> int:
        """How many rows there are, day by day from the newest on, at most `limit`."""
        found = 0
        for day in range((end - 1) // DAY, start // DAY - 1, -1):
            rows = self._session.execute(self._select, (series, day, start, end, limit - found))
            found += len(rows.all())
            if found >= limit:
                break
        return found

    def close(self) -> None:
        self._cluster.shutdown()

    def _bound(self, event: Event) -> Any:
        at, (item,) = int(event.event_time), event.event_items
        return self._insert.bind(
            (event.time_series_id, at // DAY, at, event.event_id, item.event_item_key, item.event_item_value)
        )


async def beside_cassandra(url: str, folder: Path, events: Sequence[Event], scale: Scale) -> list[Figure]:
    """Ingest and newest 100, both on one node."""
    config = {"engines": {"default": {"url": f"{url}/ours"}}}
    async with Stage.open(data=folder, config=config, variables={}, background=False) as stage:
        ours, rival = Ours(stage), Table(url)
        try:
            await ours.configure()
            await ours.ingest(batches(events[: scale.batch], scale.batch))
            await asyncio.to_thread(rival.ingest, events[: scale.batch])
            rest = events[scale.batch :]
            began = perf_counter()
            await ours.ingest(batches(rest, scale.batch))
            mine, began = len(rest) / (perf_counter() - began), perf_counter()
            await asyncio.to_thread(rival.ingest, rest)
            theirs = len(rest) / (perf_counter() - began)
            figures = [figure("timeseries_rivals.cassandra_ingest", mine, theirs, "events/s", "higher")]
            ranked, random = by_flights(events)[:20], Random(7)
            first, last = int(events[0].event_time), int(events[-1].event_time)
            took: tuple[list[float], list[float]] = ([], [])
            for _ in range(scale.reads):
                series, end = random.choice(ranked), random.randrange(first + (last - first) // 2, last)
                began = perf_counter()
                found = await ours.read(series, first, end, 100)
                between = perf_counter()
                same = await asyncio.to_thread(rival.read, series, first, end, 100)
                assert found == same, f"{found} events, and {same} rows"
                took[0].append((between - began) * 1e3)
                took[1].append((perf_counter() - between) * 1e3)
            return [*figures, *slowness("timeseries_rivals.cassandra_newest_100", *took)]
        finally:
            rival.close()


def measure(scale: Scale) -> list[Figure]:
    """All figures."""
    need_package("chdb")
    events = flights(scale.events)
    gc.freeze()
    try:
        with tempfile.TemporaryDirectory(prefix="soundstage-bench-", ignore_cleanup_errors=True) as folder:
            figures = asyncio.run(beside_clickhouse(Path(folder), events, scale))
            with Cluster("cassandra") as cluster:
                shared = events[: scale.shared]
                return figures + asyncio.run(beside_cassandra(cluster.url, Path(folder, "cassandra"), shared, scale))
    finally:
        gc.unfreeze()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    chosen = options(__doc__ or "", arguments)
    show("Time series, beside ClickHouse and a table of Cassandra", measure(QUICK if chosen.quick else FULL))


if __name__ == "__main__":
    main()
