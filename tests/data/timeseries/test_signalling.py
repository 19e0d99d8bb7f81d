"""What a namespace of time series tells its clients, and that a late read of theirs is sent a second time."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest
from tests.client.conftest import Meet, meet
from tests.client.stand_in import FarEnd, reply
from tests.data.timeseries.conftest import ALWAYS, NOW, OpenStage, event, make, served

from soundstage.client import Settings
from soundstage.core.attunement import SIGNALS_HEADER, Hedging, Signals
from soundstage.core.errors import NotFound
from soundstage.core.message import Duration
from soundstage.core.namespace import LatencyObjective, Objective
from soundstage.core.policy import HEDGE_SHARE_MAX
from soundstage.data.timeseries import ReadEventRecordsReply, TimeSeries, WriteEventRecordsReply
from soundstage.data.timeseries.api.signals import TimeSeriesHandshakeReply, TimeSeriesSignals
from soundstage.runtime.stage import Stage

__all__ = ["meet"]

TARGET = LatencyObjective(target=Duration.parse("50ms"))
READS = {"read_event_records": Objective(latency=TARGET)}
EARNING = round(1 / HEDGE_SHARE_MAX)
"""Calls that were answered at once, which earn one that is sent twice."""


async def signals(series: TimeSeries) -> TimeSeriesSignals:
    return (await series.handshake()).signals


async def test_objectives_hedging_and_pages_are_told(plain_stage: Stage) -> None:
    slos = {"read": Objective(latency=TARGET)}
    told = await signals(await make(plain_stage, slos=slos, hedging={"after": "p95", "writes": True}, page_size=7))
    assert told.slos["read_event_records"] == told.slos["search_event_records"] == TARGET
    assert "write_event_records" not in told.slos
    assert (told.hedging, told.page_size, told.page_size_bytes) == (Hedging(after="p95", writes=True), 7, 2 << 20)


async def test_the_version_is_another_when_something_changes_and_the_same_in_every_process(
    open_stage: OpenStage,
) -> None:
    first, second = await open_stage(), await open_stage()
    before = await signals(await make(first))
    assert await signals(await make(second, "others")) == before
    assert (await signals(await make(first, page_size=9))).version != before.version


async def test_a_namespace_that_is_not_there_is_not_found(plain_stage: Stage) -> None:
    with pytest.raises(NotFound):
        await signals(plain_stage.client(TimeSeries, "nobody"))


@pytest.mark.parametrize(
    ("slos", "hedging", "announced"),
    [
        (None, {}, False),
        (READS, {}, True),
        (READS, {"after": "never"}, False),
        (None, {"after": "p95"}, True),
    ],
)
async def test_a_version_goes_out_with_replies_where_a_client_that_does_not_ask_misses_something(
    plain_stage: Stage, slos: Any, hedging: Any, announced: bool
) -> None:
    trips = await make(plain_stage, slos=slos, hedging=hedging)
    await trips.write_event_records_sync(events=[event(NOW)])
    assert bool(served(plain_stage).announced) is announced


class Server(FarEnd):
    """Tells its signals when asked, and their version with every other reply; one call of each `slow` kind hangs."""

    def __init__(self, told: Signals) -> None:
        super().__init__()
        self.told = told
        self.slow: set[str] = set()
        self.hedged = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        name = request.url.path.rpartition("/")[2]
        if name == "handshake":
            assert isinstance(self.told, TimeSeriesSignals)
            return await reply(TimeSeriesHandshakeReply(signals=self.told))(request)
        if name in self.slow:
            self.slow.discard(name)
            await asyncio.Event().wait()
        read = ReadEventRecordsReply(records=[], response_context=[])
        answer = await reply(read if name == "read_event_records" else WriteEventRecordsReply(response_context=[]))(
            request
        )
        answer.headers[SIGNALS_HEADER] = self.told.version
        return answer

    def calls(self, name: str) -> int:
        return sum(request.url.path.endswith(f"/{name}") for request in self.requests)


@pytest.mark.parametrize(
    ("call", "writes", "sent"),
    [
        ("read_event_records", False, 2),
        ("write_event_records_sync", False, 1),
        ("write_event_records_sync", True, 2),
        ("write_event_records", True, 1),
    ],
)
async def test_a_late_call_is_sent_a_second_time_as_the_namespace_wants_it(
    meet: Meet, call: str, writes: bool, sent: int
) -> None:
    slos = {"read_event_records": TARGET, "write_event_records_sync": TARGET, "write_event_records": TARGET}
    told = TimeSeriesSignals(
        version="v1",
        hold=Duration.parse("60s"),
        slos=slos,
        hedging=Hedging(writes=writes),
        page_size=1,
        page_size_bytes=1,
    )
    connection, _ = meet(settings=Settings())
    far = connection._transport = Server(told)
    trips = connection.client(TimeSeries, "trips")

    async def once() -> None:
        if call == "read_event_records":
            await trips.read_event_records(time_series_id="ada", time_interval=ALWAYS)
        else:
            await getattr(trips, call)(events=[event(NOW)])

    for _ in range(EARNING + 2):
        await once()
    before = far.calls(call)
    far.slow.add(call)
    if sent == 1:
        ended = asyncio.ensure_future(once())
        for _ in range(200):
            await asyncio.sleep(0)
        ended.cancel()
    else:
        await once()
    assert (far.calls(call) - before, far.calls("handshake")) == (sent, 0 if call == "write_event_records" else 1)
