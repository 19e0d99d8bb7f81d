"""Search and aggregates across ids, and the index that answers them: from the feed, made anew, and while it is down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from tests.data.timeseries.conftest import (
    ALWAYS,
    DAY,
    NOW,
    H,
    between,
    event,
    everything,
    make,
    service_of,
    tend,
    unknown,
    unserved,
)
from tests.data.timeseries.engines import Watched

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import InvalidArgument, SoundstageError, TooLarge, Unavailable
from soundstage.core.time import Duration
from soundstage.data.timeseries import (
    AggregationQuery,
    BooleanQuery,
    Bound,
    Event,
    EventCount,
    Histogram,
    ItemName,
    ItemQuery,
    RangeQuery,
    SearchQuery,
    TimeHistogram,
    TimeSeries,
    TopTerms,
    partitions,
)
from soundstage.data.timeseries.feed import TOPICS
from soundstage.data.timeseries.index import building, documents, events, following, indexer, searching
from soundstage.data.timeseries.index.fields import Fields
from soundstage.data.timeseries.index.following import Following
from soundstage.data.timeseries.roles import INDEX_PAUSE_S, ROLES, clear_indexes, index_namespace
from soundstage.engines.records.port import Budget
from soundstage.engines.search.memory import MemorySearch
from soundstage.engines.search.port import VISIBLE_WITHIN_S, IndexSpec, Search
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.roles import RoleContext
from soundstage.runtime.stage import Stage
from soundstage.testing.simulation.environment import SimulatedEnvironment
from soundstage.testing.simulation.loop import run, running_loop

FIELDS = {
    "carrier": "keyword",
    "delay": "integer",
    "miles": "double",
    "late": "boolean",
    "landed": "instant",
    "note": "text",
}
INDEX: dict[str, Any] = {"engine": "found", "fields": FIELDS}
DAILY = {"seconds_per_slice": "1d", "seconds_per_bucket": "1h"}


class Flaky(MemorySearch):
    """Is down at times, and shows at once what it was told."""

    down = False
    silent = False
    """Whether the answer to the next call that makes an index is lost."""

    held: asyncio.Event | None = None
    """What is waited for before an index is made."""

    def __init__(self, environment: VirtualEnvironment) -> None:
        super().__init__(environment)
        self.told: list[str] = []
        self.waiting = asyncio.Event()

    async def bulk(self, *arguments: Any, **named: Any) -> Any:
        self._check()
        self.told.append("bulk")
        return await super().bulk(*arguments, **named)

    async def create_index(self, spec: IndexSpec) -> None:
        if self.held is not None:
            self.waiting.set()
            await self.held.wait()
        await super().create_index(spec)
        if self.silent:
            self.silent = False
            raise Unavailable("no answer", outcome="unknown")

    async def indexes(self) -> Any:
        self._check()
        return await super().indexes()

    async def search(self, index: str, *arguments: Any, **named: Any) -> Any:
        self._check()
        await self.refresh(index)
        return await super().search(index, *arguments, **named)

    def _check(self) -> None:
        if self.down:
            raise Unavailable("down")


@pytest.fixture
def search(environment: VirtualEnvironment) -> Flaky:
    return Flaky(environment)


@pytest.fixture
async def indexed(environment: VirtualEnvironment, search: Flaky, tmp_path: Path) -> AsyncIterator[Stage]:
    """A stage in memory, with the search engines `found` and `other`."""
    stage = Stage.open(
        data="memory:",
        config={"engines": {name: {"url": "memory:"} for name in ("default", "found", "other")}},
        engines=cast("Any", {"found": search}),
        environment=environment,
        variables={},
        background=False,
    )
    async with stage:
        yield stage


async def work(stage: Stage, name: str = "trips") -> None:
    """The role did all that there was to do."""
    await stage.systems.started("timeseries")
    for _ in range(100):
        if not await service_of(stage).tend_index(name, lambda: None):
            return
    raise AssertionError("the index is never whole")


def flight(number: int, **items: bytes) -> Event:
    found = {
        "carrier": b"UA" if number % 3 else b"B6",
        "delay": str(number - 5).encode(),
        "miles": str(number / 4).encode(),
        "late": b"true" if number > 5 else b"false",
        "landed": f"2026-11-{number % 28 + 1:02d}T08:00:00Z".encode(),
        "note": f"gate {number} to Porte Maillot".encode(),
        "seat": b"12",
    }
    return event(NOW - number * H, f"f{number}", f"plane{number % 4}", **(found | items))


FLIGHTS = [flight(number) for number in range(20)]


def numbers(events: Sequence[Event]) -> list[int]:
    return [int(each.event_id[1:]) for each in events]


def equals(key: str, value: bytes) -> SearchQuery:
    return SearchQuery(equals=ItemQuery(event_item_key=key, event_item_value=value))


def ranged(key: str, lower: bytes | None = None, upper: bytes | None = None, *, inclusive: bool = True) -> SearchQuery:
    bounds = [None if value is None else Bound(event_item_value=value, inclusive=inclusive) for value in (lower, upper)]
    return SearchQuery(range=RangeQuery(event_item_key=key, lower_bound=bounds[0], upper_bound=bounds[1]))


def joined(operator: Any, *queries: SearchQuery) -> SearchQuery:
    return SearchQuery(boolean_query=BooleanQuery(search_query=list(queries), operator=operator))


async def found(series: TimeSeries, query: SearchQuery | None = None, **asked: Any) -> list[Event]:
    pages = series.search_event_records.pages(time_interval=ALWAYS, search_query=query, **asked)
    return [each async for page in pages for each in page.records]


@pytest.fixture
async def flights(indexed: Stage) -> TimeSeries:
    series = await make(indexed, index=INDEX, time_partition=DAILY)
    await series.write_event_records_sync(events=FLIGHTS)
    await work(indexed)
    return series


QUERIES: list[tuple[SearchQuery | None, Callable[[int], object]]] = [
    (None, lambda n: True),
    (equals("carrier", b"UA"), lambda n: n % 3),
    (equals("delay", b"3"), lambda n: n == 8),
    (equals("late", b"true"), lambda n: n > 5),
    (equals("landed", b"2026-11-04T08:00:00Z"), lambda n: n == 3),
    (ranged("delay", b"-2", b"4"), lambda n: -2 <= n - 5 <= 4),
    (ranged("delay", b"-2", b"4", inclusive=False), lambda n: -2 < n - 5 < 4),
    (ranged("miles", upper=b"1.5"), lambda n: n / 4 <= 1.5),
    (SearchQuery(prefix=ItemQuery(event_item_key="carrier", event_item_value=b"U")), lambda n: n % 3),
    (SearchQuery(exists=ItemName(event_item_key="late")), lambda n: True),
    (SearchQuery(match=ItemQuery(event_item_key="note", event_item_value=b"MAILLOT 7")), lambda n: n == 7),
    (SearchQuery(not_query=equals("carrier", b"UA")), lambda n: n % 3 == 0),
    (joined("AND", equals("carrier", b"UA"), ranged("delay", b"5")), lambda n: n % 3 and n >= 10),
    (joined("OR", equals("carrier", b"B6"), joined("AND", ranged("delay", b"9"))), lambda n: n % 3 == 0 or n >= 14),
]


@pytest.mark.parametrize("number", range(len(QUERIES)))
async def test_events_of_all_ids_that_match_come_newest_first(flights: TimeSeries, number: int) -> None:
    query, matches = QUERIES[number]
    expected = [each for each, n in zip(FLIGHTS, range(20), strict=True) if matches(n)]
    answer = await found(flights, query)
    assert numbers(answer) == numbers(expected)
    assert {each.event_id: set(each.event_items) for each in answer} == {
        each.event_id: set(each.event_items) for each in expected
    }


@pytest.mark.parametrize("size", [1, 3, 19, 20, 1_000])
async def test_pages_are_the_whole_answer_and_stop_at_the_limit(flights: TimeSeries, size: int) -> None:
    assert numbers(await found(flights, page_size=size)) == list(range(20))
    assert numbers(await found(flights, page_size=size, total_record_limit=7)) == list(range(7))


async def test_events_of_one_time_are_each_on_one_page(indexed: Stage) -> None:
    trips = await make(indexed, index=INDEX)
    events = [event(NOW, f"e{number % 5}", f"s{number // 5}") for number in range(20)]
    await trips.write_event_records_sync(events=events)
    await work(indexed)
    answer = await found(trips, page_size=3)
    assert [(each.time_series_id, each.event_id) for each in answer] == [
        (each.time_series_id, each.event_id) for each in events
    ]


async def test_a_page_has_no_more_bytes_than_the_namespace_allows(indexed: Stage) -> None:
    trips = await make(indexed, index=INDEX, page_size_bytes="4KiB")
    await trips.write_event_records_sync(events=[event(NOW - n, f"f{n}", k=bytes(1_500)) for n in range(10)])
    await work(indexed)
    page = await trips.search_event_records(time_interval=ALWAYS)
    assert numbers(page.records) == [0, 1]
    assert numbers(await found(trips)) == list(range(10))


async def test_only_events_of_the_interval_are_found(flights: TimeSeries) -> None:
    page = await flights.search_event_records(time_interval=between(NOW - 5 * H, NOW - 2 * H))
    assert numbers(page.records) == [3, 4, 5]


COUNTS: list[tuple[dict[str, Any], Any]] = [
    ({"count": EventCount()}, None),
    ({"distinct": ItemName(event_item_key="carrier")}, 2.0),
    ({"sum": ItemName(event_item_key="delay")}, float(sum(range(-5, 15)))),
    ({"min": ItemName(event_item_key="delay")}, -5.0),
    ({"max": ItemName(event_item_key="miles")}, 19 / 4),
]


@pytest.mark.parametrize("number", range(len(COUNTS)))
async def test_what_is_counted(flights: TimeSeries, number: int) -> None:
    asked, value = COUNTS[number]
    reply = await flights.aggregate_event_records(time_interval=ALWAYS, aggregation_query=AggregationQuery(**asked))
    assert (reply.count, reply.value) == (20, value)


async def test_what_is_counted_over_those_that_match(flights: TimeSeries) -> None:
    asked = AggregationQuery(max=ItemName(event_item_key="delay"))
    ours = equals("carrier", b"B6")
    reply = await flights.aggregate_event_records(time_interval=ALWAYS, search_query=ours, aggregation_query=asked)
    assert (reply.count, reply.value) == (7, 13.0)
    none = equals("carrier", b"XX")
    reply = await flights.aggregate_event_records(time_interval=ALWAYS, search_query=none, aggregation_query=asked)
    assert (reply.count, reply.value) == (0, None)


async def test_the_values_that_most_have(flights: TimeSeries) -> None:
    asked = AggregationQuery(top_terms=TopTerms(event_item_key="carrier", limit=1))
    reply = await flights.aggregate_event_records(time_interval=ALWAYS, aggregation_query=asked)
    assert [(each.event_item_value, each.count) for each in reply.buckets or ()] == [(b"UA", 13)]
    assert reply.others == 7


async def test_histograms_of_values_and_of_times(flights: TimeSeries) -> None:
    asked = AggregationQuery(histogram=Histogram(event_item_key="delay", width=10))
    reply = await flights.aggregate_event_records(time_interval=ALWAYS, aggregation_query=asked)
    assert [(each.start, each.count) for each in reply.buckets or ()] == [(-10, 5), (0, 10), (10, 5)]
    by_day = AggregationQuery(time_histogram=TimeHistogram(interval=Duration(DAY)))
    reply = await flights.aggregate_event_records(time_interval=ALWAYS, aggregation_query=by_day)
    assert [str(each.start_time) for each in reply.buckets or ()] == ["2023-11-14T00:00:00Z"]
    assert [each.count for each in reply.buckets or ()] == [20]


FIRST_OF_SEVERAL = "search_query.boolean_query.search_query[0]"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        (SearchQuery(), "search_query"),
        (equals("seat", b"12"), "search_query.equals.event_item_key"),
        (equals("delay", b"x"), "search_query.equals.event_item_value"),
        (equals("note", b"gate"), "search_query.equals"),
        (ranged("delay"), "search_query.range"),
        (ranged("late", b"true"), "search_query.range"),
        (
            joined("AND", ranged("delay", b"")),
            f"{FIRST_OF_SEVERAL}.range.lower_bound.event_item_value",
        ),
        (SearchQuery(prefix=ItemQuery(event_item_key="delay", event_item_value=b"1")), "search_query.prefix"),
        (SearchQuery(match=ItemQuery(event_item_key="carrier", event_item_value=b"1")), "search_query.match"),
    ],
)
async def test_what_no_index_answers_is_refused(flights: TimeSeries, query: SearchQuery, field: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await found(flights, query)
    assert refused.value.field == field


async def test_what_cannot_be_counted_is_refused(flights: TimeSeries) -> None:
    for asked in (
        AggregationQuery(),
        AggregationQuery(sum=ItemName(event_item_key="carrier")),
        AggregationQuery(distinct=ItemName(event_item_key="note")),
        AggregationQuery(time_histogram=TimeHistogram(interval=Duration(1))),
    ):
        with pytest.raises(InvalidArgument):
            await flights.aggregate_event_records(time_interval=ALWAYS, aggregation_query=asked)


async def test_a_namespace_without_an_index_says_so(indexed: Stage) -> None:
    trips = await make(indexed)
    with pytest.raises(InvalidArgument, match="has no index"):
        await found(trips)


async def test_a_search_engine_that_is_not_there_is_told_at_once(indexed: Stage) -> None:
    with pytest.raises(SoundstageError, match="elsewhere"):
        await make(indexed, index={"engine": "elsewhere", "fields": FIELDS})


async def test_what_is_told_twice_is_found_once(indexed: Stage, flights: TimeSeries) -> None:
    for _ in range(2):
        await flights.write_event_records_sync(events=FLIGHTS)
        await work(indexed)
    assert numbers(await found(flights)) == list(range(20))


async def test_items_that_come_later_are_found(indexed: Stage, flights: TimeSeries) -> None:
    await flights.write_event_records_sync(events=[event(NOW - 3 * H, "f3", "plane3", carrier=b"ZZ")])
    await work(indexed)
    # Of two values under one key the greater stays, here as in the slices.
    assert numbers(await found(flights, equals("carrier", b"ZZ"))) == [3]


async def test_an_event_that_is_too_large_to_be_read_is_found_by_its_first_items_and_not_shown(
    indexed: Stage, flights: TimeSeries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions, "EVENT_MAX_BYTES", 50_000)
    monkeypatch.setattr(events, "DEFAULT_BUDGET", Budget(rows=5, bytes=20_000))
    for number in range(10):
        await flights.write_event_records_sync(
            events=[event(NOW, "f100", "ada", carrier=b"ZZ", **{f"x{number}": bytes(10_000)})]
        )
    await work(indexed)
    count = AggregationQuery(count=EventCount())
    ours = equals("carrier", b"ZZ")
    reply = await flights.aggregate_event_records(time_interval=ALWAYS, search_query=ours, aggregation_query=count)
    assert reply.count == 1
    with pytest.raises(TooLarge, match="f100"):
        await found(flights, ours)
    assert len(await found(flights, equals("carrier", b"UA"))) == 13


async def test_queued_events_are_found_too(indexed: Stage, environment: VirtualEnvironment) -> None:
    trips = await make(indexed, index=INDEX)
    await trips.write_event_records(events=FLIGHTS)
    for _ in range(20):
        await environment.sleep(1)
    await work(indexed)
    assert len(await found(trips)) == 20


async def test_values_that_are_not_of_the_kind_are_not_found_and_counted(indexed: Stage) -> None:
    trips = await make(indexed, index=INDEX)
    await work(indexed)
    await trips.write_event_records_sync(events=[flight(1, delay=b"soon", miles=b"1_0", late=b"yes", note=b"\xff")])
    await work(indexed)
    assert numbers(await found(trips, equals("carrier", b"UA"))) == [1]
    assert await found(trips, SearchQuery(exists=ItemName(event_item_key="delay"))) == []
    measured = {each.name: each.value for each in service_of(indexed).measurements()}
    assert (measured["timeseries_index_values_unfit"], measured["timeseries_index_events"]) == (4, 1)


async def test_while_the_engine_is_down_the_store_serves_and_afterwards_all_is_found(
    indexed: Stage, flights: TimeSeries, search: Flaky, environment: VirtualEnvironment
) -> None:
    search.down = True
    await flights.write_event_records_sync(events=[flight(100), flight(101)])
    for _ in range(2):
        environment.advance(30)
        with pytest.raises(Unavailable):
            await work(indexed)
    assert len(await everything(flights, "plane0")) == 6
    with pytest.raises(Unavailable):
        await found(flights)
    measured = {each.name: each.value for each in service_of(indexed).measurements()}
    assert measured["timeseries_index_lag_seconds"] >= 60
    search.down = False
    await work(indexed)
    assert numbers(await found(flights)) == [*range(20), 100, 101]
    assert {each.name: each.value for each in service_of(indexed).measurements()}["timeseries_index_lag_seconds"] == 0


async def test_what_is_written_waits_for_more_as_long_as_the_index_wants_it(
    indexed: Stage, environment: VirtualEnvironment
) -> None:
    trips = await make(indexed, index={**INDEX, "refresh_interval": "60s"})

    async def found_after(seconds: float) -> list[int]:
        environment.advance(seconds)
        await work(indexed)
        return numbers(await found(trips))

    await trips.write_event_records_sync(events=[flight(0)])
    assert await found_after(0) == [0]
    await trips.write_event_records_sync(events=[flight(1)])
    assert await found_after(59) == [0]
    assert lag_s(indexed) == 59
    assert await found_after(1) == [0, 1]
    assert lag_s(indexed) == 0
    environment.advance(60)
    await trips.write_event_records_sync(events=[flight(2)])
    assert await found_after(0) == [0, 1, 2]


async def test_what_waits_is_not_read_round_by_round(
    indexed: Stage, environment: VirtualEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    trips = await make(indexed, index={**INDEX, "refresh_interval": "60s"})
    await trips.write_event_records_sync(events=[flight(0)])
    await work(indexed)
    for number in range(1, 10):
        await trips.write_event_records_sync(events=[flight(number)])
    read, entries = Following.read, list[int]()

    async def noted(self: Following, *given: Any, **named: Any) -> Any:
        log, page = await read(self, *given, **named)
        entries.append(len(page.entries))
        return log, page

    monkeypatch.setattr(Following, "read", noted)
    await work(indexed)
    await work(indexed)
    environment.advance(60)
    await work(indexed)
    assert entries == [1, 1, 9]


def lag_s(stage: Stage) -> float:
    lags = [each.value for each in service_of(stage).measurements() if each.name == "timeseries_index_lag_seconds"]
    return max(lags)


async def wipe(search: Search) -> None:
    for each in await search.indexes():
        await search.drop_index(each.spec.name)


async def test_an_index_that_was_wiped_is_made_anew_and_is_equal(
    indexed: Stage, flights: TimeSeries, search: Flaky, environment: VirtualEnvironment
) -> None:
    before = await found(flights)
    await wipe(search)
    with pytest.raises(Unavailable, match="is being made"):
        await found(flights)
    environment.advance(10)
    await work(indexed)
    assert await found(flights) == before


async def test_an_index_is_made_anew_while_the_old_one_serves(
    indexed: Stage,
    flights: TimeSeries,
    search: Flaky,
    environment: VirtualEnvironment,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(building, "WALK", Budget(rows=10, bytes=1 << 20))
    monkeypatch.setattr(building, "EVENTS", 1)
    (old,) = await search.indexes()
    assert (await flights.rebuild_index()).number == 1
    environment.advance(10)
    assert await service_of(indexed).tend_index("trips", lambda: None)
    assert len(await search.indexes()) == 2
    await flights.write_event_records_sync(events=[flight(100)])
    assert await service_of(indexed).tend_index("trips", lambda: None)
    # What is written meanwhile comes into both.
    assert numbers(await found(flights)) == [*range(20), 100]
    await work(indexed)
    assert numbers(await found(flights)) == [*range(20), 100]
    (new,) = await search.indexes()
    assert new.spec.name != old.spec.name


@pytest.fixture
async def begun(
    indexed: Stage, flights: TimeSeries, environment: VirtualEnvironment, monkeypatch: pytest.MonkeyPatch
) -> TimeSeries:
    """An index that is being made anew, and has some events."""
    monkeypatch.setattr(building, "WALK", Budget(rows=10, bytes=1 << 20))
    monkeypatch.setattr(building, "EVENTS", 1)
    await flights.rebuild_index()
    environment.advance(10)
    assert await service_of(indexed).tend_index("trips", lambda: None)
    return flights


async def test_what_an_engine_did_not_take_while_an_index_was_made_is_put_again(
    indexed: Stage, begun: TimeSeries, search: Flaky
) -> None:
    (old,) = [each for each in await search.indexes() if each.aliases]
    search.down = True
    for _ in range(3):
        with pytest.raises(Unavailable):
            await service_of(indexed).tend_index("trips", lambda: None)
    search.down = False
    await work(indexed)
    assert numbers(await found(begun)) == list(range(20))
    assert old not in await search.indexes()


async def test_an_index_that_was_wiped_while_it_was_made_is_begun_anew_though_the_answer_was_lost(
    indexed: Stage, begun: TimeSeries, search: Flaky, environment: VirtualEnvironment
) -> None:
    await wipe(search)
    environment.advance(10)
    search.silent = True
    with pytest.raises(Unavailable, match="no answer"):
        await service_of(indexed).tend_index("trips", lambda: None)
    await work(indexed)
    assert numbers(await found(begun)) == list(range(20))


async def test_another_choice_of_fields_makes_another_index(
    indexed: Stage, flights: TimeSeries, search: Flaky, environment: VirtualEnvironment
) -> None:
    await make(indexed, index={"engine": "found", "fields": {"seat": "keyword"}}, time_partition=DAILY)
    with pytest.raises(Unavailable, match="anew"):
        await found(flights, equals("seat", b"12"))
    environment.advance(10)
    await work(indexed)
    assert len(await found(flights, equals("seat", b"12"))) == 20
    assert len(await search.indexes()) == 1


async def test_what_is_written_while_an_index_of_more_fields_is_made_is_in_both(
    indexed: Stage, begun: TimeSeries, search: Flaky, environment: VirtualEnvironment
) -> None:
    more = {**INDEX, "fields": {**FIELDS, "seat": "keyword"}}
    await make(indexed, index=more, time_partition=DAILY)
    environment.advance(10)
    await begun.write_event_records_sync(events=[flight(100)])
    assert await service_of(indexed).tend_index("trips", lambda: None)
    assert len(await search.indexes()) == 2
    assert numbers(await found(begun, equals("carrier", b"UA")))[-1] == 100
    await work(indexed)
    assert numbers(await found(begun, equals("seat", b"12"))) == [*range(20), 100]


async def test_an_index_for_a_namespace_that_has_events_has_them_all(
    indexed: Stage, environment: VirtualEnvironment
) -> None:
    trips = await make(indexed, time_partition=DAILY)
    long = "x" * 1_024
    await trips.write_event_records_sync(events=[*FLIGHTS, event(NOW - 20 * H, "f20", long)])
    await make(indexed, time_partition=DAILY, index=INDEX)
    await work(indexed)
    with pytest.raises(Unavailable):
        await found(trips)
    # Every process tells of its writes by now.
    environment.advance(10)
    await work(indexed)
    assert numbers(await found(trips)) == list(range(21))


async def test_an_index_is_made_of_what_its_walk_meets_and_hardly_an_event_is_looked_up(
    environment: VirtualEnvironment, search: Flaky
) -> None:
    engine = Watched(environment)
    async with Stage.open(
        data="memory:",
        config={"engines": {name: {"url": "memory:"} for name in ("default", "found")}},
        engines=cast("Any", {"default": engine, "found": search}),
        environment=environment,
        variables={},
        background=False,
    ) as stage:
        trips = await make(stage, time_partition=DAILY)
        await trips.write_event_records_sync(events=FLIGHTS)
        await make(stage, time_partition=DAILY, index=INDEX)
        environment.advance(10)
        engine.reads = 0
        await work(stage)
        # The first and the last of a page, of which another page may have more.
        assert engine.reads == 2
        assert await found(trips) == await found_by_reading(trips)


async def found_by_reading(series: TimeSeries) -> list[Event]:
    """All flights, the newest first."""
    events = [each for number in range(4) for each in await everything(series, f"plane{number}")]
    return sorted(events, key=lambda each: -each.event_time)


async def test_documents_go_with_their_slice(indexed: Stage, search: Flaky, environment: VirtualEnvironment) -> None:
    kept = {"close_after": "3d", "delete_after": "4d"}
    trips = await make(indexed, time_partition=DAILY, retention=kept, accept_limit="3d", index=INDEX)
    # Of these slices nothing is known yet.
    await work(indexed)
    await trips.write_event_records_sync(events=[event(NOW - day * DAY, f"f{day}") for day in range(3)])
    await work(indexed)
    environment.advance(2 * 86_400)
    count = AggregationQuery(count=EventCount())
    # Closed slices are neither shown nor counted.
    assert numbers(await found(trips)) == [0, 1]
    assert (await trips.aggregate_event_records(time_interval=ALWAYS, aggregation_query=count)).count == 2
    environment.advance(0.2 * 86_400)
    await tend(indexed)
    await work(indexed)
    (index,) = await search.indexes()
    assert len(search._indexes[index.spec.name].kept) == 2


async def test_no_document_is_left_of_a_slice_that_is_dropped_while_an_index_is_made(
    indexed: Stage, search: Flaky, environment: VirtualEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    trips = await make(indexed, time_partition=DAILY, retention={"delete_after": "2d"}, accept_limit="2d", index=INDEX)
    await trips.write_event_records_sync(events=[event(NOW - hours * H, f"f{hours}") for hours in (0, 23, 47)])
    await work(indexed)
    monkeypatch.setattr(building, "EVENTS", 1)
    await trips.rebuild_index()
    environment.advance(10)
    # The oldest of the slices was walked, and is dropped before the others are.
    assert await service_of(indexed).tend_index("trips", lambda: None)
    environment.advance(10 * 3_600)
    await tend(indexed)
    await work(indexed)
    (index,) = await search.indexes()
    assert len(search._indexes[index.spec.name].kept) == 2


async def test_a_feed_that_lost_entries_has_the_index_made_anew_once(
    indexed: Stage, search: Flaky, environment: VirtualEnvironment
) -> None:
    trips = await make(indexed, index={**INDEX, "feed_retention": "1h"})
    await work(indexed)
    await trips.write_event_records_sync(events=FLIGHTS)
    search.down = True
    environment.advance(2 * 3_600)
    log = indexed.log()
    while (await log.sweep(1_000)).more:
        pass
    for _ in range(3):
        with pytest.raises(Unavailable):
            await work(indexed)
    search.down = False
    environment.advance(10)
    await work(indexed)
    assert numbers(await found(trips)) == list(range(20))
    assert (await trips.rebuild_index()).number == 2


async def test_a_feed_that_somebody_dropped_is_made_again_and_so_is_the_index(
    indexed: Stage, flights: TimeSeries, environment: VirtualEnvironment
) -> None:
    for number in range(20, 30):
        await flights.write_event_records_sync(events=[flight(number)])
        await work(indexed)
    # Nobody has read of this one.
    await flights.write_event_records_sync(events=[flight(30)])
    (topic,) = await topics(indexed)
    await indexed.log().drop_topic(topic)
    await work(indexed)
    assert numbers(await found(flights)) == list(range(31))
    # Another topic of that name has fewer entries than were read of the one before.
    await indexed.log().drop_topic(topic)
    await flights.write_event_records_sync(events=[flight(31)])
    await work(indexed)
    assert numbers(await found(flights)) == list(range(32))
    # Another one has as many.
    await indexed.log().drop_topic(topic)
    await flights.write_event_records_sync(events=[flight(32)])
    environment.advance(10)
    await work(indexed)
    assert numbers(await found(flights)) == list(range(33))


async def test_an_index_that_was_given_up_and_is_wanted_again_has_what_was_written_meanwhile(
    indexed: Stage, flights: TimeSeries, environment: VirtualEnvironment
) -> None:
    # No process with the role lived to see it.
    await make(indexed, time_partition=DAILY)
    await flights.write_event_records_sync(events=[flight(100)])
    await make(indexed, time_partition=DAILY, index=INDEX)
    environment.advance(10)
    await work(indexed)
    assert numbers(await found(flights)) == [*range(20), 100]


async def test_a_change_of_another_knob_leaves_the_index_as_it_is(
    indexed: Stage, flights: TimeSeries, search: Flaky, environment: VirtualEnvironment
) -> None:
    before = await search.indexes()
    await make(indexed, time_partition=DAILY, index=INDEX, page_size=7)
    environment.advance(10)
    await work(indexed)
    assert await search.indexes() == before


async def test_an_index_moves_away_from_an_engine_that_is_down_and_leaves_nothing_there(
    indexed: Stage, flights: TimeSeries, search: Flaky, environment: VirtualEnvironment
) -> None:
    search.down = True
    await make(indexed, time_partition=DAILY, index={**INDEX, "engine": "other"})
    environment.advance(10)
    await work(indexed)
    await indexed.search("other").refresh((await indexed.search("other").indexes())[0].spec.name)
    assert numbers(await found(flights)) == list(range(20))
    search.down = False
    await index_namespaces(context(indexed))
    assert await search.indexes() == []
    assert len(await topics(indexed)) == 1


async def test_who_lost_the_role_writes_no_document_any_more(indexed: Stage, flights: TimeSeries) -> None:
    await flights.write_event_records_sync(events=[flight(100)])
    calls = count()

    def check() -> None:
        if next(calls) >= 2:
            raise Unavailable("the lease is lost")

    with pytest.raises(Unavailable, match="lost"):
        await service_of(indexed).tend_index("trips", check)
    assert numbers(await found(flights)) == list(range(20))


async def test_before_every_change_it_is_looked_whether_the_role_is_held(
    indexed: Stage, search: Flaky, environment: VirtualEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "BULK_ACTIONS", 1)
    monkeypatch.setattr(indexer, "STRAYS", 1)
    trips = await make(indexed, time_partition=DAILY, retention={"delete_after": "2d"}, accept_limit="2d", index=INDEX)
    await trips.write_event_records_sync(events=[event(NOW - hours * H, f"f{hours}") for hours in (0, 47)])
    await work(indexed)
    environment.advance(10 * 3_600)
    await tend(indexed)
    await trips.write_event_records_sync(events=[event(environment.now_ns(), f"new{number}") for number in range(2)])
    search.told.clear()
    assert not await service_of(indexed).tend_index("trips", lambda: search.told.append("look"))
    changes = [at for at, each in enumerate(search.told) if each == "bulk"]
    assert len(changes) == 3
    assert {search.told[at - 1] for at in changes} == {"look"}


async def test_documents_that_fill_a_call_are_told_of_in_one(
    indexed: Stage, search: Flaky, monkeypatch: pytest.MonkeyPatch
) -> None:
    trips = await make(indexed, index=INDEX)
    await work(indexed)
    four = [event(NOW, f"f{number}") for number in range(4)]
    _, _, size = Fields({}).document(four[0])
    # Two fill it, and of a third there would be room for the document alone.
    monkeypatch.setattr(documents, "BULK_BYTES", 2 * (size + documents.ACTION_BYTES) + size)
    await trips.write_event_records_sync(events=four)
    search.told.clear()
    await work(indexed)
    assert search.told == ["bulk", "bulk"]


async def test_an_index_that_was_begun_is_gone_on_with_where_it_was_by_whoever_has_the_role(
    indexed: Stage, begun: TimeSeries, search: Flaky, environment: VirtualEnvironment
) -> None:
    (left,) = [each for each in await search.indexes() if not each.aliases]
    (role,) = [role for role in ROLES if role.name == "timeseries-index"]
    with pytest.raises(Unavailable, match="lost"):
        await role.run(msgspec.structs.replace(context(indexed), lease=cast("Any", Lost())))
    service_of(indexed)._indexes._kept.clear()
    await work(indexed)
    assert numbers(await found(begun)) == list(range(20))
    assert [each.spec.name for each in await search.indexes()] == [left.spec.name]
    ((_, indexer),) = service_of(indexed)._indexes._kept.values()
    resumed = indexer.documents.made
    await begun.rebuild_index()
    environment.advance(10)
    await work(indexed)
    # Of an event that lies on two pages of the walk two documents are made.
    assert 0 < resumed < indexer.documents.made - resumed


async def test_an_index_is_gone_on_with_though_the_slice_that_it_was_at_is_dropped(
    indexed: Stage, search: Flaky, environment: VirtualEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    trips = await make(indexed, time_partition=DAILY, retention={"delete_after": "2d"}, accept_limit="2d", index=INDEX)
    await trips.write_event_records_sync(events=[event(NOW - off, f"f{off}") for off in (0, 47 * H, 47 * H - 1)])
    await work(indexed)
    monkeypatch.setattr(building, "WALK", Budget(rows=1, bytes=1 << 20))
    monkeypatch.setattr(building, "EVENTS", 1)
    await trips.rebuild_index()
    environment.advance(10)
    assert await service_of(indexed).tend_index("trips", lambda: None)
    environment.advance(6 * 3_600)
    await tend(indexed)
    service_of(indexed).rest_indexes()
    await work(indexed)
    assert numbers(await found(trips)) == [0]
    assert [each.aliases for each in await search.indexes()] != [[]]


async def test_an_index_that_is_begun_anew_has_a_name_that_none_had(
    indexed: Stage, begun: TimeSeries, search: Flaky, environment: VirtualEnvironment
) -> None:
    names = {each.spec.name for each in await search.indexes()}
    await wipe(search)
    service_of(indexed)._indexes._kept.clear()
    environment.advance(10)
    await work(indexed)
    assert numbers(await found(begun)) == list(range(20))
    (index,) = await search.indexes()
    assert index.spec.name not in names


async def test_of_however_many_closed_slices_nothing_is_counted(
    indexed: Stage, environment: VirtualEnvironment
) -> None:
    hourly = {"seconds_per_slice": "1h", "seconds_per_bucket": "1h"}
    kept = {"close_after": "150h"}
    trips = await make(indexed, time_partition=hourly, retention=kept, accept_limit="150h", index=INDEX)
    await trips.write_event_records_sync(events=[event(NOW - hours * H, f"f{hours}") for hours in range(140)])
    await work(indexed)
    environment.advance(140 * 3_600)
    count = AggregationQuery(count=EventCount())
    told = (await trips.aggregate_event_records(time_interval=ALWAYS, aggregation_query=count)).count
    assert told == len(await found(trips)) < 20


async def test_a_page_looks_at_so_many_events_and_goes_on_in_the_next(
    indexed: Stage, flights: TimeSeries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "HITS", 3)
    monkeypatch.setattr(searching, "HITS_MAX", 6)
    monkeypatch.setattr(searching, "EVENTS", 2)
    blocked = ["plane1", "plane2", "plane3", *(f"other{number}" for number in range(300))]
    await make(indexed, index=INDEX, time_partition=DAILY, blocked_ids=blocked, page_size_bytes="1KiB")
    pages = [page async for page in flights.search_event_records.pages(time_interval=ALWAYS)]
    assert [numbers(page.records) for page in pages] == [[0, 4], [8], [12, 16], []]


async def test_blocked_ids_are_neither_found_nor_counted(indexed: Stage, flights: TimeSeries) -> None:
    await make(indexed, index=INDEX, time_partition=DAILY, blocked_ids=["plane1"])
    assert [number for number in numbers(await found(flights)) if number % 4 == 1] == []
    count = AggregationQuery(count=EventCount())
    assert (await flights.aggregate_event_records(time_interval=ALWAYS, aggregation_query=count)).count == 15


async def test_a_page_token_is_of_its_search_and_its_namespace(indexed: Stage, flights: TimeSeries) -> None:
    page = await flights.search_event_records(time_interval=ALWAYS, page_size=3)
    with pytest.raises(InvalidArgument):
        await flights.search_event_records(
            time_interval=ALWAYS, page_size=3, search_query=equals("late", b"true"), page_token=page.next_page_token
        )
    await indexed.client(Namespaces).delete(name="trips")
    await make(indexed, index=INDEX)
    with pytest.raises(InvalidArgument):
        await flights.search_event_records(time_interval=ALWAYS, page_size=3, page_token=page.next_page_token)


class Lost:
    """A lease that another process has by now."""

    def check(self) -> None:
        raise Unavailable("the lease is lost")


def context(stage: Stage) -> RoleContext:
    return RoleContext(environment=stage.environment, invoker=stage, service=service_of(stage))


async def index_namespaces(context: RoleContext) -> bool:
    """All had their turn; whether more is due."""
    more = [await index_namespace(context, name) for name in service_of(cast("Stage", context.invoker)).names()]
    await clear_indexes(context)
    return any(more)


async def topics(stage: Stage) -> list[str]:
    return [each.name for each in await stage.log().topics() if each.name.startswith(TOPICS)]


async def test_a_namespace_that_is_deleted_takes_its_index_and_its_feed_along(
    indexed: Stage, flights: TimeSeries, search: Flaky
) -> None:
    assert len(await topics(indexed)) == len(await search.indexes()) == 1
    await indexed.client(Namespaces).delete(name="trips")
    await index_namespaces(context(indexed))
    assert await topics(indexed) == await search.indexes() == []


async def test_another_process_drops_what_is_left_of_a_namespace_that_was_deleted(
    indexed: Stage, flights: TimeSeries, search: Flaky, environment: VirtualEnvironment
) -> None:
    await indexed.client(Namespaces).delete(name="trips")
    service_of(indexed).rest_indexes()
    await index_namespaces(context(indexed))
    # It may be one that this process has not heard of yet.
    assert len(await topics(indexed)) == len(await search.indexes()) == 1
    environment.advance(61)
    await index_namespaces(context(indexed))
    assert await topics(indexed) == await search.indexes() == []
    assert await service_of(indexed)._indexes._register.all() == []


async def test_what_another_process_noted_is_kept_once_its_namespace_is_known(
    indexed: Stage, flights: TimeSeries, search: Flaky, environment: VirtualEnvironment
) -> None:
    service = service_of(indexed)
    service.rest_indexes()
    for _ in range(2):
        with unknown(indexed):
            await index_namespaces(context(indexed))
            environment.advance(31)
        await service.drop_indexes(lambda: None)
    assert len(await topics(indexed)) == len(await search.indexes()) == 1


async def test_what_is_left_is_dropped_only_while_the_role_is_held(
    indexed: Stage, flights: TimeSeries, search: Flaky
) -> None:
    await indexed.client(Namespaces).delete(name="trips")
    with pytest.raises(Unavailable, match="lost"):
        await service_of(indexed).drop_indexes(Lost().check)
    assert len(await topics(indexed)) == len(await search.indexes()) == 1


async def test_what_a_namespace_leaves_that_is_deleted_while_its_index_is_made_goes_too(
    indexed: Stage, search: Flaky
) -> None:
    await make(indexed, index=INDEX)
    await indexed.systems.started("timeseries")
    search.held = asyncio.Event()
    making = asyncio.ensure_future(index_namespace(context(indexed), "trips"))
    await search.waiting.wait()
    await indexed.client(Namespaces).delete(name="trips")
    await clear_indexes(context(indexed))
    search.held.set()
    await making
    await clear_indexes(context(indexed))
    assert await topics(indexed) == await search.indexes() == []
    assert await service_of(indexed)._indexes._register.all() == []


async def test_what_is_left_on_an_engine_that_is_down_is_dropped_later(
    indexed: Stage, flights: TimeSeries, search: Flaky, caplog: pytest.LogCaptureFixture
) -> None:
    await indexed.client(Namespaces).delete(name="trips")
    search.down = True
    await index_namespaces(context(indexed))
    assert "the index of a deleted namespace is left" in caplog.text
    search.down = False
    await index_namespaces(context(indexed))
    assert await topics(indexed) == await search.indexes() == []


async def test_the_index_of_a_namespace_that_cannot_be_served_is_kept(
    indexed: Stage, flights: TimeSeries, search: Flaky
) -> None:
    with unserved(indexed):
        await index_namespaces(context(indexed))
    assert len(await topics(indexed)) == len(await search.indexes()) == 1


async def test_an_index_that_is_given_up_goes(indexed: Stage, flights: TimeSeries, search: Flaky) -> None:
    await make(indexed, time_partition=DAILY)
    await index_namespaces(context(indexed))
    assert await topics(indexed) == await search.indexes() == []


class Silent(MemorySearch):
    """Does not answer."""

    async def indexes(self) -> Any:
        await asyncio.Event().wait()


def test_an_index_that_is_behind_is_told_without_a_pause_though_another_engine_is_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(following, "FEED_ENTRIES", 1)

    async def main() -> tuple[float, list[int]]:
        environment = SimulatedEnvironment(running_loop(), "behind")
        engines = {"found": MemorySearch(environment), "silent": Silent(environment)}
        config = {"engines": {name: {"url": "memory:"} for name in ("default", *engines)}}
        stage = Stage.open(
            data="memory:",
            config=config,
            engines=cast("Any", engines),
            environment=environment,
            variables={},
            background=False,
        )
        async with stage:
            await make(stage, "silent", index={**INDEX, "engine": "silent"})
            trips = await make(stage, index=INDEX)
            for number in range(20):
                await trips.write_event_records_sync(events=[flight(number)])
            (role,) = [role for role in ROLES if role.name == "timeseries-index"]
            began_ns, working = environment.monotonic_ns(), asyncio.ensure_future(role.run(context(stage)))
            while indexed_events(stage) < 20 or lag_s(stage):
                await environment.sleep(0.01)
            took_s = (environment.monotonic_ns() - began_ns) / 1e9
            working.cancel()
            with suppress(asyncio.CancelledError):
                await working
            await environment.sleep(VISIBLE_WITHIN_S)
            return took_s, numbers(await found(trips))

    took_s, answer = run(main, "behind")
    assert answer == list(range(20))
    assert took_s < 20 * INDEX_PAUSE_S / 4


def indexed_events(stage: Stage) -> float:
    return sum(each.value for each in service_of(stage).measurements() if each.name == "timeseries_index_events")


async def test_a_round_of_the_role_leaves_out_none(
    indexed: Stage,
    flights: TimeSeries,
    search: Flaky,
    environment: VirtualEnvironment,
    caplog: pytest.LogCaptureFixture,
) -> None:
    other = await make(indexed, "other", index=INDEX)
    for each in (flights, other):
        await each.write_event_records_sync(events=[flight(100)])
    search.down = True
    environment.advance(10)
    await index_namespaces(context(indexed))
    assert caplog.text.count("an index is behind") == 2
    search.down = False
    while await index_namespaces(context(indexed)):
        pass
    assert (len(await found(flights)), len(await found(other))) == (21, 1)
