"""What searches and aggregates over real flights answer is what duckdb answers about their source."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from examples.flights.flights import FIELDS, KNOBS, days, load, of_january
from tests.examples.test_flights import source, told

from soundstage import Stage
from soundstage.core.time import NS_PER_S, Duration
from soundstage.data.timeseries import (
    AggregationQuery,
    BooleanQuery,
    Bound,
    Event,
    Histogram,
    ItemName,
    ItemQuery,
    RangeQuery,
    SearchQuery,
    TimeHistogram,
    TimeSeries,
    TopTerms,
)
from soundstage.data.timeseries.service import TimeSeriesService
from soundstage.runtime.namespaces import Namespaces, NamespaceSpec

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module"), pytest.mark.holds_the_loop]

__all__ = ["source"]

DAYS = days(2, 7)
WHERE = "left_at >= '2013-01-02' AND left_at < '2013-01-07'"


async def tended(stage: Stage) -> None:
    """The index is whole, and shown."""
    service = stage.systems.service("timeseries")
    assert isinstance(service, TimeSeriesService)
    while await service.tend_index("flights", lambda: None):
        pass
    (index,) = await stage.search("found").indexes()
    await stage.search("found").refresh(index.spec.name)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    folder: Path = tmp_path_factory.mktemp("search")
    engines = {"default": {"url": "memory:"}, "found": {"url": f"tantivy:{folder}/found"}}
    async with Stage.open(data="memory:", config={"engines": engines}, background=False, variables={}) as opened:
        config = {**KNOBS, "index": {"engine": "found", "fields": FIELDS}}
        await opened.client(Namespaces).put(
            namespace=NamespaceSpec(name="flights", abstraction="timeseries", config=config)
        )
        events = (
            each
            for each in of_january()
            if each.time_series_id.startswith("airport") and DAYS.start <= each.event_time < DAYS.end
        )
        await load(opened.client(TimeSeries, "flights"), events)
        await tended(opened)
        yield opened


@pytest.fixture(scope="module")
def flights(stage: Stage) -> TimeSeries:
    return stage.client(TimeSeries, "flights")


def item(key: str, value: str) -> ItemQuery:
    return ItemQuery(event_item_key=key, event_item_value=value.encode())


def equals(key: str, value: str) -> SearchQuery:
    return SearchQuery(equals=item(key, value))


def above(key: str, value: str, *, inclusive: bool = True) -> SearchQuery:
    bound = Bound(event_item_value=value.encode(), inclusive=inclusive)
    return SearchQuery(range=RangeQuery(event_item_key=key, lower_bound=bound))


def both(*queries: SearchQuery, operator: Any = "AND") -> SearchQuery:
    return SearchQuery(boolean_query=BooleanQuery(search_query=list(queries), operator=operator))


ASKED: list[tuple[SearchQuery | None, str]] = [
    (None, "TRUE"),
    (equals("dest", "HNL"), "dest = 'HNL'"),
    (SearchQuery(prefix=item("tailnum", "N3")), "tailnum LIKE 'N3%'"),
    (above("dep_delay", "60"), "dep_delay::INT >= 60"),
    (above("dep_delay", "60", inclusive=False), "dep_delay::INT > 60"),
    (SearchQuery(not_query=SearchQuery(exists=ItemName(event_item_key="dep_delay"))), "dep_delay IS NULL"),
    (both(equals("carrier", "UA"), above("dep_delay", "30")), "carrier = 'UA' AND dep_delay::INT >= 30"),
    (
        both(equals("dest", "SFO"), both(equals("origin", "EWR"), equals("carrier", "DL")), operator="OR"),
        "(dest = 'SFO' OR (origin = 'EWR' AND carrier = 'DL'))",
    ),
]


async def search(flights: TimeSeries, query: SearchQuery | None) -> list[Event]:
    pages = flights.search_event_records.pages(time_interval=DAYS, search_query=query, page_size=700)
    return [event async for page in pages for event in page.records]


def rows(source: Any, where: str) -> list[tuple[str, ...]]:
    shown = (
        "strftime(left_at, '%Y-%m-%dT%H:%M:%SZ'), carrier, flight, coalesce(tailnum, ''), dest, coalesce(dep_delay, '')"
    )
    order = "left_at DESC, origin, carrier || flight || '/' || origin"
    return source.execute(f"SELECT {shown} FROM flights WHERE {WHERE} AND {where} ORDER BY {order}").fetchall()


@pytest.mark.parametrize("number", range(len(ASKED)))
async def test_flights_that_match(flights: TimeSeries, source: Any, number: int) -> None:
    query, where = ASKED[number]
    found = told(await search(flights, query))
    assert found == rows(source, where)
    assert found


async def counted(flights: TimeSeries, query: SearchQuery | None = None, **asked: Any) -> Any:
    return await flights.aggregate_event_records(
        time_interval=DAYS, search_query=query, aggregation_query=AggregationQuery(**asked)
    )


def one(source: Any, what: str, where: str = "TRUE") -> Any:
    return source.execute(f"SELECT {what} FROM flights WHERE {WHERE} AND {where}").fetchall()


@pytest.mark.parametrize("number", range(len(ASKED)))
async def test_numbers_over_those_that_match(flights: TimeSeries, source: Any, number: int) -> None:
    query, where = ASKED[number]
    for kind in ("sum", "min", "max"):
        reply = await counted(flights, query, **{kind: ItemName(event_item_key="dep_delay")})
        ((count, value),) = one(source, f"count(*), {kind}(dep_delay::INT)", where)
        assert (reply.count, reply.value) == (count, value)
    reply = await counted(flights, query, distinct=ItemName(event_item_key="dest"))
    assert [(reply.value,)] == one(source, "count(DISTINCT dest)", where)


async def test_the_destinations_that_most_fly_to(flights: TimeSeries, source: Any) -> None:
    reply = await counted(flights, top_terms=TopTerms(event_item_key="dest", limit=20))
    expected = source.execute(
        f"SELECT dest, count(*) FROM flights WHERE {WHERE} GROUP BY dest ORDER BY 2 DESC, 1 LIMIT 20"
    ).fetchall()
    assert [(each.event_item_value.decode(), each.count) for each in reply.buckets] == expected


async def test_delays_by_quarters_of_an_hour(flights: TimeSeries, source: Any) -> None:
    reply = await counted(flights, histogram=Histogram(event_item_key="dep_delay", width=15))
    grouped = "floor(dep_delay::INT / 15) * 15"
    expected = source.execute(
        f"SELECT {grouped}, count(*) FROM flights WHERE {WHERE} AND dep_delay IS NOT NULL GROUP BY 1 ORDER BY 1"
    ).fetchall()
    assert [(each.start, each.count) for each in reply.buckets] == expected


async def test_flights_by_the_hour(flights: TimeSeries, source: Any) -> None:
    reply = await counted(flights, time_histogram=TimeHistogram(interval=Duration(3_600 * NS_PER_S)))
    expected = source.execute(
        "SELECT strftime(date_trunc('hour', left_at), '%Y-%m-%dT%H:%M:%SZ'), count(*) "
        f"FROM flights WHERE {WHERE} GROUP BY 1 ORDER BY 1"
    ).fetchall()
    assert [(str(each.start_time), each.count) for each in reply.buckets] == expected


async def test_an_index_that_was_wiped_and_made_anew_is_equal(stage: Stage, flights: TimeSeries) -> None:
    queries: Sequence[SearchQuery | None] = [query for query, _ in ASKED]
    before = [await search(flights, query) for query in queries]
    (index,) = await stage.search("found").indexes()
    await stage.search("found").drop_index(index.spec.name)
    service = stage.systems.service("timeseries")
    assert isinstance(service, TimeSeriesService)
    service._indexes._kept.clear()
    await tended(stage)
    assert [await search(flights, query) for query in queries] == before
