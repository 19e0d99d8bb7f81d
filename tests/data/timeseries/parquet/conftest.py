"""A stage that carries jobs out, and events to take along."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from io import BytesIO
from typing import Any

import pyarrow.parquet as pq
import pytest
from tests.data.parquet.conftest import CONFIG, content_of
from tests.data.timeseries.conftest import event, make

from soundstage.core.files import File
from soundstage.core.time import Instant
from soundstage.data.timeseries import Event, EventItem, TimeInterval, TimeSeries
from soundstage.data.timeseries.api import EventsExported, EventsImported
from soundstage.runtime.stage import Stage

AT = 1_700_000_000_123_456_789
MINUTE = 60 * 10**9

YEARS = TimeInterval(start=Instant.parse("2000-01-01T00:00:00Z"), end=Instant.parse("2030-01-01T00:00:00Z"))

SLICED: dict[str, Any] = {
    "accept_limit": "0s",
    "time_partition": {"seconds_per_slice": "10m", "seconds_per_bucket": "2m", "event_buckets": 2},
}

SLICES = "timeseries/*/*"
"""What the names of tables of slices are like."""


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    """A stage in memory that carries jobs out."""
    async with Stage.open(data="memory:", config=CONFIG, variables={}) as stage:
        yield stage


@pytest.fixture
async def trips(stage: Stage) -> TimeSeries:
    """A namespace with slices of ten minutes."""
    return await make(stage, **SLICED)


@pytest.fixture
async def again(stage: Stage) -> TimeSeries:
    """Another, with one slice for all of time."""
    return await make(stage, "again")


def some(count: int = 30) -> list[Event]:
    """Events of three series, a minute apart; every third has two items."""
    return [
        event(AT + number * MINUTE, f"e{number}", f"bike-{number % 3}", **items_of(number)) for number in range(count)
    ]


def items_of(number: int) -> dict[str, bytes]:
    return {"k": b"\xff%d" % number} | ({"z": b""} if number % 3 == 0 else {})


async def exported(series: TimeSeries, interval: TimeInterval = YEARS, **given: Any) -> EventsExported:
    return await (await series.export_parquet(time_interval=interval, **given)).result()


async def imported(series: TimeSeries, file: File, **given: Any) -> EventsImported:
    return await (await series.import_parquet(file=file, **given)).result()


async def events_in(stage: Stage, file: File) -> list[Event]:
    """The rows of a file of ours, newest first by their ids."""
    table = pq.read_table(BytesIO(await content_of(stage, file)))
    rows = zip(*(table.column(name).to_pylist() for name in ("time_series_id", "event_id", "event_items")), strict=True)
    times: list[int] = table.column("event_time").cast("int64").to_pylist()
    found = [
        Event(
            time_series_id=series,
            event_time=Instant(at),
            event_id=event_id,
            event_items=[EventItem(event_item_key=key, event_item_value=value) for key, value in items],
        )
        for (series, event_id, items), at in zip(rows, times, strict=True)
    ]
    return in_order(found)


def in_order(events: Sequence[Event]) -> list[Event]:
    return sorted(events, key=lambda each: (each.time_series_id, -each.event_time, each.event_id))
