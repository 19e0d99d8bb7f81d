"""Pages: what they hold, where they end, and how many partitions they take."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from tests.data.timeseries.conftest import (
    ALWAYS,
    DAY,
    NOW,
    H,
    OpenStage,
    S,
    between,
    event,
    everything,
    ids,
    make,
    served,
)
from tests.data.timeseries.engines import Watched

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import Forbidden, InvalidArgument
from soundstage.data.timeseries import EventFilter, TimeSeries
from soundstage.engines.records.port import Budget, Capability, Page, Span
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.stage import Stage

SPREAD = {"seconds_per_slice": "1d", "seconds_per_bucket": "1h", "event_buckets": 4}


def having(**values: bytes) -> list[EventFilter]:
    return [EventFilter(match_event_item_key=key, match_event_item_value=value) for key, value in values.items()]


@pytest.fixture
async def trips(stage: Stage) -> TimeSeries:
    """Twenty events, five hours apart, over several slices and buckets."""
    trips = await make(stage, time_partition=SPREAD)
    events = [event(NOW - number * 5 * H, f"e{number:02d}", n=b"%d" % (number % 3), k=b"v") for number in range(20)]
    await trips.write_event_records_sync(events=events)
    return trips


async def test_an_unknown_id_and_an_empty_namespace_read_as_empty(stage: Stage) -> None:
    trips = await make(stage)
    assert await everything(trips) == []
    await trips.write_event_records_sync(events=[event(NOW)])
    assert await everything(trips, "nobody") == []


async def test_the_start_of_an_interval_is_in_it_and_the_end_is_not(trips: TimeSeries) -> None:
    found = await everything(trips, interval=between(NOW - 10 * H, NOW))
    assert ids(found) == ["e01", "e02"]
    assert ids(await everything(trips, interval=between(NOW, NOW + 1))) == ["e00"]


@pytest.mark.parametrize(("start", "end"), [(NOW, NOW), (NOW + 1, NOW)])
async def test_an_interval_that_holds_no_time_is_refused(trips: TimeSeries, start: int, end: int) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await everything(trips, interval=between(start, end))
    assert refused.value.field == "time_interval"


async def test_equal_times_are_told_apart_by_their_events(stage: Stage) -> None:
    trips = await make(stage, time_partition=SPREAD)
    names = [f"e{number:03d}" for number in range(100)]
    await trips.write_event_records_sync(events=[event(NOW, name) for name in names])
    assert ids(await everything(trips, page_size=7)) == names


async def test_nanoseconds_and_a_leap_day_are_kept(stage: Stage) -> None:
    trips = await make(stage, time_partition=SPREAD)
    leap = 1_709_164_800 * S + 86_399_999_999_999 - 86_400 * S  # 2024-02-28T23:59:59.999999999Z
    times = [leap + 86_400 * S + 1, leap + 86_400 * S, leap + 1, leap]
    await make(stage, time_partition=SPREAD, accept_future="7d")
    past = [at - 366 * DAY for at in times]
    await trips.write_event_records_sync(events=[event(at, str(at)) for at in past])
    assert [each.event_time for each in await everything(trips)] == past


@pytest.mark.parametrize("page_size", [1, 3, 7, 20, 10_000])
async def test_pages_of_any_size_are_the_whole_together(trips: TimeSeries, page_size: int) -> None:
    assert ids(await everything(trips, page_size=page_size)) == [f"e{number:02d}" for number in range(20)]


async def test_the_last_full_page_has_no_token(trips: TimeSeries) -> None:
    # Older buckets, of which nobody has looked whether they hold anything, would be for the next page.
    interval = between(NOW - 95 * H, NOW + 1)
    page = await trips.read_event_records(time_series_id="ada", time_interval=interval, page_size=20)
    assert (len(page.records), page.next_page_token) == (20, None)


async def test_a_page_ends_at_its_bytes_and_holds_one_event_at_least(stage: Stage) -> None:
    trips = await make(stage, page_size_bytes="1KiB")
    await trips.write_event_records_sync(events=[event(NOW - number, str(number), k=bytes(400)) for number in range(5)])
    await trips.write_event_records_sync(events=[event(NOW - 5, "5", k=bytes(5_000))])
    pages = [page async for page in trips.read_event_records.pages(time_series_id="ada", time_interval=ALWAYS)]
    assert [ids(page.records) for page in pages if page.records] == [["0", "1"], ["2", "3"], ["4"], ["5"]]


async def test_a_limit_counts_over_all_pages(trips: TimeSeries) -> None:
    assert len(await everything(trips, page_size=3, total_record_limit=7)) == 7
    page = await trips.read_event_records(time_series_id="ada", time_interval=ALWAYS, total_record_limit=5)
    assert (len(page.records), page.next_page_token) == (5, None)


async def test_events_match_all_filters(trips: TimeSeries) -> None:
    assert ids(await everything(trips, event_filters=having(n=b"1"), page_size=2)) == ids(
        [each for each in await everything(trips) if each.event_items[1].event_item_value == b"1"]
    )
    assert len(await everything(trips, event_filters=having(n=b"2", k=b"v"))) == 6
    assert await everything(trips, event_filters=having(n=b"2", k=b"w")) == []
    assert await everything(trips, event_filters=having(other=b"")) == []


async def test_two_values_of_one_key_are_refused(trips: TimeSeries) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await everything(trips, event_filters=[*having(n=b"1"), *having(n=b"2")])
    assert refused.value.field == "event_filters[1]"
    assert len(await everything(trips, event_filters=having(n=b"1") * 2)) == 7


async def test_a_blocked_id_is_not_read(stage: Stage) -> None:
    trips = await make(stage)
    await trips.write_event_records_sync(events=[event(NOW)])
    await make(stage, blocked_ids=["ada"])
    with pytest.raises(Forbidden):
        await everything(trips)


async def test_later_pages_show_nothing_newer_and_miss_nothing_while_events_come(stage: Stage) -> None:
    trips = await make(stage, time_partition=SPREAD)
    await trips.write_event_records_sync(events=[event(NOW - number * H, f"e{number}") for number in range(10)])
    found: list[str] = []
    async for page in trips.read_event_records.pages(time_series_id="ada", time_interval=ALWAYS, page_size=2):
        found += ids(page.records)
        await trips.write_event_records_sync(events=[event(NOW + len(found), f"new{len(found)}")])
        await trips.write_event_records_sync(events=[event(NOW - 8 * H - H // 2, "late")])
    assert found == [*(f"e{number}" for number in range(9)), "late", "e9"]


async def test_a_token_goes_on_across_other_settings_and_a_restart(open_stage: OpenStage) -> None:
    stage = await open_stage("rocksdb")
    trips = await make(stage, time_partition=SPREAD)
    await trips.write_event_records_sync(events=[event(NOW - number * H, f"e{number}") for number in range(6)])
    page = await trips.read_event_records(time_series_id="ada", time_interval=ALWAYS, page_size=2)
    await make(stage, time_partition={"seconds_per_slice": "5h", "seconds_per_bucket": "5m"}, accept_limit="0s")
    await trips.write_event_records_sync(events=[event(NOW - 30 * H, "older")])
    await stage.stop()
    trips = (await stage.start()).client(TimeSeries, "trips")
    rest = await trips.read_event_records(
        time_series_id="ada", time_interval=ALWAYS, page_size=2, page_token=page.next_page_token
    )
    assert ids(rest.records) == ["e2", "e3"]


async def test_a_token_of_a_namespace_that_was_deleted_is_refused(stage: Stage) -> None:
    trips = await make(stage)
    await trips.write_event_records_sync(events=[event(NOW - number, str(number)) for number in range(3)])
    page = await trips.read_event_records(time_series_id="ada", time_interval=ALWAYS, page_size=1)
    await stage.client(Namespaces).delete(name="trips")
    await make(stage)
    with pytest.raises(InvalidArgument, match="was deleted"):
        await trips.read_event_records(
            time_series_id="ada", time_interval=ALWAYS, page_size=1, page_token=page.next_page_token
        )


async def test_a_page_that_meets_nothing_ends_and_goes_on(plain_stage: Stage) -> None:
    bucket = {"seconds_per_slice": "10d", "seconds_per_bucket": "1m"}
    trips = await make(plain_stage, time_partition=bucket, partitions_max=64)
    await trips.write_event_records_sync(events=[event(NOW, "new"), event(NOW - DAY, "old")])
    pages = [page async for page in trips.read_event_records.pages(time_series_id="ada", time_interval=ALWAYS)]
    assert [ids(page.records) for page in pages if page.records] == [["new"], ["old"]]
    assert len(pages) > 10


@pytest.mark.parametrize(
    "knobs", [{"read_bytes_max": "1KiB"}, {"partitions_max": 64, "time_partition": {**SPREAD, "event_buckets": 64}}]
)
async def test_an_event_that_takes_more_than_a_page_may_read_is_shown_whole(
    plain_stage: Stage, knobs: dict[str, Any]
) -> None:
    trips = await make(plain_stage, page_size_bytes="1KiB", **knobs)
    large = event(NOW, "large", "ada", **{f"k{number}": bytes(100_000) for number in range(5)})
    await trips.write_event_records_sync(events=[large])
    page = await trips.read_event_records(time_series_id="ada", time_interval=between(NOW, NOW + 1))
    assert page.records == [large]


async def test_a_page_that_has_nothing_at_its_objective_reads_on_until_it_has(
    open_stage: OpenStage, environment: VirtualEnvironment
) -> None:
    engine, slos = Watched(environment), {"read": {"latency": {"max": "1s"}}}
    trips = await make(await open_stage(engine), slos=slos, time_partition=SPREAD, page_size_bytes="64KiB")
    large = event(NOW, "large", "ada", **{f"k{number}": bytes(100_000) for number in range(5)})
    await trips.write_event_records_sync(events=[large, event(NOW - 1, "next")])
    past = between(0, NOW + 1)
    engine.slow = lambda _: 0.6
    page = await trips.read_event_records(time_series_id="ada", time_interval=past)
    assert page.records == [large]
    rest = await trips.read_event_records(time_series_id="ada", time_interval=past, page_token=page.next_page_token)
    assert ids(rest.records) == ["next"]


async def test_where_events_are_dense_a_page_comes_to_take_two_reads(
    open_stage: OpenStage, environment: VirtualEnvironment
) -> None:
    engine = Watched(environment)
    trips = await make(await open_stage(engine), time_partition={"seconds_per_slice": "1d", "seconds_per_bucket": "1h"})
    for hour in range(24):
        await trips.write_event_records_sync(
            events=[event(NOW - hour * H - number * S, f"{hour}/{number}") for number in range(300)]
        )
    reads: list[int] = []
    for _ in range(20):
        before = engine.reads
        await trips.read_event_records(time_series_id="ada", time_interval=between(0, NOW + 1), page_size=100)
        reads.append(engine.reads - before)
    assert reads[0] >= 8
    assert reads[-1] <= 2


class Hosted(Watched):
    """As one in another process."""

    def __init__(self, environment: VirtualEnvironment) -> None:
        super().__init__(environment)
        self.capabilities |= {Capability.HOSTED}


@pytest.mark.parametrize(("kind", "width"), [(Hosted, 64), (Watched, 63)])
async def test_where_events_are_sparse_more_are_read_at_once_and_never_more_than_the_bound(
    open_stage: OpenStage, environment: VirtualEnvironment, kind: type[Watched], width: int
) -> None:
    engine = kind(environment)
    stage = await open_stage(engine)
    trips = await make(stage, time_partition={"seconds_per_slice": "30d", "seconds_per_bucket": "1h"})
    await trips.write_event_records_sync(events=[event(NOW - day * DAY, str(day)) for day in range(20)])
    for _ in range(20):
        await everything(trips)
    assert served(stage).fan_out.width() == width


async def test_a_page_that_is_full_as_what_was_read_ends_is_learnt_of(plain_stage: Stage) -> None:
    trips = await make(plain_stage, time_partition={"seconds_per_slice": "1d", "seconds_per_bucket": "1h"}, fan_out=8)
    events = [event(NOW - number * S, f"{number}", a=b"", b=b"") for number in range(100)]
    await trips.write_event_records_sync(events=events)
    # Sixteen rows are read, of which the last two may have others behind them.
    page = await trips.read_event_records(time_series_id="ada", time_interval=between(0, NOW + 1), page_size=7)
    assert page.records == events[:7]
    assert served(plain_stage).fan_out.needed < 8


class Held(VirtualEnvironment):
    """Whoever sleeps does so until it is `over`; time has passed then."""

    def __init__(self) -> None:
        super().__init__()
        self.over: asyncio.Event = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        if seconds:
            await self.over.wait()
        await super().sleep(seconds)


class Stuck(Watched):
    """A partition of that hour is never read, and time passes when somebody tries to."""

    def __init__(self, environment: Held) -> None:
        super().__init__(environment)
        self.hour: int | None = None
        self._held = environment

    async def read(self, table: str, partition: bytes, span: Span, budget: Budget, now_us: int) -> Page:
        if table.count("/") == 2 and int.from_bytes(partition[:8], "big") - 2**63 == self.hour:
            self._held.over.set()
            await asyncio.Event().wait()
        return await super().read(table, partition, span, budget, now_us)


async def test_an_answer_may_be_partial_at_its_objective_and_is_exact_as_far_as_it_goes() -> None:
    environment = Held()
    engine, slos = Stuck(environment), {"read": {"latency": {"max": "1s"}}}
    async with Stage.open(
        data="memory:", engines={"default": engine}, environment=environment, variables={}, background=False
    ) as stage:
        trips = await make(stage, slos=slos, time_partition={"seconds_per_slice": "1d", "seconds_per_bucket": "1h"})
        await trips.write_event_records_sync(events=[event(NOW - number * H, f"e{number}") for number in range(6)])
        engine.hour = (NOW - 3 * H) % DAY // H
        page = await trips.read_event_records(time_series_id="ada", time_interval=ALWAYS, allow_partial=True)
        assert (ids(page.records), page.partial) == (["e0", "e1", "e2"], True)
        engine.hour = None
        environment.over.clear()
        rest = await trips.read_event_records(
            time_series_id="ada", time_interval=ALWAYS, allow_partial=True, page_token=page.next_page_token
        )
        assert (ids(rest.records), rest.partial, rest.next_page_token) == (["e3", "e4", "e5"], None, None)


async def test_partial_pages_of_an_event_that_takes_longer_than_the_objective_come_to_its_end(
    open_stage: OpenStage, environment: VirtualEnvironment
) -> None:
    engine, slos = Watched(environment), {"read": {"latency": {"max": "1s"}}}
    trips = await make(await open_stage(engine), slos=slos, time_partition=SPREAD, page_size_bytes="64KiB")
    large = event(NOW, "large", "ada", **{f"k{number}": bytes(100_000) for number in range(20)})
    for at in range(10):
        items = large.event_items[2 * at : 2 * at + 2]
        await trips.write_event_records_sync(events=[msgspec.structs.replace(large, event_items=items)])
    await trips.write_event_records_sync(events=[event(NOW - 1, "next")])
    engine.slow = lambda _: 0.6
    pages = [
        page
        async for page in trips.read_event_records.pages(
            time_series_id="ada", time_interval=between(NOW - H, NOW + 1), allow_partial=True
        )
    ]
    found = [each for page in pages for each in page.records]
    assert (found[0].event_items, ids(found)) == (
        sorted(large.event_items, key=lambda each: each.event_item_key),
        ["large", "next"],
    )
    # Of two that follow each other one comes farther.
    assert len(pages) <= 6
    assert pages[0].partial


@pytest.mark.parametrize("page_size_bytes", ["1KiB", "2MiB"])
async def test_a_large_event_among_many_partitions_takes_few_reads(
    open_stage: OpenStage, environment: VirtualEnvironment, page_size_bytes: str
) -> None:
    engine, buckets = Watched(environment), 64
    trips = await make(
        await open_stage(engine),
        time_partition={"seconds_per_slice": "1d", "seconds_per_bucket": "1d", "event_buckets": buckets},
        page_size_bytes=page_size_bytes,
    )
    for at in range(8):
        items = {f"k{at}{number}": bytes(500_000) for number in range(8)}
        await trips.write_event_records_sync(events=[event(NOW, "large", "ada", **items)])
    engine.reads = 0
    page = await trips.read_event_records(time_series_id="ada", time_interval=between(NOW, NOW + 1))
    assert len(page.records[0].event_items) == 64
    assert engine.reads <= buckets + 20


async def test_the_reply_tells_the_time_it_took(open_stage: OpenStage, environment: VirtualEnvironment) -> None:
    engine = Watched(environment)
    trips = await make(await open_stage(engine))
    await trips.write_event_records_sync(events=[event(NOW)])
    engine.slow = lambda _: 0.25
    page = await trips.read_event_records(time_series_id="ada", time_interval=between(NOW, NOW + 1))
    (context,) = page.response_context
    assert (context.namespace, str(context.time_taken)) == ("trips", "250ms")
