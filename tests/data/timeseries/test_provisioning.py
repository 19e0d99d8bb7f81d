"""Plans of time series: the published rules, which engine takes them, and what is refused."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.data.timeseries.conftest import DAY, H, S

from soundstage.core.errors import InvalidArgument
from soundstage.core.provisioning import Design, EventWorkload, Excuse, Ground, Terrain, Workload
from soundstage.core.time import Duration
from soundstage.data.timeseries.provisioning import capacity_arguments, cut_of, plan
from soundstage.engines.records.port import Capability
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.stage import Stage

ALL = frozenset(str(each) for each in Capability)
DISK = Ground("disk", "rocksdb", ALL, free_bytes=10**13)
CLUSTER = Ground("cluster", "cassandra", ALL)

published = sys.version_info < (3, 13)

MANY = {"per_day": 1e6, "read_interval": Duration(DAY), "retention": Duration(30 * DAY)}
"""What the published rules are known to make of 1 KiB events: slices of 14 days, 8 buckets, 8 partitions a read."""


def workload(events: dict[str, Any] | None = None, **parts: Any) -> Workload:
    usual: dict[str, Any] = {"reads_per_second": 100.0, "writes_per_second": 100.0, "items": 10**8}
    return Workload(**usual | parts, events=EventWorkload(**events or {}))


def planned(events: dict[str, Any] | None = None, *grounds: Ground, **parts: Any) -> Design:
    found = plan(workload(events, **parts), Terrain(grounds or (DISK, CLUSTER), 8))
    assert isinstance(found, Design), found
    return found


def refused(events: dict[str, Any] | None = None, *grounds: Ground, **parts: Any) -> Excuse:
    found = plan(workload(events, **parts), Terrain(grounds or (DISK, CLUSTER), 8))
    assert isinstance(found, Excuse), found
    return found


def test_a_million_events_a_day_of_one_id() -> None:
    cut = cut_of(found := workload(MANY), found.events or EventWorkload())
    assert (cut.width_ns, cut.event_buckets, cut.amplification) == (14 * DAY, 8, 8)
    assert planned(MANY).config["time_partition"] == {
        "seconds_per_slice": "14d",
        "seconds_per_bucket": "1d",
        "event_buckets": 8,
    }


@pytest.mark.parametrize(
    ("days", "width"),
    [
        (0.25, 4 * H),
        (1, 4 * H),
        (7, DAY),
        (14, 7 * DAY),
        (30, 14 * DAY),
        (90, 30 * DAY),
        (180, 90 * DAY),
        (365, 180 * DAY),
        (400, 365 * DAY),
    ],
)
def test_slices_are_as_wide_as_the_retention_says(days: float, width: int) -> None:
    found = workload({"retention": Duration(int(days * DAY))})
    assert cut_of(found, found.events or EventWorkload()).width_ns == width


@pytest.mark.slow
@settings(deadline=None)
@given(
    retention=st.sampled_from([None, 6 * H, DAY, 5 * DAY, 14 * DAY, 15 * DAY, 60 * DAY, 200 * DAY, 1_000 * DAY]),
    read_s=st.sampled_from([900, 3_600, 86_400, 7 * 86_400, 40 * 86_400]),
    per_day=st.integers(1, 10**8),
    size=st.integers(1, 10**6),
)
def test_the_published_planner_cuts_time_alike(retention: int | None, read_s: int, per_day: int, size: int) -> None:
    if not published:
        return
    from service_capacity_modeling.models.org.netflix.time_series_config import TimeSeriesConfiguration

    kept = None if retention is None else Duration(retention)
    asked = workload(
        {"retention": kept, "read_interval": Duration(read_s * S), "per_day": float(per_day)}, item_bytes=size
    )
    theirs = TimeSeriesConfiguration(capacity_arguments(asked))
    cut = cut_of(asked, asked.events or EventWorkload())
    ours = cut.width_ns // S, cut.bucket_ns // S, cut.event_buckets, cut.amplification
    assert ours == (
        theirs.seconds_per_slice,
        theirs.seconds_per_interval,
        theirs.buckets_per_id,
        theirs.read_amplification,
    )


def test_a_bucket_is_no_narrower_than_slices_may_have() -> None:
    found = planned({"read_interval": Duration(S)})
    cut = cut_of(asked := workload({"read_interval": Duration(S)}), asked.events or EventWorkload())
    assert 365 * DAY / cut.bucket_ns <= 65_536
    assert any("the narrowest there is" in reason for reason in found.reasons)


def test_reads_of_everything_are_of_what_is_kept() -> None:
    always = workload({"read_interval": Duration(0), "per_day": 1.0})
    assert cut_of(always, always.events or EventWorkload()).amplification == 1
    month = workload({"read_interval": Duration(0), "retention": Duration(30 * DAY)})
    assert cut_of(month, month.events or EventWorkload()).amplification == 3


def test_what_is_kept_for_ever_may_come_from_any_time() -> None:
    config = planned().config
    assert (config["accept_limit"], config["time_partition"]["seconds_per_slice"]) == ("0s", "0s")
    assert "retention" not in config


def test_what_is_dropped_is_accepted_for_ten_minutes_unless_told() -> None:
    assert planned({"retention": Duration(7 * DAY)}).config["accept_limit"] == "10m"
    limit = {"retention": Duration(7 * DAY), "accept_limit": Duration(4 * H)}
    assert planned(limit).config["accept_limit"] == "4h"


def test_events_that_may_be_lost_wait_for_others() -> None:
    waits = [planned({"fire_and_forget": lost}).config["queue_buffering"]["coalesce"] for lost in (True, False)]
    assert waits == ["1s", "1ms"]


def test_the_disk_has_room_for_the_slice_that_outlives_the_retention() -> None:
    for_ever, month = planned(), planned({"retention": Duration(30 * DAY)})
    assert for_ever.storage_bytes == pytest.approx(10**8 * (1_024 + 65) * 1.1, abs=2)
    assert month.storage_bytes / for_ever.storage_bytes == pytest.approx(1 + 15 / 30)


def test_a_read_of_more_partitions_costs_more_processors() -> None:
    few = planned({"read_interval": Duration(H), "retention": Duration(DAY)}, reads_per_second=3_000.0)
    many = planned({"read_interval": Duration(H), "per_day": 1e9}, reads_per_second=3_000.0)
    assert few.processes < many.processes


def test_partitions_that_stay_too_large_are_said() -> None:
    assert any("partitions will have 122 MiB" in reason for reason in planned(MANY).reasons)
    assert not any("partitions will have" in reason for reason in planned().reasons)


def test_what_is_searched_for_needs_an_index_beside_it() -> None:
    assert any("`index`" in reason for reason in planned({"searched": True}).reasons)


@pytest.mark.parametrize(
    ("events", "parts", "bottleneck"),
    [
        ({"retention": Duration(5 * H)}, {}, "retention"),
        ({"retention": Duration(DAY), "accept_limit": Duration(2 * DAY)}, {}, "accept_limit"),
        ({}, {"conditional_writes": True}, "conditional_writes"),
    ],
)
def test_what_no_engine_could_do(events: dict[str, Any], parts: dict[str, Any], bottleneck: str) -> None:
    assert refused(events, **parts).bottleneck == bottleneck


def test_an_engine_that_decides_nothing_is_refused() -> None:
    assert refused({}, Ground("plain", "rocksdb", frozenset())).bottleneck == "conditional_writes"


def test_what_a_disk_cannot_hold_goes_to_the_cluster_which_says_why() -> None:
    found = planned(items=10**11)
    assert found.engine == "cluster"
    assert found.reasons[0].startswith("the engine 'disk' (rocksdb) is not enough: 119,790.0 GB are needed")


def test_what_one_owner_cannot_write_is_refused_where_there_is_no_other() -> None:
    assert refused({}, DISK, writes_per_second=200_000.0).bottleneck == "owner"


def test_without_events_there_is_nothing_to_go_by() -> None:
    asked = Workload(reads_per_second=1.0, writes_per_second=1.0, items=1)
    with pytest.raises(InvalidArgument) as caught:
        plan(asked, Terrain((DISK,), 8))
    assert caught.value.field == "workload.events"


async def test_a_plan_can_be_put_as_it_is(plain_stage: Stage) -> None:
    namespaces = plain_stage.client(Namespaces)
    for number, events in enumerate((MANY, {}, {"read_interval": Duration(S), "fire_and_forget": True})):
        asked = workload(events, items=10**6, reads_per_second=1.0)
        plan = (await namespaces.plan(name=f"n{number}", abstraction="timeseries", workload=asked)).plan
        assert plan is not None
        made = await namespaces.put(namespace=plan.namespace)
        assert (made.config or {})["time_partition"] == (plan.namespace.config or {})["time_partition"]


async def test_bounds_of_what_is_asked_are_kept(plain_stage: Stage) -> None:
    asked = workload({"retention": Duration(4_000 * DAY)})
    with pytest.raises(InvalidArgument) as caught:
        await plain_stage.client(Namespaces).plan(name="x", abstraction="timeseries", workload=asked)
    assert caught.value.field == "workload.events.retention"


def test_the_published_model_is_told_what_it_asks_for() -> None:
    asked = workload(
        MANY | {"accept_limit": Duration(4 * H), "searched": True, "fire_and_forget": True}, stale_reads=True
    )
    assert capacity_arguments(asked) == {
        "ts.hot.retention-interval": "PT2592000S",
        "ts.read-interval": "PT86400S",
        "ts.events-per-day-per-ts": 1_000_000,
        "ts.event-size": 1_024,
        "ts.accept-limit": "PT14400S",
        "ts.fire-and-forget": True,
        "ts.read-consistency": "eventual",
        "search.enabled": True,
    }


@pytest.mark.slow
async def test_the_published_model_rents_more_where_events_are_searched(plain_stage: Stage) -> None:
    if not published:
        return
    namespaces = plain_stage.client(Namespaces)

    async def kinds(**events: Any) -> set[str]:
        asked = workload(MANY | events, items=10**6, reads_per_second=1.0)
        found = await namespaces.plan(name="x", abstraction="timeseries", workload=asked, second_opinion=True)
        assert found.second_opinion is not None
        return {cluster.kind for cluster in found.second_opinion.clusters}

    plain, searched = await kinds(), await kinds(searched=True)
    assert {"cassandra", "dgwts"} <= plain
    assert searched - plain
