"""Each step of rewriting a slice, and what happens to it when something else comes between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import msgspec
import pytest
from tests.data.timeseries.compaction.conftest import (
    DAILY,
    DAY,
    YESTERDAY,
    OpenStage,
    S,
    flights,
    make,
    settle,
    slices,
    step,
)
from tests.data.timeseries.conftest import event, everything, ids, served, served_by, service_of, tend, unknown

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import DataLoss, DeadlineExceeded, InvalidArgument, TooLarge, Unavailable
from soundstage.core.time import Instant
from soundstage.data.timeseries import Event, TimeInterval, repeated
from soundstage.data.timeseries.catalogue import Catalogue
from soundstage.data.timeseries.compaction import compactor
from soundstage.data.timeseries.compaction.compactor import Compactor, Progress
from soundstage.data.timeseries.compaction.pacing import Pacing
from soundstage.data.timeseries.events import records_of
from soundstage.data.timeseries.namespace import ServedNamespace
from soundstage.data.timeseries.parquet import walking
from soundstage.data.timeseries.segments import columns, reading
from soundstage.data.timeseries.segments import walking as segments_walking
from soundstage.data.timeseries.slices import Slice
from soundstage.data.timeseries.writes import write
from soundstage.engines.blobs.memory import MemoryBlobs
from soundstage.engines.blobs.port import BlobInfo
from soundstage.engines.records.port import Budget
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.stage import Stage

ALL = TimeInterval(start=Instant(YESTERDAY), end=Instant(YESTERDAY + DAY))


class Stopped(Exception):
    """As if the process died there."""


def the_slice(stage: Stage) -> Slice:
    (found,) = served(stage).catalogue.slices
    return found


def walk_of(found: ServedNamespace, environment: VirtualEnvironment, stage: Stage) -> walking.Walk:
    """What an export goes by."""
    numbers = [each.number for each in found.catalogue.slices]
    place, compute = walking.WalkPlace(numbers), stage.compute.thread
    return walking.Walk(lambda: found, place, walking.Open(), YESTERDAY, YESTERDAY + DAY, environment, compute)


def die_at(stage: Stage, wanted: str) -> None:
    """The next step of that name is the last thing that the process does."""

    def reached(step: str) -> None:
        if step == wanted:
            service_of(stage)._compactions.reached = lambda _: None
            raise Stopped

    service_of(stage)._compactions.reached = reached


async def nothing() -> AsyncGenerator[bytes]:
    yield b""


async def runs(cold: MemoryBlobs) -> list[BlobInfo]:
    return await cold.list("timeseries/")


async def tables(stage: Stage) -> list[str]:
    return [each.name for each in await served(stage).records.tables() if each.name.count("/") == 2]


async def until_written(stage: Stage, environment: VirtualEnvironment) -> None:
    """The slice is sealed, and may be rewritten."""
    assert not await step(stage)
    environment.advance(121.0)


async def test_nothing_is_rewritten_before_its_time(plain_cold: Stage, environment: VirtualEnvironment) -> None:
    await flights(plain_cold, accept_limit="3d")
    await step(plain_cold)
    assert the_slice(plain_cold).moved.sealed == ()


async def test_a_write_after_the_seal_goes_into_another_table_and_is_read_with_the_rest(
    cold_stage: Stage, environment: VirtualEnvironment
) -> None:
    series = await flights(cold_stage)
    before = await everything(series, "id0")
    await step(cold_stage)
    await make(cold_stage, **{**DAILY, "accept_limit": "3d"})
    late = [event(YESTERDAY + 1, "late", "id0"), event(YESTERDAY, "e0000", "id0", new=b"1")]
    await series.write_event_records_sync(events=late)
    found = await everything(series, "id0")
    assert ids(found) == [*ids(before)[:-1], "late", "e0000"]
    assert [item.event_item_key for item in found[-1].event_items] == ["k", "new", "note"]
    assert len(await tables(cold_stage)) == 2


async def test_a_table_that_another_sealed_before_its_time_is_written_to_for_no_longer_than_it_is_left(
    plain_cold: Stage, environment: VirtualEnvironment
) -> None:
    series = await make(plain_cold, **DAILY)
    await series.write_event_records_sync(events=[event(environment.now_ns(), "first")])
    mine, table = served(plain_cold), the_slice(plain_cold).table
    # As a process whose clock is days ahead has it: no read of this one tells it.
    other = Catalogue(mine.table, mine.records, f"{mine.table.name}/{mine.view.generation}_")
    await other.refresh()
    sealed = await other.alter(1, lambda now: now.resealed(environment.now_us()))
    assert sealed is not None
    environment.advance(60.0)
    await series.write_event_records_sync(events=[event(environment.now_ns(), "second")])
    written = await mine.records.walk(table, 0, 1, None, Budget(rows=100, bytes=1 << 20), environment.now_us())
    assert sum(len(rows) for _, rows in written.partitions) == 1
    assert ids(await everything(series)) == ["second", "first"]


async def test_late_events_are_read_with_segments_and_go_into_the_next(
    cold_stage: Stage, environment: VirtualEnvironment
) -> None:
    series = await flights(cold_stage)
    await settle(cold_stage, environment)
    await make(cold_stage, **{**DAILY, "accept_limit": "5d"})
    late = [event(YESTERDAY + 1, "late", "id0"), event(YESTERDAY, "e0000", "id0", k=b"9", new=b"1")]
    await series.write_event_records_sync(events=late)
    (found,) = await slices(series)
    assert (found.segment_rows, found.late) == (600, True)
    merged = await everything(series, "id0")
    assert ids(merged)[-2:] == ["late", "e0000"]
    assert {item.event_item_key: item.event_item_value for item in merged[-1].event_items}["k"] == b"9"
    await make(cold_stage, **DAILY)
    await settle(cold_stage, environment)
    (found,) = await slices(series)
    assert (found.segment_rows, found.late) == (602, None)
    assert await everything(series, "id0") == merged
    assert await tables(cold_stage) == []


async def test_a_page_goes_on_behind_the_flip(cold_stage: Stage, environment: VirtualEnvironment) -> None:
    series = await flights(cold_stage)
    whole, found, token = await everything(series, "id1"), list[str](), None
    for turn in range(100):
        page = await series.read_event_records(time_series_id="id1", time_interval=ALL, page_size=7, page_token=token)
        found += ids(page.records)
        token = page.next_page_token
        if token is None:
            break
        await step(cold_stage)
        environment.advance(121.0)
        assert turn < 99
    assert found == ids(whole)
    assert (await slices(series))[0].segments == 1


async def test_a_retry_of_what_is_in_segments_is_answered_as_it_was(
    cold_stage: Stage, environment: VirtualEnvironment
) -> None:
    series = await flights(cold_stage)
    await settle(cold_stage, environment)
    again = (await everything(series, "id2"))[:3]
    await series.write_event_records_sync(events=again)
    with pytest.raises(InvalidArgument) as refused:
        await series.write_event_records_sync(events=[*again, event(YESTERDAY + 1, "unknown", "id2")])
    assert refused.value.field == "events[3].event_time"
    with pytest.raises(InvalidArgument):
        await series.write_event_records_sync(events=[event(int(again[0].event_time), again[0].event_id, "id2", z=b"")])


STEPS = ("sealed", "begun", "sorted", "written", "verified", "flipped", "cleared")


async def test_many_retries_of_what_is_in_segments_read_each_row_group_once(
    plain_cold: Stage, environment: VirtualEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compactor, "GROUP_ROWS", 50)
    series = await flights(plain_cold)
    await settle(plain_cold, environment)
    again = [each for name in ("id0", "id1", "id2") for each in await everything(series, name)]
    segments = service_of(plain_cold)._segments
    # As if there was no room for any of them.
    segments.forget()

    def kept(*_: Any) -> None:
        """Nothing is."""

    monkeypatch.setattr(segments._groups, "put", kept)
    before = segments.groups_read
    await series.write_event_records_sync(events=again)
    # The ids meet in two of them.
    assert segments.groups_read - before <= 600 // 50 + 2
    assert await repeated.not_stored(
        served(plain_cold),
        records_of([*again[:5], event(YESTERDAY + 1, "unknown", "id1"), *again[5:]], frozenset()),
        range(301),
        environment.now_ns(),
        lambda: None,
        every=True,
    ) == {5}


async def test_a_retry_that_takes_too_long_to_look_up_is_given_up(
    plain_cold: Stage, environment: VirtualEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = await flights(plain_cold)
    await settle(plain_cold, environment)
    again = await everything(series, "id2")
    group = reading.Segments.group

    async def slow(*asked: Any) -> Any:
        environment.advance(40.0)
        return await group(*asked)

    monkeypatch.setattr(reading.Segments, "group", slow)
    with pytest.raises(DeadlineExceeded) as late:
        await write(
            served(plain_cold),
            records_of([*again, event(YESTERDAY, "e0000", "id0", k=b"0", note=b"")], frozenset()),
            environment.now_ns(),
            environment.monotonic_ns() + 30 * S,
        )
    assert late.value.outcome == "not_applied"


@pytest.mark.parametrize("where", STEPS)
async def test_who_dies_between_two_steps_loses_nothing_and_leaves_nothing(
    where: str, cold_stage: Stage, environment: VirtualEnvironment, cold: MemoryBlobs
) -> None:
    series = await flights(cold_stage)
    before = {name: await everything(series, name) for name in ("id0", "id1", "id2")}
    die_at(cold_stage, where)
    for _ in range(50):
        try:
            await step(cold_stage)
        except Stopped:
            break
        environment.advance(121.0)
    else:
        raise AssertionError(f"{where} was not reached")
    assert {name: await everything(series, name) for name in before} == before
    await settle(cold_stage, environment)
    await settle(cold_stage, environment)
    assert {name: await everything(series, name) for name in before} == before
    assert await tables(cold_stage) == []
    blobs = service_of(cold_stage)._segments.blobs("cold")
    (found,) = await slices(series)
    assert found.segments == 1
    assert [each.key.rpartition("/")[2] for each in await blobs.list("timeseries/")] == ["00000.parquet", "list"]
    assert the_slice(cold_stage).moved.left == ()


async def test_two_who_rewrite_a_slice_at_once_do_no_harm(
    plain_cold: Stage, environment: VirtualEnvironment, cold: MemoryBlobs
) -> None:
    series = await flights(plain_cold)
    before = await everything(series, "id0")
    await until_written(plain_cold, environment)
    found, turns = served(plain_cold), list[str]()
    # As three processes would, each of which took the role for its own.
    pacing = Pacing(environment)
    workers = [
        Compactor(found, Progress(), plain_cold.compute, environment, pacing, lambda: None, turns.append)
        for _ in range(3)
    ]
    for each in workers:
        assert not await each.round(found.config.compaction, 0), "none of them has known of the seal for long"
    environment.advance(121.0)
    await asyncio.gather(*(each.round(found.config.compaction, 0) for each in workers))
    assert turns.count("begun") == 3
    await settle(plain_cold, environment)
    assert await everything(series, "id0") == before
    assert len(await runs(cold)) == 2
    assert await tables(plain_cold) == []


async def test_who_has_the_lease_no_more_changes_nothing(plain_cold: Stage) -> None:
    await flights(plain_cold)

    def lost() -> None:
        raise Stopped

    with pytest.raises(Stopped):
        await service_of(plain_cold).compact("trips", lost)
    assert the_slice(plain_cold).moved.sealed == ()


async def test_what_is_not_read_back_as_it_was_never_takes_the_tables_place(
    plain_cold: Stage, environment: VirtualEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = await flights(plain_cold)
    before = await everything(series, "id0")
    await until_written(plain_cold, environment)
    right = columns.table_of

    def without_last(rows: Sequence[columns.Sorted]) -> object:
        return right(rows[:-1])

    with monkeypatch.context() as wrong:
        wrong.setattr(columns, "table_of", without_last)
        with pytest.raises(DataLoss):
            await step(plain_cold)
    assert the_slice(plain_cold).moved.compacted is None
    assert await everything(series, "id0") == before
    building = the_slice(plain_cold).moved.building
    assert not await step(plain_cold)
    assert the_slice(plain_cold).moved.building == building, "it is not tried all the time"
    await settle(plain_cold, environment)
    assert (await slices(series))[0].segments == 1


async def test_a_sealed_table_that_is_missing_is_told(plain_cold: Stage, environment: VirtualEnvironment) -> None:
    await flights(plain_cold)
    await until_written(plain_cold, environment)
    (name,) = await tables(plain_cold)
    await served(plain_cold).records.drop_table(name)
    with pytest.raises(DataLoss, match="is missing"):
        await step(plain_cold)


async def test_a_damaged_file_is_named_and_nothing_is_silently_missing(
    open_cold: OpenStage, environment: VirtualEnvironment, cold: MemoryBlobs
) -> None:
    stage = await open_cold()
    series = await flights(stage)
    await settle(stage, environment)
    key = next(each.key for each in await runs(cold) if each.key.endswith(".parquet"))
    data = b"".join([chunk async for chunk in cold.open(key)])
    for at in (100, len(data) - 20, len(data) - 6):

        async def spoilt(at: int = at) -> AsyncGenerator[bytes]:
            yield data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]

        await cold.put(key, spoilt())
        service_of(stage)._segments.forget()
        with pytest.raises(DataLoss, match=r"00000\.parquet"):
            await everything(series, "id0")
    await cold.delete(key)
    service_of(stage)._segments.forget()
    with pytest.raises(DataLoss, match=r"00000\.parquet is missing"):
        await everything(series, "id0")


async def test_segments_on_an_engine_that_is_not_there_any_more_are_told(
    plain_cold: Stage, environment: VirtualEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = await flights(plain_cold)
    await settle(plain_cold, environment)

    def none(name: str, field: str) -> MemoryBlobs:
        raise InvalidArgument(f"there is no engine {name!r}", field=field)

    monkeypatch.setattr(service_of(plain_cold)._segments._stores, "blobs", none)
    with pytest.raises(Unavailable, match="'cold'"):
        await everything(series, "id0")


async def test_a_dropped_slice_takes_its_segments_along(
    plain_cold: Stage, environment: VirtualEnvironment, cold: MemoryBlobs
) -> None:
    series = await flights(plain_cold)
    await settle(plain_cold, environment)
    assert await runs(cold)
    environment.advance(71 * 86_400.0)
    await tend(plain_cold)
    assert await slices(series) == []
    assert await runs(cold) == []


async def test_a_run_that_no_slice_names_goes_when_it_is_old(
    plain_cold: Stage, environment: VirtualEnvironment, cold: MemoryBlobs
) -> None:
    series, service = await flights(plain_cold), service_of(plain_cold)
    await settle(plain_cold, environment)
    kept = [each.key for each in await runs(cold)]
    prefix = kept[0].rpartition("/")[0].rpartition("/")[0]
    # One that wrote it has lost its lease; the others are of slices and of namespaces that this one knows nothing of.
    left = [f"{prefix}/1-000000000000/{name}" for name in ("00000.parquet", "sorted/0000")]
    others = [f"{prefix}/2-000000000000/list", f"{prefix}/notes", "timeseries/other/1-000000000000/list"]
    for key in [*left, *others]:
        await cold.put(key, nothing())
    await service.clear_left("trips", lambda: None)
    environment.advance(3_599.0)
    await service.clear_left("trips", lambda: None)
    assert [each.key for each in await runs(cold)] == sorted([*kept, *left, *others]), "it may be under way"
    environment.advance(1.0)
    await service.clear_left("trips", lambda: None)
    assert [each.key for each in await runs(cold)] == sorted([*kept, *others])
    assert len(await everything(series, "id0")) == 100


async def test_nothing_is_taken_for_nobody_s_by_who_has_not_heard_of_a_change(
    plain_cold: Stage, environment: VirtualEnvironment, cold: MemoryBlobs
) -> None:
    await flights(plain_cold)
    await settle(plain_cold, environment)
    service = service_of(plain_cold)
    left = f"{(await runs(cold))[0].key.rpartition('/')[0].rpartition('/')[0]}/1-000000000000/00000.parquet"
    await cold.put(left, nothing())
    environment.advance(7_200.0)
    view = service._context.namespaces.view("trips")
    behind = msgspec.structs.replace(view, version=view.version - 1)
    with served_by(plain_cold, behind):
        await service.clear_left("trips", lambda: None)
    assert left in [each.key for each in await runs(cold)]


async def test_a_run_that_is_being_made_is_no_other_s(
    plain_cold: Stage, environment: VirtualEnvironment, cold: MemoryBlobs
) -> None:
    await flights(plain_cold)
    await until_written(plain_cold, environment)
    die_at(plain_cold, "written")
    with pytest.raises(Stopped):
        await step(plain_cold)
    made = await runs(cold)
    assert made
    environment.advance(7_200.0)
    await service_of(plain_cold).clear_left("trips", lambda: None)
    assert await runs(cold) == made


async def test_a_deleted_namespace_leaves_no_segments(
    plain_cold: Stage, environment: VirtualEnvironment, cold: MemoryBlobs
) -> None:
    await flights(plain_cold)
    await settle(plain_cold, environment)
    await plain_cold.client(Namespaces).delete(name="trips")
    service = service_of(plain_cold)
    await service.clear_segments(lambda: None)
    assert await runs(cold), "others may know of a namespace that this process does not know yet"
    environment.advance(100.0)
    await service.clear_segments(lambda: None)
    assert await runs(cold) == []


async def test_a_namespace_that_this_process_takes_for_deleted_keeps_its_segments(
    plain_cold: Stage, environment: VirtualEnvironment, cold: MemoryBlobs
) -> None:
    await flights(plain_cold)
    await settle(plain_cold, environment)
    service = service_of(plain_cold)
    with unknown(plain_cold):
        await service.clear_segments(lambda: None)
        environment.advance(100.0)
        await service.clear_segments(lambda: None)
    assert await runs(cold)


async def test_another_namespace_of_the_name_keeps_its_own_and_only_that(
    plain_cold: Stage, environment: VirtualEnvironment, cold: MemoryBlobs
) -> None:
    await flights(plain_cold)
    await settle(plain_cold, environment)
    first = {each.key for each in await runs(cold)}
    await plain_cold.client(Namespaces).delete(name="trips")
    series = await flights(plain_cold, accept_limit="0s")
    await settle(plain_cold, environment)
    service = service_of(plain_cold)
    for _ in range(3):
        await service.clear_segments(lambda: None)
        environment.advance(100.0)
    left = {each.key for each in await runs(cold)}
    assert left
    assert not left & first
    assert len(await everything(series, "id0")) == 100


async def test_who_asks_need_not_wait(plain_cold: Stage, environment: VirtualEnvironment) -> None:
    series = await flights(plain_cold, compaction={"engine": "cold", "after": "30d"})
    await step(plain_cold)
    assert the_slice(plain_cold).moved.sealed == ()
    assert (await series.compact_slices()).waiting == 1
    await until_written(plain_cold, environment)
    await step(plain_cold)
    assert (await slices(series))[0].segments == 1
    assert (await series.compact_slices()).waiting == 0


async def test_slices_that_are_closed_wait_for_nothing(plain_cold: Stage, environment: VirtualEnvironment) -> None:
    series = await flights(plain_cold)
    environment.advance(61 * 86_400.0)
    assert [each.state for each in await slices(series)] == ["closed"]
    assert (await series.compact_slices()).waiting == 0


async def test_a_namespace_without_an_engine_for_segments_has_none_to_make(plain_cold: Stage) -> None:
    series = await make(plain_cold, time_partition={"seconds_per_slice": "1d"})
    with pytest.raises(InvalidArgument, match="no engine for segments"):
        await series.compact_slices()


@pytest.mark.parametrize(
    ("knobs", "field"),
    [
        ({"compaction": {"engine": "default"}, "time_partition": {"seconds_per_slice": "1d"}}, None),
        ({"compaction": {"engine": "warm"}, "time_partition": {"seconds_per_slice": "1d"}}, "compaction.engine"),
        ({"compaction": {"engine": "cold"}}, "compaction"),
    ],
)
async def test_what_cannot_be_is_refused(knobs: dict[str, Any], field: str | None, plain_cold: Stage) -> None:
    if field is None:
        # `memory:` holds blobs as well.
        await make(plain_cold, **knobs)
        return
    with pytest.raises(InvalidArgument) as refused:
        await make(plain_cold, **knobs)
    assert str(refused.value.field).endswith(field)


async def test_what_is_read_and_written_is_held_to_its_pace(plain_cold: Stage, environment: VirtualEnvironment) -> None:
    slow = {"engine": "cold", "after": "10m", "bytes_per_second": "64KiB"}
    await flights(plain_cold, compaction=slow)
    await until_written(plain_cold, environment)
    began_ns = environment.monotonic_ns()
    await step(plain_cold)
    took_s = (environment.monotonic_ns() - began_ns) / 1e9
    read = the_slice(plain_cold).moved.compacted
    assert read is not None
    served_bytes = service_of(plain_cold)._compactions._progress["trips"].bytes_in
    assert took_s >= 2 * served_bytes / (64 << 10)


async def test_an_export_has_every_event_once_wherever_it_lies(
    plain_cold: Stage, environment: VirtualEnvironment
) -> None:
    series = await flights(plain_cold)
    await settle(plain_cold, environment)
    await make(plain_cold, **{**DAILY, "accept_limit": "5d"})
    late = [event(YESTERDAY + 1, "late", "id0"), event(YESTERDAY, "e0000", "id0", k=b"9", new=b"1")]
    await series.write_event_records_sync(events=late)
    expected = [each for name in ("id0", "id1", "id2") for each in await everything(series, name)]
    of_service = served(plain_cold)
    found, walk = list[Event](), walk_of(of_service, environment, plain_cold)
    while not walk.is_over:
        found += await walk.next()
    assert sorted(map(repr, found)) == sorted(map(repr, expected))


async def test_an_export_holds_no_more_of_an_event_than_it_may_have_wherever_it_lies(
    plain_cold: Stage, environment: VirtualEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = await flights(plain_cold)
    await settle(plain_cold, environment)
    await make(plain_cold, **{**DAILY, "accept_limit": "5d"})

    async def exported() -> int:
        walk, count = walk_of(served(plain_cold), environment, plain_cold), 0
        while not walk.is_over:
            count += len(await walk.next())
        return count

    # Of what both have the greater counts once.
    await series.write_event_records_sync(events=[event(YESTERDAY, "e0000", "id0", k=b"9" * 1_500)])
    monkeypatch.setattr(segments_walking, "EVENT_MAX_BYTES", 2_000)
    assert await exported() == 300
    await series.write_event_records_sync(events=[event(YESTERDAY, "e0000", "id0", k=b"9" * 1_600)])
    assert await exported() == 300
    await series.write_event_records_sync(events=[event(YESTERDAY + 500 * S, "e0002", "id2", k=b"9" * 2_100)])
    with pytest.raises(TooLarge, match="e0002"):
        await exported()


async def test_an_export_goes_on_over_what_a_slice_had_when_it_began(
    plain_cold: Stage, environment: VirtualEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walking, "_PAGE", Budget(rows=10))
    series = await flights(plain_cold)
    expected = [each for name in ("id0", "id1", "id2") for each in await everything(series, name)]
    found, walk = list[Event](), walk_of(served(plain_cold), environment, plain_cold)
    while not walk.is_over:
        found += await walk.next()
        if walk.place.position is not None and the_slice(plain_cold).moved.compacted is None:
            await step(plain_cold)
            environment.advance(121.0)
    assert the_slice(plain_cold).moved.compacted is not None
    assert sorted(map(repr, found)) == sorted(map(repr, expected))


async def test_partitions_of_a_rewritten_slice_are_told_as_they_were_before(
    plain_cold: Stage, environment: VirtualEnvironment
) -> None:
    series = await flights(plain_cold)
    await service_of(plain_cold).observe("trips", lambda: None)
    (before,) = (await series.partition_histogram()).slices
    old = the_slice(plain_cold).table
    assert before.total_bytes
    assert before.surveyed_table is None
    await settle(plain_cold, environment)
    renewed = the_slice(plain_cold).table
    rewritten = msgspec.structs.replace(before, table=renewed, surveyed_table=old)
    assert (await series.partition_histogram()).slices == [rewritten]
    # A table of what comes late says nothing of the slice.
    await make(plain_cold, **{**DAILY, "accept_limit": "0s"})
    await series.write_event_records_sync(events=[event(YESTERDAY, "late")])
    environment.advance(3_600.0)
    assert the_slice(plain_cold).made
    for table in (None, renewed, old):
        assert (await series.partition_histogram(slice=table)).slices == [rewritten]


async def test_partitions_of_a_slice_that_nobody_saw_before_it_was_rewritten_are_not_told(
    plain_cold: Stage, environment: VirtualEnvironment
) -> None:
    series = await flights(plain_cold)
    await settle(plain_cold, environment)
    await make(plain_cold, **{**DAILY, "accept_limit": "0s"})
    await series.write_event_records_sync(events=[event(YESTERDAY, "late")])
    for table in (None, the_slice(plain_cold).table):
        (found,) = (await series.partition_histogram(slice=table)).slices
        assert (found.surveyed_at, found.total_bytes) == (None, None)
