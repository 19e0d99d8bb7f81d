"""The operations as a whole: slices as they are told, retention while it is changed, and what the stage does around."""

from __future__ import annotations

import pytest
from tests.data.timeseries.conftest import (
    DAY,
    NOW,
    H,
    OpenStage,
    event,
    everything,
    ids,
    make,
    served,
    service_of,
    tend,
)

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import InvalidArgument, NotFound
from soundstage.data.timeseries import TimeSeries
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.stage import Stage

DAILY = {"seconds_per_slice": "1d", "seconds_per_bucket": "1h", "event_buckets": 2}
KEPT = {"close_after": "5d", "delete_after": "6d"}


async def tables(stage: Stage) -> list[str]:
    return [spec.name for spec in await stage.engines.get("default", "").tables() if "timeseries/" in spec.name]


async def test_slices_are_told_with_their_settings_and_times(stage: Stage) -> None:
    trips = await make(stage, time_partition=DAILY, retention=KEPT, accept_limit="3h")
    await trips.write_event_records_sync(events=[event(NOW)])
    (found,) = (await trips.list_slices()).slices
    start = NOW // DAY * DAY
    assert (found.start, found.end, found.state) == (start, start + DAY, "active")
    assert (str(found.seconds_per_bucket), found.event_buckets) == ("1h", 2)
    assert (found.closes_at, found.deleted_at) == (start + 6 * DAY, start + 7 * DAY)
    assert found.table in await tables(stage)


async def test_a_slice_goes_from_active_to_gone(stage: Stage, environment: VirtualEnvironment) -> None:
    trips = await make(stage, time_partition=DAILY, retention=KEPT, accept_limit="3h")
    await trips.write_event_records_sync(events=[event(NOW)])
    states: list[str] = []
    for hours in (0, 24, 90, 24):
        environment.advance(hours * 3_600)
        await tend(stage)
        states += [each.state for each in (await trips.list_slices()).slices if each.start < NOW]
    # The next one, made ahead, goes its own way.
    assert states == ["active", "immutable", "immutable", "closed"]
    assert await everything(trips) == []
    environment.advance(86_400)
    await tend(stage)
    assert min(each.start for each in (await trips.list_slices()).slices) > NOW


async def test_prolonged_retention_keeps_what_is_there_and_revives_nothing_that_is_gone(
    stage: Stage, environment: VirtualEnvironment
) -> None:
    trips = await make(stage, time_partition=DAILY, retention=KEPT, accept_limit="5d")
    await trips.write_event_records_sync(events=[event(NOW - day * DAY, str(day)) for day in range(4)])
    environment.advance(4 * 86_400)
    await tend(stage)
    assert ids(await everything(trips)) == ["0", "1"]
    await make(stage, time_partition=DAILY, retention={"close_after": "50d", "delete_after": "60d"})
    assert ids(await everything(trips)) == ["0", "1", "2"]
    environment.advance(40 * 86_400)
    await tend(stage)
    assert ids(await everything(trips)) == ["0", "1", "2"]
    await make(stage, time_partition=DAILY, retention=KEPT)
    assert await everything(trips) == []


async def test_new_settings_are_those_of_future_slices_and_all_is_read(
    stage: Stage, environment: VirtualEnvironment
) -> None:
    trips = await make(stage, time_partition=DAILY)
    await trips.write_event_records_sync(events=[event(NOW, "old")])
    await make(stage, time_partition={"seconds_per_slice": "2h", "seconds_per_bucket": "10m", "event_buckets": 4})
    await trips.write_event_records_sync(events=[event(NOW - H, "same slice")])
    environment.advance(6 * 3_600)
    later = environment.now_ns()
    await trips.write_event_records_sync(events=[event(later - number, f"new{number}") for number in range(3)])
    assert [(str(each.seconds_per_bucket), each.event_buckets) for each in (await trips.list_slices()).slices] == [
        ("1h", 2),
        ("10m", 4),
    ]
    assert ids(await everything(trips)) == ["new0", "new1", "new2", "old", "same slice"]


async def test_a_slice_in_use_is_followed_by_one_made_ahead(stage: Stage) -> None:
    trips = await make(stage, time_partition=DAILY)
    await tend(stage)
    assert (await trips.list_slices()).slices == []
    await trips.write_event_records_sync(events=[event(NOW)])
    await tend(stage)
    first, second = (await trips.list_slices()).slices
    assert second.start == first.end
    assert second.table in await tables(stage)


async def test_everything_is_there_after_a_restart(open_stage: OpenStage) -> None:
    stage = await open_stage("rocksdb")
    trips = await make(stage, time_partition=DAILY)
    events = [event(NOW - number * H, f"e{number}") for number in range(40)]
    await trips.write_event_records_sync(events=events)
    await stage.stop()
    trips = (await stage.start()).client(TimeSeries, "trips")
    assert await everything(trips) == events
    assert len((await trips.list_slices()).slices) == 2


async def test_a_deleted_namespace_leaves_no_table_and_one_of_its_name_begins_empty(stage: Stage) -> None:
    trips = await make(stage, time_partition=DAILY)
    await trips.write_event_records_sync(events=[event(NOW), event(NOW - DAY)])
    assert len(await tables(stage)) == 3
    await stage.client(Namespaces).delete(name="trips")
    assert await tables(stage) == []
    with pytest.raises(NotFound):
        await everything(trips)
    await make(stage)
    assert await everything(trips) == []


async def test_namespaces_and_ids_are_apart(stage: Stage) -> None:
    one, other = await make(stage, "one"), await make(stage, "other")
    await one.write_event_records_sync(events=[event(NOW, "a"), event(NOW, "b", series="bob")])
    await other.write_event_records_sync(events=[event(NOW, "c")])
    assert [ids(await everything(one)), ids(await everything(one, "bob"))] == [["a"], ["b"]]
    assert ids(await everything(other)) == ["c"]


async def test_an_export_that_would_lack_the_slices_is_refused(stage: Stage) -> None:
    trips = await make(stage)
    await trips.write_event_records_sync(events=[event(NOW)])
    with pytest.raises(InvalidArgument, match="made tables of its own"):
        await stage.client(Namespaces).export(name="trips")
    with pytest.raises(InvalidArgument, match="made tables of its own"):
        await stage.client(Namespaces).copy(name="trips", to="other")


async def test_what_was_done_is_measured_by_namespace_and_forgotten_with_it(plain_stage: Stage) -> None:
    trips = await make(plain_stage)
    await trips.write_event_records_sync(events=[event(NOW, "a"), event(NOW, "b")])
    await everything(trips)
    found = {each.name: each.value for each in service_of(plain_stage).measurements()}
    assert (found["timeseries_events_written"], found["timeseries_events_read"], found["timeseries_slices"]) == (
        2,
        2,
        1,
    )
    await plain_stage.client(Namespaces).delete(name="trips")
    assert list(service_of(plain_stage).measurements()) == []


async def test_what_was_learnt_of_a_namespace_outlives_its_changes_and_not_itself(plain_stage: Stage) -> None:
    trips = await make(plain_stage)
    await trips.write_event_records_sync(events=[event(NOW)])
    before = served(plain_stage)
    await make(plain_stage, page_size=7)
    await everything(trips)
    assert served(plain_stage).catalogue is before.catalogue
    await plain_stage.client(Namespaces).delete(name="trips")
    await make(plain_stage)
    await everything(trips)
    assert served(plain_stage).catalogue is not before.catalogue
