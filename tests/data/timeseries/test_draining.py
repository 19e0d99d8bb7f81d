"""Fire-and-forget writes: what reaches the store, when, and what becomes of the rest."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any, TypeVar

import pytest
from tests.data.timeseries.conftest import (
    DAY,
    NOW,
    H,
    OpenStage,
    S,
    event,
    everything,
    ids,
    make,
    served,
    service_of,
    unserved,
)
from tests.data.timeseries.engines import Watched

from soundstage.core.environment import Environment, VirtualEnvironment
from soundstage.core.errors import DataLoss, DeadlineExceeded, Exhausted, Forbidden, InvalidArgument, Unavailable
from soundstage.data.timeseries import Event, TimeSeries, buffer, catalogue
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.stage import Stage
from soundstage.testing.simulation.environment import SimulatedEnvironment
from soundstage.testing.simulation.loop import run, running_loop

DAILY = {"seconds_per_slice": "1d", "seconds_per_bucket": "1h"}


async def settled(stage: Stage) -> None:
    """Nothing waits any more."""
    for _ in range(1_000):
        if not served(stage).buffer.events:
            return
        await stage.environment.sleep(0.01)
    raise AssertionError("events still wait")


async def test_what_is_taken_is_stored_soon(stage: Stage) -> None:
    trips = await make(stage)
    events = [event(NOW - number, f"e{number}") for number in range(50)]
    await trips.write_event_records(events=events)
    await settled(stage)
    assert await everything(trips) == events


async def test_it_is_the_same_event_however_it_is_written(stage: Stage) -> None:
    trips = await make(stage)
    await trips.write_event_records(events=[event(NOW, k=b"2"), event(NOW, k=b"1")])
    await trips.write_event_records_sync(events=[event(NOW, k=b"1", j=b"3")])
    await trips.write_event_records(events=[event(NOW, k=b"2")])
    await settled(stage)
    assert await everything(trips) == [event(NOW, j=b"3", k=b"2")]


async def test_a_bad_event_refuses_all_at_once(stage: Stage, environment: VirtualEnvironment) -> None:
    trips = await make(stage, blocked_ids=["spam"], accept_limit="1h")
    for bad in (event(NOW + DAY), event(NOW, ""), event(NOW, series="spam"), event(NOW - 2 * H)):
        with pytest.raises((InvalidArgument, Forbidden)) as refused:
            await trips.write_event_records(events=[event(environment.now_ns()), bad])
        assert (refused.value.field or "").startswith("events[1].")
    assert served(stage).buffer.taken == 0


async def test_a_late_repetition_of_what_is_stored_is_taken(
    plain_stage: Stage, environment: VirtualEnvironment
) -> None:
    trips = await make(plain_stage, accept_limit="1h")
    await trips.write_event_records_sync(events=[event(NOW)])
    environment.advance(7_200)
    await trips.write_event_records(events=[event(NOW), event(environment.now_ns(), "new")])
    await settled(plain_stage)
    assert ids(await everything(trips)) == ["new", "e"]


async def test_what_waits_is_stored_when_the_stage_stops(open_stage: OpenStage) -> None:
    stage = await open_stage("rocksdb")
    trips = await make(stage, queue_buffering={"drain_per_second": 1})
    events = [event(NOW - number, f"e{number}") for number in range(6_000)]
    for at in range(0, len(events), 3_000):
        await trips.write_event_records(events=events[at : at + 3_000])
    assert served(stage).buffer.events > 5_000
    await stage.stop()
    trips = (await stage.start()).client(TimeSeries, "trips")
    assert len(await everything(trips)) == 6_000


async def test_a_stage_that_stops_waits_for_no_store_that_is_down_and_counts_what_it_drops(
    open_stage: OpenStage, environment: VirtualEnvironment, caplog: pytest.LogCaptureFixture
) -> None:
    engine = Watched(environment)
    stage = await open_stage(engine)
    trips = await make(stage)
    engine.error = Unavailable("down")
    await trips.write_event_records(events=[event(NOW, "a"), event(NOW, "b")])
    queue = served(stage).buffer
    await stage.stop()
    assert (queue.events, queue.dropped) == (0, 2)
    assert "events were dropped" in caplog.text


class Crowded(Watched):
    """Of three writes to slices it takes the last."""

    writes = 0

    async def apply(self, table: str, *arguments: Any, **named: Any) -> int:
        if table.count("/") == 2:
            self.writes += 1
            if self.writes % 3:
                raise Exhausted("the disk does not keep up")
        return await super().apply(table, *arguments, **named)


async def test_a_stage_that_stops_waits_for_a_store_that_has_no_room_for_moments(
    open_stage: OpenStage, environment: VirtualEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buffer, "CALL_MAX_ITEMS", 10)
    stage = await open_stage(Crowded(environment))
    trips = await make(stage, queue_buffering={"coalesce": "60s"})
    await trips.write_event_records(events=[event(NOW - number, "e") for number in range(40)])
    queue = served(stage).buffer
    await stage.stop()
    assert (queue.dropped, queue.drained) == (0, 40)


async def test_a_store_that_was_down_gets_everything(open_stage: OpenStage, environment: VirtualEnvironment) -> None:
    engine = Watched(environment)
    stage = await open_stage(engine)
    trips = await make(stage, time_partition=DAILY)
    engine.error = Unavailable("down")
    await trips.write_event_records(events=[event(NOW - number * H, f"e{number}") for number in range(20)])
    for _ in range(50):
        await environment.sleep(1.0)
    assert served(stage).buffer.events == 20
    engine.error = None
    await settled(stage)
    assert len(await everything(trips)) == 20


async def test_what_can_never_be_stored_is_dropped_alone(
    open_stage: OpenStage, environment: VirtualEnvironment
) -> None:
    engine = Watched(environment)
    stage = await open_stage(engine)
    trips = await make(stage)
    engine.error, engine.fails = DataLoss("torn"), lambda partition: partition.endswith(b"bad")
    events = [event(NOW - number, f"e{number}", "bad" if number == 17 else "ada") for number in range(100)]
    await trips.write_event_records(events=events)
    await settled(stage)
    queue = served(stage).buffer
    assert (queue.dropped, queue.drained) == (1, 99)
    assert len(await everything(trips)) == 99


async def test_an_event_for_which_there_may_be_no_slice_holds_up_no_other(
    plain_stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "SLICES_MAX", 3)
    trips = await make(plain_stage, time_partition=DAILY)
    await trips.write_event_records(events=[event(NOW - day * DAY, f"e{day}") for day in range(5)])
    await trips.write_event_records(events=[event(NOW, "other")])
    await settled(plain_stage)
    queue = served(plain_stage).buffer
    assert (queue.dropped, queue.drained) == (2, 4)
    assert "other" in ids(await everything(trips))


class Stuck(Watched):
    """The second write to a slice never ends, where it is not cancelled."""

    def __init__(self, environment: VirtualEnvironment) -> None:
        super().__init__(environment)
        self.fails = lambda partition: partition.endswith(b"bad")
        self.error = DataLoss("torn")
        self.writes = 0
        self.stuck = asyncio.Event()

    async def apply(self, table: str, partition: bytes, *arguments: Any, **named: Any) -> int:
        if table.count("/") == 2 and partition.endswith(b"ada"):
            self.writes += 1
            if self.writes == 2:
                self.stuck.set()
                await asyncio.Event().wait()
        return await super().apply(table, partition, *arguments, **named)


async def test_a_stage_that_stops_while_a_batch_is_cut_in_halves_stores_all_of_it(
    open_stage: OpenStage, environment: VirtualEnvironment
) -> None:
    engine = Stuck(environment)
    stage = await open_stage(engine)
    trips = await make(stage)
    events = [event(NOW - number, f"e{number}", "bad" if number == 70 else "ada") for number in range(100)]
    await trips.write_event_records(events=events)
    await engine.stuck.wait()
    queue = served(stage).buffer
    await stage.stop()
    assert (queue.events, queue.dropped, queue.drained) == (0, 1, 99)


async def test_what_waits_for_a_namespace_that_is_deleted_is_dropped(
    plain_stage: Stage, environment: VirtualEnvironment
) -> None:
    trips = await make(plain_stage)
    await trips.write_event_records(events=[event(NOW)])
    queue = served(plain_stage).buffer
    await plain_stage.client(Namespaces).delete(name="trips")
    again = await make(plain_stage)
    for _ in range(10):
        await environment.sleep(1.0)
    assert (queue.events, queue.dropped) == (0, 1)
    assert await everything(again) == []


async def test_what_waits_outlives_a_time_in_which_the_namespace_cannot_be_served(
    plain_stage: Stage, environment: VirtualEnvironment
) -> None:
    trips = await make(plain_stage)
    await trips.write_event_records(events=[event(NOW)])
    with unserved(plain_stage):
        for _ in range(10):
            list(service_of(plain_stage).measurements())
            await environment.sleep(1.0)
    await settled(plain_stage)
    assert ids(await everything(trips)) == ["e"]


async def test_what_waits_outlives_a_change_of_the_namespace(plain_stage: Stage) -> None:
    trips = await make(plain_stage)
    await trips.write_event_records(events=[event(NOW)])
    await make(plain_stage, page_size=7)
    await settled(plain_stage)
    assert ids(await everything(trips)) == ["e"]


async def test_a_full_queue_refuses_and_sync_writes_pass_it_by(
    open_stage: OpenStage, environment: VirtualEnvironment
) -> None:
    engine = Watched(environment)
    stage = await open_stage(engine)
    trips = await make(stage, queue_buffering={"buffer_capacity": "64KiB", "drain_per_second": 10})
    await trips.write_event_records(events=[event(NOW, str(number), k=bytes(900)) for number in range(60)])
    with pytest.raises(Exhausted) as refused:
        await trips.write_event_records(events=[event(NOW, str(number), k=bytes(900)) for number in range(60)])
    assert (refused.value.retry_after_ms or 0) >= 1_000
    await trips.write_event_records_sync(events=[event(NOW, "sync")])
    assert "sync" in ids(await everything(trips))
    found = {each.name: each.value for each in service_of(stage).measurements()}
    assert found["timeseries_queue_events_refused"] == 60


class Erratic(Watched):
    """Of writes to slices a share fails, before or after it is made; those of one series always do."""

    def __init__(self, environment: VirtualEnvironment, random: Random) -> None:
        super().__init__(environment)
        self.share = 0.0
        self._random = random
        self.fails = lambda partition: partition.endswith(b"bad")
        self.error = DataLoss("torn")

    async def apply(self, table: str, *arguments: Any, **named: Any) -> int:
        drawn = self._random.random() if table.count("/") == 2 else 1.0
        if drawn < self.share / 2:
            raise Unavailable("down", outcome="not_applied")
        done = await super().apply(table, *arguments, **named)
        if drawn < self.share:
            raise DeadlineExceeded("late", outcome="unknown")
        return done


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_befalls_a_queue_all_of_it_is_stored_in_the_end_but_what_never_can_be(
    seed: int, open_stage: OpenStage, environment: VirtualEnvironment
) -> None:
    random, engine, sent = Random(seed), Erratic(environment, Random(seed)), list[Event]()
    stage = await open_stage(engine)
    trips = await make(stage, time_partition=DAILY)
    for _ in range(40):
        engine.share = random.choice((0.0, 0.0, 0.3, 1.0))
        some = [
            event(NOW - random.randrange(5 * DAY), f"{len(sent) + one}", "bad" if random.random() < 0.02 else "ada")
            for one in range(random.choice((0, 1, 10, 30)))
        ]
        if some:
            await trips.write_event_records(events=some)
            sent += some
        if random.random() < 0.1:
            await make(stage, time_partition=DAILY, page_size=random.randint(1, 100))
        if random.random() < 0.1:
            with unserved(stage):
                list(service_of(stage).measurements())
                await environment.sleep(random.choice((0.0, 3.0)))
        await environment.sleep(random.choice((0.0, 0.1, 2.0)))
    engine.share = 0.0
    queue = served(stage).buffer
    if seed % 2:
        await stage.stop()
        trips = (await stage.start()).client(TimeSeries, "trips")
    else:
        await settled(stage)
    bad = [each for each in sent if each.time_series_id == "bad"]
    assert (queue.events, queue.bytes, queue.dropped, queue.drained) == (0, 0, len(bad), len(sent) - len(bad))
    assert len(await everything(trips)) == len(sent) - len(bad)


class Metered(Watched):
    """Counts the rows that reach slices, by the second."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)  # type: ignore[arg-type]
        self.by_second: Counter[int] = Counter()
        self.environment = environment

    async def apply(self, table: str, partition: bytes, *arguments: Any, **named: Any) -> int:
        done = await super().apply(table, partition, *arguments, **named)
        if table.count("/") == 2:
            self.by_second[self.environment.monotonic_ns() // S] += len(arguments[0].cells)
        return done


T = TypeVar("T")


def simulated(acts: Callable[[TimeSeries, Metered, Stage], Awaitable[T]], **knobs: Any) -> T:
    """What `acts` comes to with a metered engine and a client, in virtual time that passes for all alike."""

    async def main() -> T:
        environment = SimulatedEnvironment(running_loop(), "burst")
        engine = Metered(environment)
        stage = Stage.open(
            data="memory:", engines={"default": engine}, environment=environment, variables={}, background=False
        )
        async with stage:
            return await acts(await make(stage, **knobs), engine, stage)

    return run(main, "burst")


def test_what_a_crash_may_take_is_of_the_last_moments_and_is_counted() -> None:
    coalesce = 1

    async def steady(trips: TimeSeries, engine: Metered, stage: Stage) -> None:
        environment, sent = stage.environment, list[Event]()
        for _ in range(70):
            sent += [event(environment.now_ns(), f"{len(sent) + one}") for one in range(5)]
            await trips.write_event_records(events=sent[-5:])
            await environment.sleep(0.2)
            measured = {each.name: each.value for each in service_of(stage).measurements()}
            counted = measured["timeseries_queue_events_taken"] - measured["timeseries_queue_events_stored"]
            stored = {each.event_id for each in await everything(trips)}
            lost = [each for each in sent if each.event_id not in stored]
            assert all(int(each.event_time) >= environment.now_ns() - 1.1 * coalesce * S for each in lost)
            assert len(lost) <= counted <= 1.2 * coalesce * 25

    simulated(steady, queue_buffering={"coalesce": f"{coalesce}s"})


def test_a_burst_of_ten_times_as_much_reaches_the_store_at_the_steady_drain() -> None:
    steady = 50

    async def burst(trips: TimeSeries, engine: Metered, stage: Stage) -> tuple[int, int, int]:
        environment, sent = stage.environment, 0
        for second in range(30):
            for _ in range(10 if 10 <= second < 15 else 1):
                now = environment.now_ns()
                await trips.write_event_records(events=[event(now, f"{sent + one}") for one in range(steady)])
                sent += steady
            if second == 12:
                await trips.write_event_records_sync(events=[event(environment.now_ns(), "sync")])
                assert "sync" in ids(await everything(trips))
            await environment.sleep(1.0)
        while served(stage).buffer.events:
            await environment.sleep(1.0)
        return sent, len(await everything(trips)), max(engine.by_second.values())

    sent, found, worst = simulated(burst, queue_buffering={"drain_per_second": steady})
    assert found == sent + 1 == 75 * steady + 1
    assert worst <= 1.5 * steady
