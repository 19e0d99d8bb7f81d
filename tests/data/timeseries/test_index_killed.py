"""A server that is killed while it makes an index: the next one goes on where that was."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Awaitable, Callable
from itertools import count as endless
from pathlib import Path

import pytest
from tests.data.timeseries.conftest import ALWAYS, NOW, event
from tests.data.timeseries.held_index import EVENTS

from soundstage.client import connect
from soundstage.core.errors import SoundstageError
from soundstage.data.timeseries import AggregationQuery, EventCount, TimeSeries
from soundstage.engines.search.tantivy.catalogue import FILE
from soundstage.testing.crash.process import StageProcess

pytestmark = pytest.mark.slow

WITHIN_S = 120
COUNT = 300
PARTS = 8
PROGRAM = (sys.executable, "-m", "tests.data.timeseries.held_index")

STAGE = """
[engines.found]
url = "tantivy://{folder}/found"

[namespaces.trips]
abstraction = "timeseries"

[namespaces.trips.config]
time_partition = {{ seconds_per_slice = "1d", seconds_per_bucket = "1h" }}

[namespaces.trips.config.index]
engine = "found"
fields = {{ carrier = "keyword" }}
"""


@pytest.fixture
def stage_file(tmp_path: Path) -> Path:
    file = tmp_path / "stage.toml"
    file.write_text(STAGE.format(folder=tmp_path))
    return file


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(WITHIN_S):
        for _ in endless():
            if await holds():
                return
            await asyncio.sleep(0.02)


async def count(series: TimeSeries) -> int:
    """How many events the index has; none while there is no index."""
    asked = AggregationQuery(count=EventCount())
    try:
        return (await series.aggregate_event_records(time_interval=ALWAYS, aggregation_query=asked)).count
    except SoundstageError:
        return 0


async def counted(series: TimeSeries, expected: int) -> None:
    async def holds() -> bool:
        return await count(series) == expected

    await until(holds)


def names(folder: Path) -> set[str]:
    """The indexes that the engine has."""
    return set(json.loads((folder / "found" / FILE).read_text())["indexes"])


def is_alone(folder: Path) -> bool:
    return len(names(folder)) == 1


async def metric(url: str, name: str) -> float:
    """A metric of the index, as the server tells it; 0 before there is one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1].strip("/")))
    writer.write(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")
    text = (await reader.read()).decode()
    writer.close()
    found = re.search(rf"^soundstage_timeseries_index_{name}{{[^}}]*}} (\S+)$", text, re.MULTILINE)
    return 0.0 if found is None else float(found[1])


async def test_an_index_is_made_on_where_a_killed_server_was(tmp_path: Path, stage_file: Path) -> None:
    data, held = tmp_path / "data", tmp_path / "held"
    variables = {"HELD_PARTS": str(PARTS), "HELD_FILE": str(held)}
    with StageProcess(data, stage_file=stage_file, variables=variables, program=PROGRAM) as server:
        async with connect(server.url) as connection:
            trips = connection.client(TimeSeries, "trips")
            events = [event(NOW - number * 60 * 10**9, f"e{number}", carrier=b"UA") for number in range(COUNT)]
            await trips.write_event_records_sync(events=events)
            await counted(trips, COUNT)
            assert (await trips.rebuild_index()).number == 1
            await until(lambda: asyncio.to_thread(held.exists))
            begun = names(tmp_path)
        server.kill()
    with StageProcess(data, stage_file=stage_file, program=PROGRAM) as server:
        async with connect(server.url) as connection:
            trips = connection.client(TimeSeries, "trips")
            # What is written meanwhile is in it too.
            await trips.write_event_records_sync(events=[event(NOW, "last", carrier=b"B6")])
            await until(lambda: asyncio.to_thread(is_alone, tmp_path))
            await counted(trips, COUNT + 1)
        assert names(tmp_path) == {max(begun)}
        made = await metric(server.url, "events_total")
    # Of an event that lies on two pages of the walk two documents are made, and of the feed some again.
    assert 0 < made <= COUNT - PARTS * EVENTS + COUNT // 3
