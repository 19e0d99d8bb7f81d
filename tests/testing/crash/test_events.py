"""Events, the server of which is killed: what is kept, and that the suite finds out what is not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import msgspec
import pytest
from tests.testing.crash.test_suite import QUICK, WITHOUT_FLUSH, build

from soundstage.core.errors import SoundstageError
from soundstage.data.timeseries.api import Event, TimeSeries
from soundstage.runtime.namespaces.api import Namespaces, NamespaceSpec
from soundstage.runtime.stage import Stage
from soundstage.testing.crash import Broken, EventTraffic, build_shim, crash
from soundstage.testing.crash.events import KNOBS, EventWriter, _all, key_of


@pytest.fixture
async def series() -> AsyncIterator[TimeSeries]:
    """A store in memory."""
    async with Stage.open(data="memory:") as stage:
        spec = NamespaceSpec(name="crash-events", abstraction="timeseries", config=KNOBS)
        await stage.client(Namespaces).put(namespace=spec)
        yield stage.client(TimeSeries, "crash-events")


@pytest.fixture
def traffic() -> EventTraffic:
    """One writer that was promised three events, and has two in doubt."""
    traffic = EventTraffic(1)
    writer = traffic.writers[0]
    events = [writer._event(index, 10) for index in range(5)]
    writer.promised = {key_of(event): event for event in events[:3]}
    writer.doubt = events[3:]
    return traffic


def promised(traffic: EventTraffic) -> list[Event]:
    return list(traffic.writers[0].promised.values())


@pytest.mark.slow
def test_a_killed_server_has_every_event_that_it_acknowledged_once_and_none_by_half(tmp_path: Path) -> None:
    report = crash(tmp_path, msgspec.structs.replace(QUICK, seed=21), EventTraffic(6, seed=21))
    assert report.acknowledged > 0
    assert report.in_doubt > 0


@pytest.mark.slow
def test_a_server_that_loses_power_has_every_event_that_it_acknowledged(tmp_path: Path) -> None:
    plan = msgspec.structs.replace(QUICK, seed=22, shim=build_shim(tmp_path), rounds=1)
    assert crash(tmp_path, plan, EventTraffic(6, seed=22)).bytes_lost > 0


@pytest.mark.slow
def test_a_build_that_skips_the_flush_loses_events_and_is_found_out(tmp_path: Path) -> None:
    plan = msgspec.structs.replace(QUICK, seed=23, shim=build_shim(tmp_path), program=build(WITHOUT_FLUSH))
    with pytest.raises(Broken):
        crash(tmp_path, plan, EventTraffic(6, seed=23))


async def test_what_a_writer_wrote_is_promised(series: TimeSeries) -> None:
    writer = EventWriter(0, Random(3))
    for _ in range(20):
        await writer.write(series)
    assert (writer.acknowledged, writer.doubt) == (20, [])
    traffic = EventTraffic(1)
    traffic.writers = [writer]
    traffic.compare(await traffic._everything(series))
    assert {key_of(event) for event in await _all(series, writer.id)} < set(writer.promised)


async def test_what_was_not_answered_is_in_doubt() -> None:
    class Dead:
        async def write_event_records_sync(self, **_: object) -> None:
            raise SoundstageError("dead")

    writer = EventWriter(0, Random(3))
    with pytest.raises(SoundstageError):
        await writer.write(Dead())  # type: ignore[arg-type]
    assert writer.doubt
    assert not writer.promised


def test_events_in_doubt_may_be_there_or_not(traffic: EventTraffic) -> None:
    traffic.compare(promised(traffic))
    traffic.compare([*promised(traffic), traffic.writers[0].doubt[1]])


def test_an_event_that_is_gone_is_told(traffic: EventTraffic) -> None:
    with pytest.raises(Broken, match="1 events are gone"):
        traffic.compare(promised(traffic)[1:])


def test_an_event_that_is_there_twice_is_told(traffic: EventTraffic) -> None:
    with pytest.raises(Broken, match="there twice"):
        traffic.compare([*promised(traffic), promised(traffic)[0]])


def test_an_event_by_half_is_told(traffic: EventTraffic) -> None:
    whole, *others = promised(traffic)
    half = msgspec.structs.replace(whole, event_items=whole.event_items[:-1])
    with pytest.raises(Broken, match="was sent as"):
        traffic.compare([half, *others])


def test_an_event_that_nobody_sent_is_told(traffic: EventTraffic) -> None:
    other = msgspec.structs.replace(promised(traffic)[0], event_id="other")
    with pytest.raises(Broken, match="was sent as nothing"):
        traffic.compare([*promised(traffic), other])


def test_what_was_shown_is_promised_too(traffic: EventTraffic) -> None:
    shown = traffic.writers[0].doubt[0]
    traffic._shown[key_of(shown)] = shown
    with pytest.raises(Broken, match="1 events are gone"):
        traffic.compare(promised(traffic))
