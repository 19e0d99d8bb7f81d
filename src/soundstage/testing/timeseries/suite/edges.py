"""The edges of slices, buckets, intervals and limits, where an error of one nanosecond shows."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from soundstage.core.errors import InvalidArgument
from soundstage.core.time import INT64_MAX, INT64_MIN, NS_PER_S, Instant
from soundstage.data.timeseries.api import Event, EventItem, TimeInterval
from soundstage.testing.records import OpenEngine
from soundstage.testing.timeseries.store import Store

S = NS_PER_S
H = 3_600 * S
DAY = 24 * H

DAILY: dict[str, Any] = {"seconds_per_slice": "1d", "seconds_per_bucket": "1h", "event_buckets": 2}
FIVE_HOURS: dict[str, Any] = {"seconds_per_slice": "5h", "seconds_per_bucket": "25m"}

LEAP_DAY = int(Instant.parse("2024-02-29T00:00:00Z"))
SPRING_FORWARD = int(Instant.parse("2023-03-26T01:00:00Z"))
"""When clocks in Paris went from 2 to 3: no hour is missing here."""


def event(at: int, event_id: str = "e", value: bytes = b"v", key: str = "k") -> Event:
    """Of the series `ada`, with one item."""
    items = [EventItem(event_item_key=key, event_item_value=value)]
    return Event(time_series_id="ada", event_time=Instant(at), event_id=event_id, event_items=items)


def between(start: int, end: int) -> TimeInterval:
    """From `start` on and before `end`."""
    return TimeInterval(start=Instant(start), end=Instant(end))


async def ids(store: Store, start: int = INT64_MIN, end: int = INT64_MAX, **asked: Any) -> list[str]:
    """The events of the interval, newest first."""
    pages = store.series.read_event_records.pages(time_series_id="ada", time_interval=between(start, end), **asked)
    return [each.event_id async for page in pages for each in page.records]


async def times(store: Store) -> list[int]:
    """Those of all events, newest first."""
    pages = store.series.read_event_records.pages(time_series_id="ada", time_interval=between(INT64_MIN, INT64_MAX))
    return [int(each.event_time) async for page in pages for each in page.records]


async def refusal(store: Store, events: list[Event]) -> str | None:
    """The field for which they were refused; None: they were taken."""
    try:
        await store.series.write_event_records_sync(events=events)
    except InvalidArgument as error:
        return error.field
    return None


@asynccontextmanager
async def opened(open_engine: OpenEngine, **knobs: Any) -> AsyncGenerator[Store]:
    """A store with these knobs."""
    store = Store(open_engine, "edges", knobs)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


class TimeSeriesEdges:
    """What is so on every engine at each edge. Subclass it with a fixture `open_engine`."""

    async def test_an_event_at_the_end_of_a_slice_is_in_the_next_and_shown_once(self, open_engine: OpenEngine) -> None:
        async with opened(open_engine, time_partition=DAILY) as store:
            edge = store.now_ns // DAY * DAY
            await store.series.write_event_records_sync(events=[event(edge + each, f"{each}") for each in (-1, 0, 1)])
            first, second = await store.slices()
            assert (first.end, second.start) == (edge, edge)
            assert await ids(store) == ["1", "0", "-1"]
            assert await ids(store, edge, edge + 1) == ["0"]
            assert await ids(store, edge - 1, edge) == ["-1"]

    async def test_an_event_at_the_edge_of_a_bucket_is_shown_once_by_whole_pages_and_small_ones(
        self, open_engine: OpenEngine
    ) -> None:
        async with opened(open_engine, time_partition=DAILY) as store:
            edge = store.now_ns // H * H
            events = [event(edge - hours * H + off, f"{hours}/{off}") for hours in range(3) for off in (-1, 0, 1)]
            await store.series.write_event_records_sync(events=events)
            expected = [f"{hours}/{off}" for hours in range(3) for off in (1, 0, -1)]
            for page_size in (1, 2, 100):
                assert await ids(store, page_size=page_size) == expected

    async def test_a_leap_day_and_the_hour_that_summer_time_skips_are_like_any_other(
        self, open_engine: OpenEngine
    ) -> None:
        async with opened(open_engine, time_partition=DAILY) as store:
            store.environment.skew((LEAP_DAY + 2 * DAY - store.now_ns) / 1e9)
            told = [LEAP_DAY + DAY, LEAP_DAY + DAY - 1, LEAP_DAY, LEAP_DAY - 1, SPRING_FORWARD + 1, SPRING_FORWARD]
            await store.series.write_event_records_sync(events=[event(at) for at in told])
            assert await times(store) == told
            starts = [str(each.start)[:10] for each in await store.slices()]
            assert starts == ["2023-03-26", "2024-02-28", "2024-02-29", "2024-03-01"]

    async def test_nanoseconds_are_kept_and_told_apart(self, open_engine: OpenEngine) -> None:
        async with opened(open_engine, time_partition=DAILY) as store:
            at = store.now_ns + 123_456_789
            await store.series.write_event_records_sync(events=[event(at + off, f"{off}") for off in range(3)])
            assert await times(store) == [at + 2, at + 1, at]
            assert await ids(store, at + 1, at + 2) == ["1"]

    async def test_equal_times_are_told_apart_by_their_events_whatever_bucket_they_lie_in(
        self, open_engine: OpenEngine
    ) -> None:
        async with opened(open_engine, time_partition={**DAILY, "event_buckets": 7}) as store:
            names = [f"e{number:02d}" for number in range(30)]
            await store.series.write_event_records_sync(events=[event(store.now_ns, name) for name in reversed(names)])
            assert await ids(store, page_size=4) == names

    async def test_the_first_and_the_last_instant_that_there_is_are_kept(self, open_engine: OpenEngine) -> None:
        async with opened(open_engine, time_partition=DAILY) as store:
            store.environment.skew((INT64_MAX - store.now_ns) / 1e9 - 3_600)
            last = store.now_ns
            await store.series.write_event_records_sync(events=[event(INT64_MIN, "first"), event(last, "last")])
            assert await ids(store) == ["last", "first"]

    async def test_an_interval_that_holds_no_time_is_refused(self, open_engine: OpenEngine) -> None:
        async with opened(open_engine) as store:
            for start, end in ((5, 5), (6, 5)):
                with pytest.raises(InvalidArgument) as refused:
                    await ids(store, start, end)
                assert refused.value.field == "time_interval"

    async def test_late_and_early_are_told_to_the_nanosecond(self, open_engine: OpenEngine) -> None:
        async with opened(open_engine, accept_limit="4h", accept_future="10s", time_partition=DAILY) as store:
            now_ns = store.now_ns
            assert await refusal(store, [event(now_ns - 4 * H), event(now_ns + 10 * S)]) is None
            assert await refusal(store, [event(now_ns), event(now_ns - 4 * H - 1)]) == "events[1].event_time"
            assert await refusal(store, [event(now_ns + 10 * S + 1)]) == "events[0].event_time"
            assert await times(store) == [now_ns + 10 * S, now_ns - 4 * H]

    async def test_a_late_retry_of_what_was_taken_is_a_success_and_of_anything_else_is_not(
        self, open_engine: OpenEngine
    ) -> None:
        async with opened(open_engine, accept_limit="10m", time_partition=DAILY) as store:
            first = event(store.now_ns, value=b"2")
            assert await refusal(store, [first]) is None
            store.environment.advance(3_600)
            assert await refusal(store, [event(store.now_ns, "new"), first]) is None
            for other in (event(int(first.event_time), "other"), event(int(first.event_time), value=b"3")):
                assert await refusal(store, [event(store.now_ns, "not stored"), other]) == "events[1].event_time"
            assert await ids(store) == ["new", "e"]

    async def test_a_limit_wider_than_a_slice_lets_events_into_ones_that_have_ended(
        self, open_engine: OpenEngine
    ) -> None:
        async with opened(open_engine, accept_limit="20h", time_partition=FIVE_HOURS) as store:
            now_ns = store.now_ns
            assert await refusal(store, [event(now_ns - hours * H, f"{hours}") for hours in (0, 6, 12, 20)]) is None
            assert await ids(store) == ["0", "6", "12", "20"]
            assert len(await store.slices()) == 4

    async def test_a_narrower_width_counts_for_slices_to_come_and_all_is_read(self, open_engine: OpenEngine) -> None:
        async with opened(open_engine, time_partition=DAILY) as store:
            day = store.now_ns // DAY * DAY
            assert await refusal(store, [event(day, "old")]) is None
            await store.configure({"time_partition": FIVE_HOURS})
            assert await refusal(store, [event(day + H, "same"), event(day - 1, "narrow")]) is None
            narrow, wide = await store.slices()
            assert (wide.end - wide.start, narrow.end) == (DAY, day)
            assert narrow.end - narrow.start <= 5 * H
            assert await ids(store) == ["same", "old", "narrow"]

    async def test_what_is_kept_for_ever_lies_in_one_slice_that_is_never_dropped(self, open_engine: OpenEngine) -> None:
        async with opened(open_engine) as store:
            assert await refusal(store, [event(store.now_ns - 3_650 * DAY, "old"), event(store.now_ns, "new")]) is None
            store.environment.advance(10 * 365 * 86_400.0)
            await store.tend()
            assert await ids(store) == ["new", "old"]
            assert [each.deleted_at for each in await store.slices()] == [None]

    async def test_knobs_that_contradict_each_other_are_refused_and_change_nothing(
        self, open_engine: OpenEngine
    ) -> None:
        async with opened(open_engine, time_partition=DAILY) as store:
            assert await refusal(store, [event(store.now_ns)]) is None
            for knobs, field in (
                ({"retention": {"close_after": "2d", "delete_after": "1d"}}, "retention.delete_after"),
                ({"retention": {"close_after": "1h"}, "accept_limit": "2h"}, "accept_limit"),
                ({"time_partition": {"seconds_per_slice": "1ms"}}, "time_partition.seconds_per_slice"),
                ({"time_partition": {**FIVE_HOURS, "seconds_per_bucket": "6h"}}, "time_partition.seconds_per_bucket"),
            ):
                with pytest.raises(InvalidArgument) as refused:
                    await store.configure(knobs)
                assert refused.value.field == f"namespace.config.{field}"
            assert await ids(store) == ["e"]

    async def test_retention_is_changed_live_and_revives_nothing_that_is_gone(self, open_engine: OpenEngine) -> None:
        kept: dict[str, Any] = {"time_partition": DAILY, "accept_limit": "2d"}
        async with opened(open_engine, **kept, retention={"close_after": "2d", "delete_after": "2d"}) as store:
            day = store.now_ns // DAY * DAY
            assert await refusal(store, [event(day - 1, "gone"), event(day, "kept")]) is None
            store.environment.advance((day + 2 * DAY + H - store.now_ns) / 1e9)
            assert await ids(store) == ["kept"]
            await store.tend()
            assert int((await store.slices())[0].start) == day
            await store.configure({**kept, "retention": {"close_after": "30d", "delete_after": "30d"}})
            store.environment.advance(5 * 86_400.0)
            await store.tend()
            assert await ids(store) == ["kept"]
            await store.configure({**kept, "retention": {"close_after": "2d", "delete_after": "2d"}})
            await store.tend()
            assert await ids(store) == []
