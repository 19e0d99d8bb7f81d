"""What the published models say; they are there only with a Python below 3.13, and without them an answer says so."""

from __future__ import annotations

import sys
from typing import Any

import msgspec
import pytest

from soundstage.core.errors import InvalidArgument, Unavailable
from soundstage.core.provisioning import Workload
from soundstage.runtime.namespaces.second_opinion import second_opinion

MODEL = "org.netflix.key-value"
WORKLOAD = Workload(reads_per_second=2_000, writes_per_second=500, items=10_000_000)

published = sys.version_info < (3, 13)


def test_the_models_plan_machines_and_tell_what_they_cost() -> None:
    if not published:
        return
    opinion = second_opinion(MODEL, WORKLOAD, "us-east-1")
    assert {"cassandra", "dgwkv"} <= {cluster.kind for cluster in opinion.clusters}
    assert 0 < sum(cluster.annual_cost for cluster in opinion.clusters) <= opinion.annual_cost


def test_a_larger_workload_costs_more() -> None:
    if not published:
        return
    larger = msgspec.structs.replace(WORKLOAD, reads_per_second=100_000.0, items=1_000_000_000)
    costs = [second_opinion(MODEL, each, "us-east-1").annual_cost for each in (WORKLOAD, larger)]
    assert costs[0] < costs[1]


def test_many_reads_that_may_be_stale_get_a_cache() -> None:
    if not published:
        return
    stale = msgspec.structs.replace(WORKLOAD, reads_per_second=260_000.0, stale_reads=True)
    assert "evcache" in {cluster.kind for cluster in second_opinion(MODEL, stale, "us-east-1").clusters}


def test_a_region_without_prices_is_refused_with_those_that_have_them() -> None:
    if not published:
        return
    with pytest.raises(InvalidArgument, match="mars-1") as caught:
        second_opinion(MODEL, WORKLOAD, "mars-1")
    assert "us-east-1" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("parts", "what"),
    [
        ({"reads_per_second": 1e7}, "calls per second"),
        ({"writes_per_second": 1e5, "items_per_write": 10_000}, "per second"),
        ({"items": 10**15}, "bytes kept"),
    ],
)
def test_what_the_models_would_think_about_for_minutes_is_refused(parts: dict[str, Any], what: str) -> None:
    with pytest.raises(InvalidArgument, match=what) as caught:
        second_opinion(MODEL, msgspec.structs.replace(WORKLOAD, **parts), "us-east-1")
    assert caught.value.field == "workload"


def test_a_system_without_a_model_is_refused() -> None:
    with pytest.raises(InvalidArgument) as caught:
        second_opinion(None, WORKLOAD, "us-east-1")
    assert caught.value.field == "second_opinion"


def test_without_the_package_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("service_capacity_modeling")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "service_capacity_modeling", None)
    with pytest.raises(Unavailable) as caught:
        second_opinion(MODEL, WORKLOAD, "us-east-1")
    assert "soundstage[capacity]" in (caught.value.hint or "")
