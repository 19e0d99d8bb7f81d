from __future__ import annotations

import pytest

from soundstage.core.namespace import LatencyObjective, Objective
from soundstage.core.provisioning import Design, Excuse, Ground, Terrain, Workload
from soundstage.core.size import Size
from soundstage.core.time import Duration
from soundstage.data.kv.provisioning import PAGE_MAX, PAGE_MIN, plan
from soundstage.engines.records.port import Capability

ALL = frozenset(str(each) for each in Capability)
DISK = Ground("disk", "rocksdb", ALL, free_bytes=10**12)
CLUSTER = Ground("cluster", "cassandra", ALL)
MS = 1_000_000


def terrain(*grounds: Ground, processors: int = 8) -> Terrain:
    return Terrain(grounds or (DISK, CLUSTER), processors)


def workload(reads: float = 1_000, writes: float = 100, items: int = 1_000_000, **parts: object) -> Workload:
    return Workload(reads_per_second=reads, writes_per_second=writes, items=items, **parts)  # pyright: ignore[reportArgumentType]


def planned(workload: Workload, on: Terrain | None = None) -> Design:
    found = plan(workload, on or terrain())
    assert isinstance(found, Design), found
    return found


def refused(workload: Workload, on: Terrain) -> Excuse:
    found = plan(workload, on)
    assert isinstance(found, Excuse), found
    return found


def reads_within(ms: int) -> dict[str, Objective]:
    return {"read": Objective(latency=LatencyObjective(target=Duration(ms * MS)))}


def test_a_small_workload_stays_on_the_first_engine_in_one_process() -> None:
    found = planned(workload())
    assert (found.engine, found.processes, found.cached) == ("disk", 1, False)


def test_more_calls_than_one_process_serves_half_used_take_several() -> None:
    assert planned(workload(reads=30_000)).processes == 3


def test_what_one_owner_cannot_write_goes_to_the_cluster_which_says_why() -> None:
    found = planned(workload(writes=40_000))
    assert found.engine == "cluster"
    assert found.reasons[0].startswith("the engine 'disk' (rocksdb) is not enough: one process owns it")


def test_what_its_disk_cannot_hold_is_refused_with_both_amounts() -> None:
    excuse = refused(workload(items=10**9), terrain(DISK))
    assert (excuse.bottleneck, excuse.detail) == ("storage", "1,467.7 GB are needed and half of 1,000.0 GB are free")


def test_what_the_processors_cannot_serve_is_refused() -> None:
    assert refused(workload(reads=60_000), terrain(DISK, processors=2)).bottleneck == "processors"


def test_a_stage_without_an_engine_gets_told_to_add_one() -> None:
    assert refused(workload(), Terrain((), 8)).bottleneck == "engines"


def test_conditions_are_planned_only_where_they_are_decided() -> None:
    without = DISK._replace(capabilities=ALL - {Capability.CONDITIONAL.value})
    assert refused(workload(conditional_writes=True), terrain(without)).bottleneck == "conditional_writes"
    found = planned(workload(conditional_writes=True), terrain(without, CLUSTER))
    assert found.config["conditional_writes"] is True
    assert any("lightweight transaction" in reason for reason in found.reasons)


def test_storage_counts_records_items_and_what_waits_for_compaction() -> None:
    wide = planned(workload(items=1_000, item_bytes=970, items_per_record=1_000))
    thin = planned(workload(items=1_000, item_bytes=970))
    assert wide.storage_bytes == round(1.3 * (1_000 * 1_000 + 75))
    assert thin.storage_bytes - wide.storage_bytes == pytest.approx(1.3 * 999 * 75, abs=1)


def test_storage_on_a_cluster_counts_replicas_and_the_room_of_a_compaction() -> None:
    one = planned(workload(), terrain(DISK)).storage_bytes / 1.3
    assert planned(workload(), terrain(CLUSTER)).storage_bytes == pytest.approx(6 * one, rel=1e-6)


def test_without_an_objective_pages_are_as_large_as_they_may_be_by_default() -> None:
    assert planned(workload()).config["page_size_bytes"] == str(Size(PAGE_MAX))


def test_a_stricter_objective_makes_smaller_pages() -> None:
    sizes = [
        Size.parse(planned(workload(item_bytes=100, slos=reads_within(ms))).config["page_size_bytes"])
        for ms in (1, 5, 20, 500)
    ]
    assert sizes == sorted(sizes)
    assert sizes[0] == PAGE_MIN
    assert sizes[0] < sizes[2] < sizes[3] == PAGE_MAX


def test_a_page_of_the_planned_size_takes_less_than_the_objective() -> None:
    size = Size.parse(planned(workload(item_bytes=1_000, slos=reads_within(10))).config["page_size_bytes"])
    assert 40 + size / 1_000 * (3 + 1_000 * 0.0015) <= 10_000


def test_pages_from_a_cluster_are_smaller_for_the_same_objective() -> None:
    asked = workload(item_bytes=100, slos=reads_within(20))
    here, there = (planned(asked, terrain(ground)).config["page_size_bytes"] for ground in (DISK, CLUSTER))
    assert Size.parse(there) < Size.parse(here)


@pytest.mark.parametrize(
    ("reads", "writes", "stale", "cached"),
    [
        (260_000, 1_000_000, True, True),
        (110_000, 100_000, True, True),
        (110_000, 130_000, True, False),
        (90_000, 10, True, False),
        (260_000, 10, False, False),
    ],
)
def test_a_cache_pays_by_the_published_rule(reads: float, writes: float, stale: bool, cached: bool) -> None:
    assert planned(workload(reads, writes, stale_reads=stale), terrain(CLUSTER)).cached is cached


def test_quotas_are_twice_what_is_expected_and_none_where_nothing_is() -> None:
    quotas = planned(workload(reads=500, writes=0)).quotas
    assert (quotas.reads_per_second, quotas.writes_per_second) == (1_000, None)


def test_quotas_stay_within_what_a_namespace_may_have() -> None:
    quotas = planned(workload(reads=1e9, writes=1e-7), terrain(CLUSTER)).quotas
    assert (quotas.reads_per_second, quotas.writes_per_second) == (1e9, None)


def test_an_engine_that_forgets_is_told_of() -> None:
    forgetful = Ground("ram", "memory", ALL - {Capability.DURABLE.value})
    assert "'ram' keeps nothing over a restart" in planned(workload(), terrain(forgetful)).reasons
