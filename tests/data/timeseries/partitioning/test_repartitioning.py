"""Slices to come follow what was measured: proposed, decided, kept in order, and never where a slice has begun."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from tests.data.timeseries.conftest import NOW, H, S, event, everything, make, served, service_of, tend

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import NotFound, PreconditionFailed
from soundstage.data.timeseries import TimeSeries, TimeSlice
from soundstage.data.timeseries.api.partitions import ListProposalsReply, PartitionProposal, SlicePartitions
from soundstage.data.timeseries.partitioning.proposals import KEPT_MAX, Proposals
from soundstage.data.timeseries.partitioning.rule import Verdict
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.stage import Stage

MIB = 1 << 20
KIB = 1 << 10

NARROW = {"seconds_per_slice": "4h", "seconds_per_bucket": "60s"}
SCALED = {"target": "16KiB"}
"""So that small tests have large partitions."""


async def narrow(stage: Stage, mode: str = "propose", **config: Any) -> TimeSeries:
    repartitioning = {"mode": mode, **SCALED}
    return await make(
        stage, time_partition=NARROW, repartitioning=repartitioning, retention={"delete_after": "7d"}, **config
    )


async def hours(
    stage: Stage, trips: TimeSeries, count: int, ids: int = 2, size: int = 100, every_s: int = 60, role: bool = True
) -> None:
    """So many hours pass: each id has an event every minute, or as told, and the roles do what is theirs."""
    for _ in range(count):
        now = stage.environment.now_ns() // S * S
        steps = range(0, 3_600, every_s)
        events = [event(now - step * S, str(step), f"id-{one}", k=b"x" * size) for step in steps for one in range(ids)]
        if now - 3_600 * S >= NOW:
            for at in range(0, len(events), 60):
                await trips.write_event_records_sync(events=events[at : at + 60])
        await tend(stage)
        if role:
            await service_of(stage).observe("trips", lambda: None)
        _pass(stage, 3_600)


async def proposals(trips: TimeSeries) -> list[PartitionProposal]:
    return (await trips.list_proposals()).proposals


async def slices(trips: TimeSeries) -> list[TimeSlice]:
    return (await trips.list_slices()).slices


async def proposed(stage: Stage, **config: Any) -> tuple[TimeSeries, PartitionProposal]:
    """A namespace whose partitions are too narrow, and what was proposed for it."""
    trips = await narrow(stage, accept_limit="2h", **config)
    await hours(stage, trips, 14)
    (found, *_) = await proposals(trips)
    return trips, found


async def test_narrow_partitions_are_proposed_to_be_wider_once(plain_stage: Stage) -> None:
    trips, found = await proposed(plain_stage)
    assert (found.state, found.target_bytes) == ("open", 16 * KIB)
    assert 100 < found.observed_bytes < 300
    assert (found.before.seconds_per_bucket, len(found.slices)) == (60 * S, 2)
    # 60 s times 16 KiB by what a minute has, and then what divides the slice.
    assert found.after.seconds_per_bucket in (4 * H, 2 * H)
    await hours(plain_stage, trips, 8)
    assert len(await proposals(trips)) == 1


async def test_a_slice_that_was_half_full_says_nothing_yet(plain_stage: Stage) -> None:
    trips = await narrow(plain_stage, accept_limit="2h")
    await hours(plain_stage, trips, 5)
    assert (await trips.list_proposals()).verdict == "1 of 2 slices of this layout are full enough to go by"
    await hours(plain_stage, trips, 2)
    assert len(await proposals(trips)) == 1


async def test_a_proposal_alone_changes_nothing(plain_stage: Stage) -> None:
    trips, _ = await proposed(plain_stage)
    await hours(plain_stage, trips, 8)
    assert {each.seconds_per_bucket for each in await slices(trips)} == {60 * S}


async def test_what_is_applied_is_that_of_slices_to_come_alone(plain_stage: Stage) -> None:
    trips, found = await proposed(plain_stage)
    before = {each.table: each.seconds_per_bucket for each in await slices(trips) if each.start <= _now(plain_stage)}
    await trips.apply_proposal(number=found.number)
    await hours(plain_stage, trips, 8)
    after = {each.table: each.seconds_per_bucket for each in await slices(trips)}
    assert {table: after[table] for table in before} == before
    assert {width for table, width in after.items() if table not in before} == {found.after.seconds_per_bucket}
    events = await everything(trips, "id-0")
    assert len({each.event_time for each in events}) == len(events) > 15 * 60


async def test_a_slice_made_ahead_is_made_anew_where_it_is_empty(plain_stage: Stage) -> None:
    trips, found = await proposed(plain_stage)
    ahead = [each for each in await slices(trips) if each.start > _now(plain_stage)]
    while not ahead:
        await hours(plain_stage, trips, 1, role=False)
        ahead = [each for each in await slices(trips) if each.start > _now(plain_stage)]
    await trips.apply_proposal(number=found.number)
    await service_of(plain_stage).observe("trips", lambda: None)
    await tend(plain_stage)
    (again,) = [each for each in await slices(trips) if each.start == ahead[0].start]
    assert (again.seconds_per_bucket, again.table == ahead[0].table) == (found.after.seconds_per_bucket, False)


async def test_a_slice_made_ahead_that_has_events_stays(plain_stage: Stage) -> None:
    trips, found = await proposed(plain_stage, accept_future="1d")
    await trips.write_event_records_sync(events=[event(_now(plain_stage) + 12 * H, "early")])
    ahead = [each.table for each in await slices(trips)]
    # From now on nobody could write to it for a while.
    await narrow(plain_stage, accept_limit="2h")
    await trips.apply_proposal(number=found.number)
    await service_of(plain_stage).observe("trips", lambda: None)
    assert ahead[-1] in [each.table for each in await slices(trips)]
    assert [each.event_id for each in await everything(trips)] == ["early"]


async def test_a_slice_that_is_about_to_begin_stays(plain_stage: Stage) -> None:
    trips, found = await proposed(plain_stage)
    while not (ahead := [each for each in await slices(trips) if each.start > _now(plain_stage)]):
        await hours(plain_stage, trips, 1, role=False)
    _pass(plain_stage, (ahead[0].start - _now(plain_stage)) / S - 300)
    await trips.apply_proposal(number=found.number)
    await service_of(plain_stage).observe("trips", lambda: None)
    assert ahead[0].table in [each.table for each in await slices(trips)]


async def test_what_is_rejected_is_not_proposed_again(plain_stage: Stage) -> None:
    trips, found = await proposed(plain_stage)
    rejected = await trips.reject_proposal(number=found.number, why="too soon")
    assert (rejected.state, rejected.why, rejected.decided_by) == ("rejected", "too soon", "local")
    await hours(plain_stage, trips, 8)
    assert [each.state for each in await proposals(trips)] == ["rejected"]
    # And may be applied yet.
    assert (await trips.apply_proposal(number=found.number)).state == "applied"


async def test_what_is_reverted_is_as_it_was_and_not_proposed_again(plain_stage: Stage) -> None:
    trips, found = await proposed(plain_stage)
    await trips.apply_proposal(number=found.number)
    assert (await trips.list_proposals()).layout == found.after
    reverted = await trips.revert_proposal(number=found.number, why="reads got slower")
    assert (reverted.state, reverted.why) == ("reverted", "reads got slower")
    assert (await trips.list_proposals()).layout == found.before
    await hours(plain_stage, trips, 8)
    assert {each.seconds_per_bucket for each in await slices(trips)} == {60 * S}
    assert len(await proposals(trips)) == 1


async def test_every_decision_says_who_and_when_and_is_audited(
    plain_stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        trips, found = await proposed(plain_stage)
        applied = await trips.apply_proposal(number=found.number, why="as measured")
    assert (applied.decided_by, applied.decided_at is not None) == ("local", True)
    lines = {record.getMessage(): record for record in caplog.records}
    made = lines["other partitions are proposed for slices to come"].__dict__
    assert (made["observed"], made["target"]) == (found.observed_bytes, found.target_bytes)
    assert (made["before"], "over 1 partitions" in made["after"]) == ("buckets of 1m over 1 partitions", True)
    decided = lines["partitioning applied"]
    assert (decided.name, decided.__dict__["by"], decided.__dict__["why"]) == (
        "soundstage.audit",
        "local",
        "as measured",
    )


async def test_decisions_that_come_too_late_are_refused(plain_stage: Stage) -> None:
    trips, found = await proposed(plain_stage)
    with pytest.raises(PreconditionFailed):
        await trips.revert_proposal(number=found.number)
    await trips.apply_proposal(number=found.number)
    for late in (trips.apply_proposal, trips.reject_proposal):
        with pytest.raises(PreconditionFailed):
            await late(number=found.number)
    with pytest.raises(NotFound, match="there is no proposal 99"):
        await trips.apply_proposal(number=99)


async def test_whoever_changes_the_knobs_is_obeyed(plain_stage: Stage) -> None:
    trips, found = await proposed(plain_stage)
    await trips.apply_proposal(number=found.number)
    changed = {**NARROW, "event_buckets": 3}
    await make(plain_stage, time_partition=changed, accept_limit="2h", retention={"delete_after": "7d"})
    layout = (await trips.list_proposals()).layout
    assert (layout.seconds_per_bucket, layout.event_buckets) == (60 * S, 3)
    with pytest.raises(PreconditionFailed):
        await trips.revert_proposal(number=found.number)


async def test_another_proposal_takes_the_place_of_one_that_nobody_decided(plain_stage: Stage) -> None:
    trips, found = await proposed(plain_stage)
    await hours(plain_stage, trips, 9, size=2_000)
    states = {each.number: each.state for each in await proposals(trips)}
    assert states == {found.number: "superseded", found.number + 1: "open"}
    with pytest.raises(PreconditionFailed, match="took its place"):
        await trips.apply_proposal(number=found.number)


async def test_off_proposes_nothing(plain_stage: Stage) -> None:
    trips = await narrow(plain_stage, "off", accept_limit="2h")
    await hours(plain_stage, trips, 14)
    told = await trips.list_proposals()
    assert (told.mode, told.proposals) == ("off", [])
    assert "99 of 100 partitions have" in told.verdict


async def test_auto_applies_what_it_proposes_and_comes_to_rest(stage: Stage) -> None:
    trips = await narrow(stage, "auto", accept_limit="2h")
    await hours(stage, trips, 40)
    found = await proposals(trips)
    assert [(each.state, each.decided_by) for each in found] == [("applied", "timeseries-partitioning")]
    last = (await slices(trips))[-1]
    assert last.seconds_per_bucket == found[0].after.seconds_per_bucket


async def test_the_next_slices_have_what_was_aimed_at(plain_stage: Stage) -> None:
    """At full size: events of 32 KiB a minute in buckets of a minute, and partitions of 2 to 10 MiB afterwards."""
    trips = await make(
        plain_stage,
        time_partition=NARROW,
        repartitioning={"mode": "auto"},
        retention={"delete_after": "10h"},
        accept_limit="2h",
    )
    await hours(plain_stage, trips, 25, ids=2, size=32 * KIB)
    (applied,) = await proposals(trips)
    wide = {each.table for each in await slices(trips) if each.seconds_per_bucket == applied.after.seconds_per_bucket}
    full = [each for each in await _measured(trips) if each.table in wide and each.end <= _now(plain_stage)]
    assert full
    for each in full:
        assert each.bytes is not None
        assert 2 * MIB <= each.bytes.p99 <= 10 * MIB


async def test_wide_partitions_come_to_what_was_aimed_at_too(plain_stage: Stage) -> None:
    trips = await make(
        plain_stage,
        time_partition={"seconds_per_slice": "4h", "seconds_per_bucket": "4h"},
        repartitioning={"mode": "auto", "target": "256KiB"},
        retention={"delete_after": "10h"},
        accept_limit="2h",
    )
    await hours(plain_stage, trips, 25, ids=9, size=6 * KIB)
    # The first slice had events in its last hours alone, and is believed: it may take two steps, both narrower.
    for applied in await proposals(trips):
        assert applied.before.seconds_per_bucket > applied.after.seconds_per_bucket
    full = [each for each in await _measured(trips) if each.end <= _now(plain_stage)][-1:]
    assert [each.bytes is not None and 128 * KIB <= each.bytes.p99 <= 640 * KIB for each in full] == [True]


async def test_only_the_last_proposals_are_kept(plain_stage: Stage) -> None:
    trips, found = await proposed(plain_stage)
    known = served(plain_stage)
    some = Proposals(known.table, plain_stage.environment)
    await trips.apply_proposal(number=found.number)
    for number in range(KEPT_MAX + 5):
        layout = known.layout._replace(bucket_ns=(61 + number) * S)
        assert await some.propose("trips", known.layout, Verdict("because", layout, 1, ("t",)), 4 * MIB)
    kept = (await some.known()).proposals
    assert len(kept) == KEPT_MAX
    # What is in force can still be reverted.
    assert {found.number, KEPT_MAX + 5 + found.number} <= set(kept)
    assert (await trips.revert_proposal(number=found.number)).state == "reverted"


async def test_what_was_decided_outlives_the_process(plain_stage: Stage) -> None:
    trips, found = await proposed(plain_stage)
    await trips.apply_proposal(number=found.number)
    before: ListProposalsReply = await trips.list_proposals()
    del service_of(plain_stage)._served["trips"]
    assert (await trips.list_proposals()).layout == before.layout == found.after


async def test_a_namespace_of_that_name_that_is_made_anew_knows_nothing_of_it(plain_stage: Stage) -> None:
    trips, found = await proposed(plain_stage)
    await trips.apply_proposal(number=found.number)
    await plain_stage.client(Namespaces).delete(name="trips")
    again = await narrow(plain_stage, accept_limit="2h")
    assert (await again.list_proposals()).proposals == []


async def _measured(trips: TimeSeries) -> list[SlicePartitions]:
    return (await trips.partition_histogram()).slices


def _now(stage: Stage) -> int:
    return stage.environment.now_ns()


def _pass(stage: Stage, seconds: float) -> None:
    assert isinstance(stage.environment, VirtualEnvironment)
    stage.environment.advance(seconds)
