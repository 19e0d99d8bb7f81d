"""What reads cost, what is left of them when a partition does not answer, and the pace of queues, in real time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from itertools import count as endless
from typing import cast

import pytest
from tests.data.timeseries.conftest import DAY, NOW, H, S, between, event, everything, ids, make, served
from tests.data.timeseries.engines import Around

from soundstage.core.environment import SystemEnvironment
from soundstage.data.timeseries import Event, TimeSeries
from soundstage.engines.records.port import Records
from soundstage.runtime.stage import Stage

HOURLY = {"seconds_per_slice": "1d", "seconds_per_bucket": "1h"}
PACE = 100
"""Events of a second."""

OBJECTIVE = {"read": {"latency": {"max": "500ms"}}}
PAST_DAY = between(NOW - DAY, NOW + 1)


def hour_of(partition: bytes) -> int:
    """The bucket that a partition is of."""
    return int.from_bytes(partition[:8], "big") - 2**63


async def until(holds: Callable[[], bool]) -> None:
    """It came true."""
    async with asyncio.timeout(120):
        for _ in endless():
            if holds():
                return
            await asyncio.sleep(0.02)


async def partial_pages(trips: TimeSeries, token: str | None) -> list[Event]:
    """What all pages from there on have, each as far as it came."""
    found = list[Event]()
    while True:
        page = await trips.read_event_records(
            time_series_id="ada", time_interval=PAST_DAY, allow_partial=True, page_token=token
        )
        found, token = found + page.records, page.next_page_token
        if token is None:
            return found


class RealTime:
    """Subclass it with a fixture `around`, the engine under test."""

    @pytest.fixture
    async def stage(self, around: Around) -> AsyncIterator[Stage]:
        stage = Stage.open(
            data="memory:",
            config={"engines": {"default": {"url": "memory:"}}},
            engines={"default": cast("Records", around)},
            environment=SystemEnvironment(),
            variables={},
            background=False,
        )
        async with stage:
            yield stage

    async def test_a_partial_page_is_exact_as_far_as_it_goes_and_its_token_goes_on(
        self, stage: Stage, around: Around
    ) -> None:
        trips = await make(stage, slos=OBJECTIVE, time_partition=HOURLY)
        events = [event(NOW - number * H, f"e{number}") for number in range(12)]
        await trips.write_event_records_sync(events=events)
        stuck = (NOW - 7 * H) % DAY // H
        around.hangs = lambda partition: hour_of(partition) == stuck
        page = await trips.read_event_records(time_series_id="ada", time_interval=PAST_DAY, allow_partial=True)
        assert page.partial
        assert page.records == events[:7][: len(page.records)]
        around.hangs = lambda _: False
        assert page.records + await partial_pages(trips, page.next_page_token) == events

    async def test_where_events_are_dense_a_page_comes_to_take_two_reads(self, stage: Stage, around: Around) -> None:
        trips = await make(stage, time_partition=HOURLY)
        for hour in range(10):
            await trips.write_event_records_sync(
                events=[event(NOW - hour * H - number * S, f"{hour}/{number}") for number in range(120)]
            )
        reads = list[int]()
        for _ in range(20):
            before = around.reads
            page = await trips.read_event_records(time_series_id="ada", time_interval=PAST_DAY, page_size=100)
            assert len(page.records) == 100
            reads.append(around.reads - before)
        assert reads[0] >= 8
        assert reads[-1] <= 2

    async def test_a_burst_is_stored_at_the_steady_pace_and_none_of_it_is_lost(self, stage: Stage) -> None:
        pace = {"coalesce": "100ms", "drain_per_second": PACE}
        trips = await make(stage, time_partition=HOURLY, queue_buffering=pace)
        await trips.write_event_records_sync(events=[event(NOW, "first")])
        began_ns, queue = stage.environment.monotonic_ns(), served(stage).buffer
        for number in range(10):
            await trips.write_event_records(events=[event(NOW - one * S, f"{number}") for one in range(PACE)])
        await trips.write_event_records_sync(events=[event(NOW, "sync")])
        page = await trips.read_event_records(time_series_id="ada", time_interval=between(NOW, NOW + 1))
        assert "sync" in ids(page.records)
        await until(lambda: queue.drained >= PACE)
        stored, took_s = queue.drained, (stage.environment.monotonic_ns() - began_ns) / 1e9
        assert stored <= 1.5 * PACE * (took_s + 0.1)
        await make(stage, time_partition=HOURLY, queue_buffering={"coalesce": "1ms", "drain_per_second": 100_000})
        await until(lambda: not queue.events)
        assert len(await everything(trips)) == 10 * PACE + 2
