"""An index that is made of slices whose events lie in segments, or in segments and a table."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.data.timeseries.compaction.conftest import DAILY, YESTERDAY, flights, settle, slices
from tests.data.timeseries.conftest import event, everything, make
from tests.data.timeseries.test_index import equals, found, work

from soundstage.core.environment import VirtualEnvironment
from soundstage.data.timeseries import Event, TimeSeries
from soundstage.data.timeseries.index import building
from soundstage.engines.records.port import Budget
from soundstage.runtime.stage import Stage

INDEXED: dict[str, Any] = {"index": {"engine": "found", "fields": {"k": "keyword"}}}


@pytest.fixture
async def stage(environment: VirtualEnvironment) -> AsyncIterator[Stage]:
    stage = Stage.open(
        data="memory:",
        config={"engines": {name: {"url": "memory:"} for name in ("default", "cold", "found")}},
        environment=environment,
        variables={},
        background=False,
    )
    async with stage:
        yield stage


async def all_read(series: TimeSeries) -> list[Event]:
    """The events of all ids, as they are searched."""
    events = [each for number in range(3) for each in await everything(series, f"id{number}")]
    return sorted(events, key=lambda each: (-each.event_time, each.time_series_id, each.event_id))


async def made_anew(stage: Stage, series: TimeSeries, environment: VirtualEnvironment) -> list[Event]:
    """What an index that was just made finds."""
    await series.rebuild_index()
    environment.advance(10)
    await work(stage)
    environment.advance(10)
    return await found(series)


@pytest.mark.parametrize("rows", [5, 4_000])
async def test_an_index_that_is_made_of_segments_has_every_event_with_all_that_came_late(
    stage: Stage, environment: VirtualEnvironment, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr(building, "WALK", Budget(rows=rows, bytes=1 << 20))
    trips = await flights(stage, 100, **INDEXED)
    await settle(stage, environment)
    (before,) = await slices(trips)
    assert before.segments
    assert await made_anew(stage, trips, environment) == await all_read(trips)
    await make(stage, **{**DAILY, **INDEXED, "accept_limit": "3d"})
    late = [event(YESTERDAY, "e0000", "id0", k=b"z"), event(YESTERDAY + 1, "new", "id1", k=b"z")]
    await trips.write_event_records_sync(events=late)
    # The index that is made anew is told of nothing any more.
    await work(stage)
    (after,) = await slices(trips)
    assert after.late
    answer = await made_anew(stage, trips, environment)
    assert answer == await all_read(trips)
    # Of two values the greater stays, and the rest of its event is there too.
    assert [(each.event_id, len(each.event_items)) for each in await found(trips, equals("k", b"z"))] == [
        ("new", 1),
        ("e0000", 2),
    ]
