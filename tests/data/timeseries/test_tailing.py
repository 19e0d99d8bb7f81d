"""An id is followed live: each event once and soon, by reads or by the feed, and ever more seldom where none come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from itertools import pairwise
from typing import Any

import pytest
from tests.data.timeseries.conftest import NOW, OpenStage, S, event, make, served
from tests.data.timeseries.engines import Watched

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import Exhausted, Forbidden, InvalidArgument, NotFound
from soundstage.core.time import Instant
from soundstage.data.timeseries import Event, TimeSeries, tailing
from soundstage.data.timeseries.api import TailedEvent
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.stage import Stage

EVER = Instant(0)


async def shown(trips: TimeSeries, count: int, **asked: Any) -> list[str]:
    async with aclosing(trips.tail(time_series_id="ada", **asked)) as messages:
        return [(await anext(messages)).event.event_id for _ in range(count)]


async def begun(messages: AsyncGenerator[TailedEvent]) -> asyncio.Task[TailedEvent]:
    """The wait for the next event, which has begun."""
    coming = asyncio.ensure_future(anext(messages))
    for _ in range(100):
        await asyncio.sleep(0)
    return coming


@pytest.fixture(params=[False, True], ids=["by reads", "by the feed"])
async def trips(request: pytest.FixtureRequest, plain_stage: Stage) -> TimeSeries:
    return await make(plain_stage, watch=request.param)


async def test_events_since_then_come_first_the_oldest_first(trips: TimeSeries) -> None:
    await trips.write_event_records_sync(events=[event(NOW - number * S, f"e{number}") for number in range(5)])
    assert await shown(trips, 3, since=Instant(NOW - 2 * S)) == ["e2", "e1", "e0"]


async def test_an_event_is_shown_soon_after_it_is_written(trips: TimeSeries, environment: VirtualEnvironment) -> None:
    await trips.write_event_records_sync(events=[event(NOW - S, "before")])
    async with aclosing(trips.tail(time_series_id="ada")) as messages:
        coming = await begun(messages)
        await trips.write_event_records_sync(events=[event(NOW + S, "other", "eve"), event(NOW + S, "new")])
        began = environment.monotonic_ns()
        assert (await coming).event.event_id == "new"
        assert environment.monotonic_ns() - began <= tailing.PAUSE_MAX_S * S


async def test_one_that_comes_late_is_shown_and_none_twice(trips: TimeSeries) -> None:
    await trips.write_event_records_sync(events=[event(NOW, "first")])
    async with aclosing(trips.tail(time_series_id="ada", since=EVER)) as messages:
        assert (await anext(messages)).event.event_id == "first"
        await trips.write_event_records_sync(events=[event(NOW - 5 * S, "late"), event(NOW, "first")])
        assert (await anext(messages)).event.event_id == "late"
        await trips.write_event_records_sync(events=[event(NOW + S, "next")])
        assert (await anext(messages)).event.event_id == "next"


async def test_one_that_is_ahead_of_its_time_hides_none(plain_stage: Stage) -> None:
    trips = await make(plain_stage, accept_future="1h")
    await trips.write_event_records_sync(events=[event(NOW + 1_800 * S, "ahead")])
    async with aclosing(trips.tail(time_series_id="ada", since=EVER)) as messages:
        assert (await anext(messages)).event.event_id == "ahead"
        await trips.write_event_records_sync(events=[event(NOW + S, "in time")])
        coming = await begun(messages)
        coming.cancel()
        (shown_next,) = await asyncio.gather(coming, return_exceptions=True)
    assert isinstance(shown_next, TailedEvent)
    assert shown_next.event.event_id == "in time"


async def test_it_goes_on_at_a_cursor(trips: TimeSeries) -> None:
    await trips.write_event_records_sync(events=[event(NOW + number * S, f"e{number}") for number in range(4)])
    async with aclosing(trips.tail(time_series_id="ada", since=EVER)) as messages:
        cursors = [(await anext(messages)).cursor for _ in range(4)]
    assert await shown(trips, 2, cursor=cursors[2]) == ["e2", "e3"]


@pytest.mark.parametrize("cursor", ["", "x", "1.0", "+5", "0" * 30 + "1"])
async def test_another_feed_s_cursor_is_refused(trips: TimeSeries, cursor: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await shown(trips, 1, cursor=cursor)
    assert refused.value.field == "cursor"


async def test_more_than_a_look_may_have_is_refused(trips: TimeSeries, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tailing, "EVENTS_MAX", 3)
    await trips.write_event_records_sync(events=[event(NOW - number * S, f"e{number}") for number in range(5)])
    assert len(await shown(trips, 3, since=Instant(NOW - 2 * S))) == 3
    with pytest.raises(Exhausted) as refused:
        await shown(trips, 1, since=EVER)
    assert refused.value.field == "since"


async def test_more_bytes_than_a_look_may_have_are_refused(trips: TimeSeries, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tailing, "BYTES_MAX", 4_000)
    events = [event(NOW - number * S, f"e{number}", k=b"x" * 1_000) for number in range(5)]
    await trips.write_event_records_sync(events=events)
    assert len(await shown(trips, 4, since=Instant(NOW - 3 * S))) == 4
    with pytest.raises(Exhausted) as refused:
        await shown(trips, 1, since=EVER)
    assert refused.value.field == "since"


async def test_a_blocked_id_is_not_followed(plain_stage: Stage) -> None:
    trips = await make(plain_stage, blocked_ids=["ada"])
    with pytest.raises(Forbidden):
        await shown(trips, 1)


async def test_one_who_follows_hears_that_the_namespace_was_deleted(plain_stage: Stage, trips: TimeSeries) -> None:
    async with aclosing(trips.tail(time_series_id="ada")) as messages:
        coming = await begun(messages)
        await plain_stage.client(Namespaces).delete(name="trips")
        with pytest.raises(NotFound):
            await coming


async def test_what_others_write_makes_it_look_no_more_often(
    plain_stage: Stage, environment: VirtualEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    trips = await make(plain_stage, watch=True, watch_partitions=1)
    await trips.write_event_records_sync(events=[event(NOW, "e", "eve")])
    changes = served(plain_stage).changes
    assert changes is not None
    looks, look = list[int](), tailing.Tailing._look

    async def noted(self: tailing.Tailing, start_ns: int) -> list[Event]:
        looks.append(environment.monotonic_ns())
        return await look(self, start_ns)

    async def there_is_more(*_: Any) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr(await changes.open(), "wait", there_is_more)
    monkeypatch.setattr(tailing.Tailing, "_look", noted)
    async with aclosing(trips.tail(time_series_id="ada")) as messages:
        coming = await begun(messages)
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)
    assert len(looks) > 5
    assert min(later - before for before, later in pairwise(looks)) >= tailing.PAUSE_S * S


async def test_where_nothing_comes_it_looks_ever_more_seldom(
    open_stage: OpenStage, environment: VirtualEnvironment
) -> None:
    engine = Watched(environment)
    stage = await open_stage(engine)
    trips = await make(stage)
    await trips.write_event_records_sync(events=[event(NOW, "e")])
    async with aclosing(trips.tail(time_series_id="ada", since=Instant(NOW + S))) as messages:
        before = engine.reads
        coming = asyncio.ensure_future(anext(messages))
        until = environment.monotonic_ns() + 60 * S
        while environment.monotonic_ns() < until:
            await environment.sleep(1)
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)
    assert 5 < engine.reads - before < 25


async def test_what_was_shown_is_read_again_once_a_second_and_not_by_every_look(
    plain_stage: Stage, environment: VirtualEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    trips = await make(plain_stage)
    starts, look = list[tuple[int, int]](), tailing.Tailing._look

    async def noted(self: tailing.Tailing, start_ns: int) -> list[Event]:
        # Something comes before every look.
        now_ns = environment.now_ns()
        await trips.write_event_records_sync(events=[event(now_ns, f"e{now_ns}")])
        starts.append((environment.monotonic_ns(), now_ns - start_ns))
        return await look(self, start_ns)

    monkeypatch.setattr(tailing.Tailing, "_look", noted)
    async with aclosing(trips.tail(time_series_id="ada", since=Instant(NOW))) as messages:
        for _ in range(100):
            await anext(messages)
    late = [at for at, behind in starts if behind > S and at > 11 * S]
    assert 5 <= len(late) <= 10
    assert min(later - before for before, later in pairwise(late)) >= tailing.BACK_NS
    assert all(behind >= tailing.BEHIND_NS for at, behind in starts if at in late)


async def test_one_that_comes_late_right_behind_a_look_back_waits_for_the_next_and_no_longer(
    plain_stage: Stage, environment: VirtualEnvironment
) -> None:
    trips = await make(plain_stage, watch=True)
    await trips.write_event_records_sync(events=[event(NOW, "first")])
    async with aclosing(trips.tail(time_series_id="ada", since=EVER)) as messages:
        assert (await anext(messages)).event.event_id == "first"
        await trips.write_event_records_sync(events=[event(NOW - 5 * S, "late")])
        began = environment.monotonic_ns()
        assert (await anext(messages)).event.event_id == "late"
        assert environment.monotonic_ns() - began <= tailing.BACK_NS + tailing.PAUSE_S * S


async def test_one_that_is_as_late_as_may_be_is_shown_though_a_look_back_is_a_second_off(
    plain_stage: Stage, environment: VirtualEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    trips = await make(plain_stage)
    looks, look = 0, tailing.Tailing._look

    async def noted(self: tailing.Tailing, start_ns: int) -> list[Event]:
        nonlocal looks
        looks += 1
        now_ns = environment.now_ns()
        # Before each look, as late as may be, besides one that is new: the next look back begins behind those.
        await trips.write_event_records_sync(
            events=[event(self._come_ns - tailing.BEHIND_NS, f"late{looks}"), event(now_ns, f"e{looks}")]
        )
        return await look(self, start_ns)

    monkeypatch.setattr(tailing.Tailing, "_look", noted)
    seen = set[str]()
    async with aclosing(trips.tail(time_series_id="ada", since=Instant(NOW - 60 * S))) as messages:
        while looks < 60:
            seen.add((await anext(messages)).event.event_id)
    assert {f"late{number}" for number in range(2, 50)} <= seen
