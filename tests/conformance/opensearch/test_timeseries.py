"""Time series over a real OpenSearch: what is found and counted is what it is over the engine in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.data.timeseries.conftest import ALWAYS, DAY, NOW, H, event, make, service_of
from tests.data.timeseries.test_index import (
    COUNTS,
    FLIGHTS,
    INDEX,
    QUERIES,
    equals,
    found,
    numbers,
    work,
)

from soundstage.core.time import Duration
from soundstage.data.timeseries import (
    AggregationQuery,
    EventCount,
    Histogram,
    TimeHistogram,
    TimeSeries,
    TopTerms,
)
from soundstage.runtime.stage import Stage

pytestmark = pytest.mark.slow

QUARTERS = {"seconds_per_slice": "6h", "seconds_per_bucket": "1h"}
"""Of days: the flights lie in four slices."""


@pytest.fixture
async def indexed(url: str) -> AsyncIterator[Stage]:
    """A stage in memory, with a search engine `found` that is a real one."""
    engines = {"default": {"url": "memory:"}, "found": {"url": url}}
    async with Stage.open(data="memory:", config={"engines": engines}, variables={}, background=False) as stage:
        yield stage


async def whole(stage: Stage) -> None:
    """The index is as the slices are, and everybody is shown it."""
    await work(stage)
    engine = stage.search("found")
    for each in await engine.indexes():
        await engine.refresh(each.spec.name)


@pytest.fixture
async def flights(indexed: Stage) -> TimeSeries:
    series = await make(indexed, index=INDEX, time_partition=QUARTERS)
    await series.write_event_records_sync(events=FLIGHTS)
    await whole(indexed)
    return series


async def counted(series: TimeSeries, asked: AggregationQuery) -> list[tuple[object, int]]:
    """What each bucket is of, and how many events it has."""
    reply = await series.aggregate_event_records(time_interval=ALWAYS, aggregation_query=asked)
    return [(each.event_item_value or each.start_time or each.start, each.count) for each in reply.buckets or ()]


async def test_every_kind_of_query_finds_what_it_is_to_find(flights: TimeSeries) -> None:
    for query, matches in QUERIES:
        assert numbers(await found(flights, query)) == [number for number in range(20) if matches(number)], query


async def test_pages_are_the_whole_answer_newest_first(indexed: Stage, flights: TimeSeries) -> None:
    same = [event(NOW - 30 * H, f"f{20 + number}", f"s{number // 3}") for number in range(9)]
    await flights.write_event_records_sync(events=same)
    await whole(indexed)
    for size in (1, 4, 1_000):
        assert numbers(await found(flights, page_size=size)) == list(range(29))


async def test_everything_that_can_be_counted_is(flights: TimeSeries) -> None:
    for asked, value in COUNTS:
        reply = await flights.aggregate_event_records(time_interval=ALWAYS, aggregation_query=AggregationQuery(**asked))
        assert (reply.count, reply.value) == (20, value)
    top = AggregationQuery(top_terms=TopTerms(event_item_key="carrier"))
    assert await counted(flights, top) == [(b"UA", 13), (b"B6", 7)]
    by_tens = AggregationQuery(histogram=Histogram(event_item_key="delay", width=10))
    assert [count for _, count in await counted(flights, by_tens)] == [5, 10, 5]
    by_day = AggregationQuery(time_histogram=TimeHistogram(interval=Duration(DAY)))
    assert [count for _, count in await counted(flights, by_day)] == [20]


async def test_an_index_that_was_wiped_is_made_anew_and_is_equal(indexed: Stage, flights: TimeSeries) -> None:
    before = await found(flights)
    engine = indexed.search("found")
    for each in await engine.indexes():
        await engine.drop_index(each.spec.name)
    service_of(indexed).rest_indexes()
    await whole(indexed)
    assert await found(flights) == before
    # No name of an index is used twice, by one that was wiped neither.
    assert (await flights.rebuild_index()).number == 2
    service_of(indexed).rest_indexes()
    await whole(indexed)
    assert await found(flights) == before
    assert len(await engine.indexes()) == 1


async def test_what_is_told_again_is_found_once_and_items_that_come_later_too(
    indexed: Stage, flights: TimeSeries
) -> None:
    await flights.write_event_records_sync(events=FLIGHTS)
    await flights.write_event_records_sync(events=[event(NOW - 3 * H, "f3", "plane3", carrier=b"ZZ")])
    await whole(indexed)
    assert numbers(await found(flights)) == list(range(20))
    assert numbers(await found(flights, equals("carrier", b"ZZ"))) == [3]


async def test_documents_of_slices_that_are_gone_go_too(indexed: Stage, flights: TimeSeries) -> None:
    catalogue = service_of(indexed)._served["trips"].catalogue
    newest = catalogue.slices[-1].start
    await catalogue.drop(lambda each: each.start < newest, lambda: None)
    left = [number for number in range(20) if NOW - number * H >= newest]
    assert 0 < len(left) < 20
    count = AggregationQuery(count=EventCount())
    service_of(indexed).rest_indexes()
    await whole(indexed)
    assert numbers(await found(flights)) == left
    reply = await flights.aggregate_event_records(time_interval=ALWAYS, aggregation_query=count)
    assert reply.count == len(left)


async def test_blocked_ids_are_neither_found_nor_counted(indexed: Stage, flights: TimeSeries) -> None:
    await make(indexed, index=INDEX, time_partition=QUARTERS, blocked_ids=["plane1"])
    assert numbers(await found(flights)) == [number for number in range(20) if number % 4 != 1]
    count = AggregationQuery(count=EventCount())
    reply = await flights.aggregate_event_records(time_interval=ALWAYS, aggregation_query=count)
    assert reply.count == 15
