"""What is stored, what is refused, and what becomes of writes that are late, repeated or fail."""

from __future__ import annotations

from typing import Any

import msgspec
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
    tend,
)
from tests.data.timeseries.engines import Watched

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import DataLoss, Forbidden, InvalidArgument, Unavailable
from soundstage.data.timeseries import EventItem, TimeSeries, writes
from soundstage.data.timeseries.compaction.compactor import SETTLED_US
from soundstage.data.timeseries.events import records_of
from soundstage.engines.records.passing import PassingRecords
from soundstage.engines.records.port import Batch, Conditional
from soundstage.runtime.stage import Stage

DAILY = {"seconds_per_slice": "1d", "seconds_per_bucket": "1h"}


async def test_what_is_written_is_read(stage: Stage) -> None:
    trips = await make(stage)
    written = [event(NOW, "a", k=b"1", j=b"2"), event(NOW - 1, "b", k=b"")]
    await trips.write_event_records_sync(events=written)
    assert await everything(trips) == [event(NOW, "a", j=b"2", k=b"1"), written[1]]


async def test_the_same_events_again_are_the_same_events(stage: Stage) -> None:
    trips = await make(stage, time_partition={**DAILY, "event_buckets": 4})
    events = [event(NOW - number * H, f"e{number}") for number in range(50)]
    for _ in range(2):
        await trips.write_event_records_sync(events=events)
    await trips.write_event_records_sync(events=events[::-1])
    assert await everything(trips) == events


async def test_events_of_many_partitions_and_slices_are_stored_where_an_engine_takes_one_at_a_time(
    open_stage: OpenStage, environment: VirtualEnvironment
) -> None:
    trips = await make(await open_stage(PassingRecords(Watched(environment))), time_partition=DAILY)
    events = [event(NOW - number * H, f"e{number}") for number in range(50)]
    await trips.write_event_records_sync(events=events)
    assert await everything(trips) == events


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"event_time": NOW}, "events[0].event_time"),
        ({"time_series_id": b"ada"}, "events[0].time_series_id"),
        ({"event_id": 1}, "events[0].event_id"),
        ({"event_items": [{"event_item_key": "k", "event_item_value": b""}]}, "events[0].event_items[0]"),
        ({"event_items": [EventItem(event_item_key=b"k", event_item_value=b"")]}, "events[0].event_items[0]"),  # pyright: ignore[reportArgumentType]
        ({"event_items": [EventItem(event_item_key="k", event_item_value="v")]}, "events[0].event_items[0]"),  # pyright: ignore[reportArgumentType]
    ],
)
@pytest.mark.parametrize("call", ["write_event_records_sync", "write_event_records"])
async def test_what_is_no_event_is_refused_with_its_place(
    plain_stage: Stage, call: str, changes: dict[str, Any], field: str
) -> None:
    trips = await make(plain_stage)
    with pytest.raises(InvalidArgument) as refused:
        await getattr(trips, call)(events=[msgspec.structs.replace(event(NOW), **changes)])
    assert (refused.value.field or "").startswith(field)
    assert await everything(trips) == []


@pytest.mark.parametrize("events", [iter([event(NOW)]), {1: event(NOW)}, "ab", None, [None]])
async def test_what_is_no_list_of_events_is_refused(plain_stage: Stage, events: Any) -> None:
    trips = await make(plain_stage)
    with pytest.raises(InvalidArgument, match="events"):
        await trips.write_event_records_sync(events=events)
    assert await everything(trips) == []


async def test_an_event_twice_in_one_write_is_one_with_the_greater_value(stage: Stage) -> None:
    trips = await make(stage)
    await trips.write_event_records_sync(events=[event(NOW, k=b"1"), event(NOW, k=b"2"), event(NOW, k=b"0")])
    assert await everything(trips) == [event(NOW, k=b"2")]


async def test_items_of_one_event_come_together_from_several_writes(stage: Stage) -> None:
    trips = await make(stage)
    await trips.write_event_records_sync(events=[event(NOW, k=b"1")])
    await trips.write_event_records_sync(events=[event(NOW, j=b"2")])
    assert await everything(trips) == [event(NOW, j=b"2", k=b"1")]


async def test_one_bad_event_refuses_all_with_its_index(stage: Stage) -> None:
    trips = await make(stage, blocked_ids=["spam"])
    for bad in (event(NOW + DAY), event(NOW, ""), event(NOW, series="spam")):
        with pytest.raises((InvalidArgument, Forbidden)) as refused:
            await trips.write_event_records_sync(events=[event(NOW), bad])
        assert (refused.value.field or "").startswith("events[1].")
    assert await everything(trips) == []
    assert (await trips.list_slices()).slices == []


async def test_the_accept_limit_holds_to_the_nanosecond(stage: Stage, environment: VirtualEnvironment) -> None:
    trips = await make(stage, accept_limit="4h", accept_future="10s")
    now = environment.now_ns()
    await trips.write_event_records_sync(events=[event(now - 4 * H, "oldest"), event(now + 10 * S, "newest")])
    for late in (now - 4 * H - 1, now + 10 * S + 1):
        with pytest.raises(InvalidArgument) as refused:
            await trips.write_event_records_sync(events=[event(late)])
        assert (refused.value.field, refused.value.retryable) == ("events[0].event_time", False)
    assert ids(await everything(trips)) == ["newest", "oldest"]


async def test_a_retry_that_comes_late_is_answered_as_the_first_try_was(
    stage: Stage, environment: VirtualEnvironment
) -> None:
    trips = await make(stage, accept_limit="10m")
    first = event(NOW, k=b"1", j=b"2")
    await trips.write_event_records_sync(events=[first])
    environment.advance(3_600)
    await trips.write_event_records_sync(events=[event(environment.now_ns(), "new"), first])
    for other in (event(NOW, k=b"2"), event(NOW, i=b"1"), event(NOW, "other"), event(NOW - DAY)):
        with pytest.raises(InvalidArgument, match="longer ago"):
            await trips.write_event_records_sync(events=[event(environment.now_ns(), "refused with it"), other])
    # Had it come in time, the greater value would be there all the same.
    await trips.write_event_records_sync(events=[event(NOW, k=b"0")])
    assert ids(await everything(trips)) == ["new", "e"]


async def test_late_events_are_looked_up_together_where_they_lie_together_and_the_first_unknown_is_named(
    open_stage: OpenStage, environment: VirtualEnvironment
) -> None:
    engine = Watched(environment)
    trips = await make(await open_stage(engine), accept_limit="1h", time_partition=DAILY)
    events = [event(NOW - number, str(number), f"s{number % 40}") for number in range(400)]
    await trips.write_event_records_sync(events=events)
    environment.advance(7_200)
    await trips.write_event_records_sync(events=events)
    assert engine.gets == 40
    for at, known in ((0, 32), (399, 40)):
        engine.gets = 0
        with pytest.raises(InvalidArgument) as refused:
            await trips.write_event_records_sync(
                events=[*events[:at], event(NOW - at, "new", f"s{at % 40}"), *events[at:]]
            )
        assert (refused.value.field, engine.gets) == (f"events[{at}].event_time", known)


async def test_two_values_of_a_late_event_are_told_apart(stage: Stage, environment: VirtualEnvironment) -> None:
    trips = await make(stage, accept_limit="1h")
    await trips.write_event_records_sync(events=[event(NOW, k=b"2")])
    environment.advance(7_200)
    await trips.write_event_records_sync(events=[event(NOW, k=b"1"), event(NOW, k=b"2")])
    with pytest.raises(InvalidArgument) as refused:
        await trips.write_event_records_sync(events=[event(NOW, k=b"1"), event(NOW, k=b"3"), event(NOW, k=b"2")])
    assert refused.value.field == "events[1].event_time"


async def test_late_events_that_are_larger_than_one_read_are_found(
    stage: Stage, environment: VirtualEnvironment
) -> None:
    trips = await make(stage, accept_limit="1h")
    events = [event(NOW, str(number), k=bytes(1_500_000)) for number in range(2)]
    await trips.write_event_records_sync(events=events)
    environment.advance(7_200)
    await trips.write_event_records_sync(events=events)


async def test_a_raised_limit_lets_old_events_in_and_a_lowered_one_does_no_more(
    stage: Stage, environment: VirtualEnvironment
) -> None:
    trips = await make(stage, accept_limit="10m")
    old = [event(NOW - 30 * DAY, "old")]
    with pytest.raises(InvalidArgument):
        await trips.write_event_records_sync(events=old)
    await make(stage, accept_limit="60d")
    await trips.write_event_records_sync(events=old)
    await make(stage, accept_limit="10m")
    with pytest.raises(InvalidArgument):
        await trips.write_event_records_sync(events=[event(NOW - 30 * DAY, "older")])
    assert ids(await everything(trips)) == ["old"]


async def test_a_limit_wider_than_slices_lets_events_into_ones_that_have_ended(stage: Stage) -> None:
    trips = await make(stage, accept_limit="5d", time_partition=DAILY)
    await trips.write_event_records_sync(events=[event(NOW - day * DAY, str(day)) for day in range(5)])
    assert ids(await everything(trips)) == ["0", "1", "2", "3", "4"]
    assert len((await trips.list_slices()).slices) == 5


async def test_an_event_at_the_end_of_a_slice_is_in_the_next(stage: Stage) -> None:
    trips = await make(stage, time_partition=DAILY)
    edge = NOW // DAY * DAY
    await trips.write_event_records_sync(
        events=[event(edge - 1, "before"), event(edge, "at"), event(edge + 1, "after")]
    )
    first, second = (await trips.list_slices()).slices
    assert (first.end, second.start) == (edge, edge)
    assert ids(await everything(trips)) == ["after", "at", "before"]


async def test_writes_to_a_slice_that_another_process_dropped_go_into_a_new_one(
    open_stage: OpenStage, environment: VirtualEnvironment
) -> None:
    engine = Watched(environment)
    one, two = await open_stage(engine), await open_stage(engine)
    trips = await make(
        one, accept_limit="1s", time_partition=DAILY, retention={"close_after": "2d", "delete_after": "2d"}
    )
    await trips.write_event_records_sync(events=[event(NOW, "gone")])
    await two.run_background()
    other = two.client(TimeSeries, "trips")
    assert ids(await everything(other)) == ["gone"]
    environment.advance(4 * 86_400)
    await tend(one)
    assert await everything(other) == []
    await make(one, time_partition=DAILY, accept_limit="0s")
    await two.run_background()
    await other.write_event_records_sync(events=[event(NOW, "anew")])
    assert ids(await everything(trips)) == ids(await everything(other)) == ["anew"]


@pytest.mark.parametrize("bulk", [True, False], ids=["a call for all", "a call for each"])
async def test_a_failure_of_a_part_says_that_the_rest_may_be_stored_and_is_mended_by_a_repetition(
    open_stage: OpenStage, environment: VirtualEnvironment, bulk: bool
) -> None:
    engine = Watched(environment)
    trips = await make(await open_stage(engine if bulk else PassingRecords(engine)), time_partition=DAILY)
    events = [event(NOW, series="ada"), event(NOW, series="bob")]
    engine.error = Unavailable("down", outcome="not_applied")
    engine.fails = lambda partition: partition.endswith(b"bob")
    with pytest.raises(Unavailable) as failed:
        await trips.write_event_records_sync(events=events)
    assert (failed.value.outcome, failed.value.retryable) == ("unknown", True)
    engine.error = None
    await trips.write_event_records_sync(events=events)
    assert [len(await everything(trips, name)) for name in ("ada", "bob")] == [1, 1]


@pytest.mark.parametrize("left_s", [None, 3_600.0, 5.0])
async def test_no_write_is_under_way_for_longer_than_a_sealed_table_waits(
    left_s: float | None, open_stage: OpenStage, environment: VirtualEnvironment
) -> None:
    asked = list[int | None]()

    class Slow(PassingRecords):
        async def apply(
            self,
            table: str,
            partition: bytes,
            batch: Batch,
            *,
            conditional: Conditional | None = None,
            deadline_ns: int | None = None,
        ) -> int:
            asked.append(deadline_ns)
            return await super().apply(table, partition, batch, conditional=conditional, deadline_ns=deadline_ns)

    stage = await open_stage(Slow(Watched(environment)))
    await (await make(stage)).write_event_records_sync(events=[event(NOW)])
    now_ns = environment.monotonic_ns()
    deadline_ns = None if left_s is None else now_ns + round(left_s * S)
    await writes.store(served(stage), records_of([event(NOW, "other")], ()), deadline_ns)
    latest_ns = asked[-1]
    assert latest_ns is not None
    assert latest_ns - now_ns == min(left_s or 3_600, SETTLED_US // 2_000_000) * S


async def test_a_table_that_is_missing_is_told_and_not_made_anew(
    open_stage: OpenStage, environment: VirtualEnvironment
) -> None:
    engine = Watched(environment)
    stage = await open_stage(engine)
    trips = await make(stage)
    await trips.write_event_records_sync(events=[event(NOW)])
    await engine.drop_table((await trips.list_slices()).slices[0].table)
    with pytest.raises(DataLoss, match="is missing"):
        await trips.write_event_records_sync(events=[event(NOW)])
    with pytest.raises(DataLoss, match="is missing"):
        await everything(trips)


async def test_what_was_written_and_refused_is_counted(plain_stage: Stage, environment: VirtualEnvironment) -> None:
    trips = await make(plain_stage, accept_limit="10m")
    await trips.write_event_records_sync(events=[event(NOW, "a"), event(NOW, "b")])
    with pytest.raises(InvalidArgument):
        await trips.write_event_records_sync(events=[event(NOW - DAY)])
    environment.advance(3_600)
    await trips.write_event_records_sync(events=[event(NOW, "a")])
    tally = served(plain_stage).tally
    assert (tally.written, tally.refused) == (3, 1)
