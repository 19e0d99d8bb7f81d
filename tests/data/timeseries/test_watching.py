"""What is written to a namespace that is watched is told: all of it, in order for each id, from any cursor."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from tests.data.timeseries.conftest import ALWAYS, DAY, NOW, H, OpenStage, event, everything, make, service_of

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import Forbidden, InvalidArgument, NotFound, SoundstageError, Unavailable
from soundstage.data.timeseries import Event, TimeSeries
from soundstage.data.timeseries.api import EventWritten
from soundstage.data.timeseries.config import NamespaceConfig
from soundstage.data.timeseries.events import records_of
from soundstage.data.timeseries.placement import partition
from soundstage.data.timeseries.watched import TOPICS, entries_of, messages_of
from soundstage.engines.log.port import Stored
from soundstage.engines.records.memory import MemoryRecords
from soundstage.engines.records.port import Capability
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.stage import Stage

WATCHED: dict[str, Any] = {
    "watch": True,
    "time_partition": {"seconds_per_slice": "6h", "seconds_per_bucket": "1h", "event_buckets": 2},
}

WRITER = """
import asyncio, sys
from soundstage import Instant, Stage
from soundstage.core.namespace import NamespaceSpec
from soundstage.data.timeseries import Event, EventItem, TimeSeries
from soundstage.runtime.namespaces.api import Namespaces

async def main():
    async with Stage.open(data=sys.argv[1], variables={}) as stage:
        config = {"watch": True, "time_partition": {"seconds_per_slice": "1h", "event_buckets": 2}}
        spec = NamespaceSpec(name="trips", abstraction="timeseries", config=config)
        await stage.client(Namespaces).put(namespace=spec)
        trips = stage.client(TimeSeries, "trips")
        async def write(lane):
            for number in range(100_000):
                items = [EventItem(event_item_key="k", event_item_value=b"v")]
                names = [f"{lane}-{number}-{part}" for part in range(3)]
                at = Instant(1_700_000_000_000_000_000 + number * 600_000_000_000)
                events = [
                    Event(time_series_id=f"id-{lane}", event_time=at, event_id=name, event_items=items)
                    for name in names
                ]
                await trips.write_event_records_sync(events=events)
                print("\\n".join(names), flush=True)
        await asyncio.gather(*map(write, range(4)))

asyncio.run(main())
"""


async def told(series: TimeSeries, count: int, **request: Any) -> list[EventWritten]:
    """So many messages, from the oldest on where no cursor is given."""
    given: dict[str, Any] = {"cursor": "0"} | request
    async with aclosing(series.watch_event_records(**given)) as messages:
        return [await anext(messages) for _ in range(count)]


def names(messages: list[EventWritten]) -> list[str]:
    return [each.event.event_id for each in messages]


def in_order(messages: list[EventWritten]) -> list[Event]:
    return sorted((each.event for each in messages), key=lambda each: (each.time_series_id, each.event_time))


@pytest.fixture
async def trips(stage: Stage) -> TimeSeries:
    return await make(stage, **WATCHED)


async def test_every_event_of_a_write_is_told_whatever_its_slice_and_id(trips: TimeSeries) -> None:
    events = [event(NOW - number * H, f"e{number}", f"id-{number % 3}", k=b"%d" % number) for number in range(20)]
    await trips.write_event_records_sync(events=events)
    found = await told(trips, 20)
    assert in_order(found) == sorted(events, key=lambda each: (each.time_series_id, each.event_time))
    assert all(each.left_out is None for each in found)


async def test_events_of_one_id_are_told_in_the_order_of_their_writes(trips: TimeSeries) -> None:
    for number in (3, 1, 4, 1, 5):
        await trips.write_event_records_sync(events=[event(NOW - number * DAY, f"e{number}")])
    assert names(await told(trips, 5)) == ["e3", "e1", "e4", "e1", "e5"]


async def test_what_waited_in_a_queue_is_told_when_it_is_stored(trips: TimeSeries) -> None:
    await trips.write_event_records(events=[event(NOW, "queued")])
    assert names(await told(trips, 1)) == ["queued"]


async def test_one_who_follows_is_told_of_what_comes(trips: TimeSeries) -> None:
    async with aclosing(trips.watch_event_records()) as messages:
        coming = asyncio.ensure_future(anext(messages))
        for _ in range(50):
            await asyncio.sleep(0)
        await trips.write_event_records_sync(events=[event(NOW, "new")])
        assert (await coming).event.event_id == "new"


async def test_it_goes_on_behind_a_cursor(trips: TimeSeries) -> None:
    for number in range(6):
        await trips.write_event_records_sync(events=[event(NOW, f"e{number}")])
    found = await told(trips, 6)
    assert names(await told(trips, 3, cursor=found[2].cursor)) == ["e3", "e4", "e5"]


async def test_an_id_or_a_prefix_is_followed_alone(trips: TimeSeries) -> None:
    events = [event(NOW, f"e{number}", f"bike-{number}") for number in range(12)]
    await trips.write_event_records_sync(events=events)
    assert names(await told(trips, 1, time_series_id="bike-7")) == ["e7"]
    assert sorted(names(await told(trips, 3, prefix="bike-1"))) == ["e1", "e10", "e11"]
    with pytest.raises(InvalidArgument) as refused:
        await told(trips, 1, time_series_id="bike-7", prefix="bike")
    assert refused.value.field == "prefix"


async def test_blocked_ids_are_not_told(stage: Stage) -> None:
    trips = await make(stage, **WATCHED)
    await trips.write_event_records_sync(events=[event(NOW, "spam", "eve")])
    await trips.write_event_records_sync(events=[event(NOW, "good", "ada")])
    trips = await make(stage, **WATCHED, blocked_ids=["eve"])
    assert names(await told(trips, 1)) == ["good"]
    with pytest.raises(Forbidden):
        await told(trips, 1, time_series_id="eve")


async def test_a_namespace_that_is_not_watched_says_so(stage: Stage) -> None:
    trips = await make(stage)
    with pytest.raises(InvalidArgument, match="are not kept"):
        await told(trips, 1)


async def test_watch_is_fixed(stage: Stage) -> None:
    await make(stage)
    with pytest.raises(InvalidArgument, match="watch"):
        await make(stage, watch=True)


async def test_one_who_comes_too_late_is_told_that_something_was_missed(
    open_stage: OpenStage, environment: VirtualEnvironment
) -> None:
    stage = await open_stage()
    trips = await make(stage, **WATCHED, watch_retention="1m")
    await trips.write_event_records_sync(events=[event(NOW, "e1"), event(NOW, "e2")])
    cursor = (await told(trips, 1))[0].cursor
    await environment.sleep(120)
    await stage.engines.log("default", "").sweep(1_000)
    await trips.write_event_records_sync(events=[event(NOW, "e3")])
    with pytest.raises(InvalidArgument, match="not kept any more"):
        await told(trips, 1, cursor=cursor)


async def test_one_who_follows_hears_that_the_namespace_was_deleted(stage: Stage, trips: TimeSeries) -> None:
    async with aclosing(trips.watch_event_records()) as messages:
        coming = asyncio.ensure_future(anext(messages))
        for _ in range(50):
            await asyncio.sleep(0)
        await stage.client(Namespaces).delete(name="trips")
        with pytest.raises(NotFound):
            await coming


async def test_the_topic_of_a_deleted_namespace_goes_with_the_second_look(stage: Stage, trips: TimeSeries) -> None:
    await trips.write_event_records_sync(events=[event(NOW)])
    other = await make(stage, "other", **WATCHED)
    await other.write_event_records_sync(events=[event(NOW, "stays")])
    kept = (await stage.client(Namespaces).get(name="other")).generation
    suspects = await service_of(stage).drop_topics({kept}, set())
    assert [each.startswith(TOPICS) for each in suspects] == [True]
    assert await service_of(stage).drop_topics({kept}, suspects) == suspects
    assert await service_of(stage).drop_topics({kept}, suspects) == set()
    assert names(await told(other, 1)) == ["stays"]


async def test_a_topic_that_somebody_dropped_is_made_again(stage: Stage, trips: TimeSeries) -> None:
    await trips.write_event_records_sync(events=[event(NOW, "lost")])
    await service_of(stage).drop_topics(set(), await service_of(stage).drop_topics(set(), set()))
    await trips.write_event_records_sync(events=[event(NOW, "found")])
    assert names(await told(trips, 1)) == ["found"]


async def test_a_large_value_is_left_out_and_named(trips: TimeSeries) -> None:
    await trips.write_event_records_sync(events=[event(NOW, "e", small=b"v", large=bytes(1 << 20))])
    (found,) = await told(trips, 1)
    assert ([each.event_item_key for each in found.event.event_items], found.left_out) == (["small"], ["large"])


async def test_a_write_as_large_as_one_may_be_is_told_whole(trips: TimeSeries) -> None:
    events = [event(NOW, f"e{number}", f"id-{number}", k=bytes(500_000)) for number in range(8)]
    await trips.write_event_records_sync(events=events)
    assert sorted(names(await told(trips, 8))) == [each.event_id for each in events]


class Failing(MemoryRecords):
    """An engine that takes no rows of slices while it `fails`."""

    fails = False

    async def apply(self, table: str, *given: Any, **named: Any) -> Any:
        if self.fails and table.count("/") == 2:
            raise Unavailable("down", outcome="not_applied")
        return await super().apply(table, *given, **named)

    async def apply_each(self, table: str, *given: Any, **named: Any) -> None:
        if self.fails:
            raise Unavailable("down", outcome="not_applied")
        await super().apply_each(table, *given, **named)


async def test_where_a_log_is_apart_it_is_told_before_the_write(
    open_stage: OpenStage, environment: VirtualEnvironment
) -> None:
    engine = Failing(environment)
    stage = await open_stage(engine)
    trips = await make(stage, **WATCHED)
    await trips.write_event_records_sync(events=[event(NOW, "stored")])
    engine.fails = True
    with pytest.raises(SoundstageError):
        await trips.write_event_records_sync(events=[event(NOW + 1, "refused")])
    assert names(await told(trips, 2)) == ["stored", "refused"]
    assert [each.event_id for each in await everything(trips)] == ["stored"]


class Counting(MemoryRecords):
    """An engine that tells how many partitions of slices it was given in each call."""

    async def start(self) -> None:
        self.calls: list[int] = []
        await super().start()

    async def apply(self, table: str, *given: Any, **named: Any) -> Any:
        if table.count("/") == 2:
            self.calls.append(1)
        return await super().apply(table, *given, **named)

    async def apply_each(self, table: str, batches: Any, **named: Any) -> None:
        calls = [*self.calls, len(batches)]
        await super().apply_each(table, batches, **named)
        self.calls = calls


async def test_a_write_to_many_partitions_of_a_slice_is_one_call_of_the_engine(
    open_stage: OpenStage, environment: VirtualEnvironment
) -> None:
    engine = Counting(environment)
    trips = await make(await open_stage(engine), **WATCHED)
    await trips.write_event_records_sync(events=[event(NOW, f"e{number}", f"id-{number}") for number in range(7)])
    assert engine.calls == [7]
    assert len(await told(trips, 7)) == 7


async def test_a_store_of_several_servers_needs_a_log_of_all_of_them(plain_stage: Stage) -> None:
    capabilities = frozenset({Capability.SHARED, Capability.CONDITIONAL})
    await make(plain_stage)
    with pytest.raises(InvalidArgument) as refused:
        service_of(plain_stage).tables("trips", NamespaceConfig(watch=True), capabilities)
    assert refused.value.field == "watch"
    assert "systems.timeseries.changes_log" in (refused.value.hint or "")


def test_rows_are_told_of_in_entries_of_a_bounded_size() -> None:
    items = {f"k{number}": bytes(200_000) for number in range(9)}
    (record,) = records_of([event(NOW, "e", "ada", **items)], ())
    entries = list(entries_of(partition(b"ada", 1, 0), record.rows))
    assert [len(entry.value or b"") < 600_000 for entry in entries] == [True] * 5
    found = [each for at, entry in enumerate(entries) for each in messages_of(Stored(at, 0, entry.key, entry.value))]
    assert [item.event_item_key for each in found for item in each.event.event_items] == [
        f"k{number}" for number in range(9)
    ]


def acknowledged_by_one_killed(folder: Path) -> list[str]:
    """The ids of the events that a process was told are stored, before it was killed amid its writes."""
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    found = [process.stdout.readline().strip() for _ in range(600)]
    process.kill()
    rest = process.stdout.read().splitlines(keepends=True)
    process.wait()
    process.stdout.close()
    return found + [each.strip() for each in rest if each.endswith("\n")]


@pytest.mark.slow
async def test_no_acknowledged_event_is_missing_once_its_writer_was_killed(tmp_path: Path) -> None:
    acknowledged = await asyncio.to_thread(acknowledged_by_one_killed, tmp_path)
    async with Stage.open(data=tmp_path, variables={}) as stage:
        trips = stage.client(TimeSeries, "trips")
        missing = set(acknowledged)
        async with aclosing(trips.watch_event_records(cursor="0")) as messages:
            while missing:
                missing.discard((await anext(messages)).event.event_id)
        assert len(acknowledged) >= 600
        stored = [each.event_id for lane in range(4) for each in await everything(trips, f"id-{lane}", ALWAYS)]
        assert set(acknowledged) <= set(stored)
