"""An export that is at a slice when what that had before it was rewritten goes has every event once."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import pytest
from tests.data.timeseries.compaction.conftest import DAILY, YESTERDAY, S, flights, make, settle, slices
from tests.data.timeseries.conftest import ALWAYS, event, everything, served

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.extras import library
from soundstage.data.timeseries import TimeSeries
from soundstage.data.timeseries.api import ExportEvents
from soundstage.data.timeseries.parquet import exporting, walking
from soundstage.data.timeseries.parquet.exporting import EventsExport
from soundstage.engines.records.port import Budget
from soundstage.runtime.stage import Stage

Rewrite = Callable[[], Awaitable[None]]


class Job:
    """What a job keeps, in memory; `begin` is its next attempt."""

    def __init__(self) -> None:
        self.fence: int = 0
        self.state: bytes | None = None
        self._aside: dict[str, bytes] = {}

    def begin(self) -> Any:
        self.fence += 1
        return self

    def progress(self, *_: object) -> None:
        """Nobody looks."""

    async def checkpoint(self, state: bytes) -> None:
        self.state = state

    async def put_aside(self, name: str, data: bytes) -> None:
        assert name not in self._aside
        self._aside[name] = data

    async def read_aside(self, name: str) -> AsyncGenerator[bytes]:
        yield self._aside[name]


@pytest.fixture
async def series(plain_cold: Stage, monkeypatch: pytest.MonkeyPatch) -> TimeSeries:
    """Events in a slice of yesterday, and in one of the day before."""
    monkeypatch.setattr(walking, "_PAGE", Budget(rows=10))
    found = await flights(plain_cold, 60, accept_limit="3d")
    await found.write_event_records_sync(events=[event(YESTERDAY - at * S, f"b{at}", "id0") for at in range(1, 18)])
    await make(plain_cold, **DAILY)
    return found


def export_of(stage: Stage, job: Job) -> EventsExport:
    """The next attempt at an export of everything."""
    request = ExportEvents(namespace="trips", time_interval=ALWAYS)
    return EventsExport(lambda: served(stage), request, job.begin(), stage.environment, stage.compute.thread)


async def rows_of(export: EventsExport, job: Job) -> list[tuple[str, int, str, Any]]:
    """The rows of all parts, in order."""
    pa, found = library("pyarrow", "tables"), list[tuple[str, int, str, Any]]()
    for part in export.state.parts:
        for number in range(part.begin, part.begin + part.count):
            (data,) = [each async for each in job.read_aside(f"{part.fence}-{number:06d}")]
            table = pa.ipc.open_stream(data).read_all()
            columns = (table.column(0), table.column(1).cast("int64"), table.column(2), table.column(3))
            found += zip(*(each.to_pylist() for each in columns), strict=True)
    return sorted(found)


async def told(series: TimeSeries) -> list[tuple[str, int, str, Any]]:
    """The same, as reads show it."""
    events = [each for name in ("id0", "id1", "id2") for each in await everything(series, name)]
    return sorted(
        (
            each.time_series_id,
            int(each.event_time),
            each.event_id,
            [(item.event_item_key, item.event_item_value) for item in each.event_items],
        )
        for each in events
    )


@pytest.mark.parametrize("page", [1, 3, 8])
@pytest.mark.parametrize("group", [3, 25, 10_000])
async def test_a_slice_whose_table_goes_while_it_is_walked_is_begun_again(
    series: TimeSeries,
    plain_cold: Stage,
    environment: VirtualEnvironment,
    monkeypatch: pytest.MonkeyPatch,
    page: int,
    group: int,
) -> None:
    monkeypatch.setattr(exporting, "GROUP_ROWS", group)
    job, expected = Job(), await told(series)
    export = export_of(plain_cold, job)
    source = await export._source()
    for _ in range(page):
        await export._take(source)
        if export._rows.count >= group:
            await export._put_aside(source)
    await settle(plain_cold, environment)
    assert all(each.segments for each in await slices(series))
    await export._read(source)
    assert await rows_of(export, job) == expected
    assert (export.state.events, export.state.items) == (77, 137)


async def test_another_process_begins_the_slice_again_too(
    series: TimeSeries, plain_cold: Stage, environment: VirtualEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "GROUP_ROWS", 4)
    job, expected = Job(), await told(series)
    first = export_of(plain_cold, job)
    source = await first._source()
    for _ in range(6):
        await first._take(source)
        if first._rows.count >= 4:
            await first._put_aside(source)
            await job.checkpoint(exporting._encode(first.state))
    await settle(plain_cold, environment)
    second = export_of(plain_cold, job)
    await second._read(await second._source())
    assert await rows_of(second, job) == expected
    assert second.state.events == 77


async def test_what_came_late_and_goes_while_its_slice_is_walked_is_there_once(
    series: TimeSeries, plain_cold: Stage, environment: VirtualEnvironment
) -> None:
    await settle(plain_cold, environment)
    await make(plain_cold, **{**DAILY, "accept_limit": "9d"})
    late = [event(YESTERDAY + 1, "late", "id0"), event(YESTERDAY, "e0000", "id0", k=b"9", new=b"1")]
    await series.write_event_records_sync(events=late)
    await make(plain_cold, **DAILY)
    job, expected = Job(), await told(series)
    export = export_of(plain_cold, job)
    source = await export._source()
    assert isinstance(source, walking.Walk)
    while source.place.began is None or len(source.place.began.sources) < 2:
        await export._take(source)
    await settle(plain_cold, environment)
    await export._read(source)
    assert await rows_of(export, job) == expected
