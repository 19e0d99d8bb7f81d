from __future__ import annotations

from pathlib import Path

import pytest
from tests.runtime.conftest import OpenStage

from soundstage.core.errors import InvalidArgument, NotFound
from soundstage.core.namespace import LatencyObjective, Objective
from soundstage.core.provisioning import Workload
from soundstage.core.time import Duration
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.stage import Stage

SMALL = Workload(reads_per_second=1_000, writes_per_second=100, items=1_000_000)
S = 1_000_000_000


@pytest.fixture
def namespaces(stage: Stage) -> Namespaces:
    return stage.client(Namespaces)


async def test_what_is_planned_can_be_put(namespaces: Namespaces) -> None:
    plan = (await namespaces.plan(name="profiles", workload=SMALL)).plan
    assert plan is not None
    made = await namespaces.put(namespace=plan.namespace)
    assert (made.engines, made.quotas.reads_per_second) == ({"records": "default"}, 2_000)


async def test_a_plan_makes_nothing(namespaces: Namespaces) -> None:
    await namespaces.plan(name="profiles", workload=SMALL)
    with pytest.raises(NotFound):
        await namespaces.get(name="profiles")


async def test_the_default_engine_is_preferred(open_stage: OpenStage) -> None:
    engines = {"a": {"url": "memory:"}, "default": {"url": "memory:"}}
    async with open_stage({"engines": engines}) as stage:
        plan = (await stage.client(Namespaces).plan(name="x", workload=SMALL)).plan
        assert plan is not None
        assert plan.namespace.engines == {"records": "default"}


async def test_another_engine_is_planned_for_when_named(open_stage: OpenStage) -> None:
    async with open_stage({"engines": {"a": {"url": "memory:"}}}) as stage:
        plan = (await stage.client(Namespaces).plan(name="x", workload=SMALL, engine="a")).plan
        assert plan is not None
        assert plan.namespace.engines == {"records": "a"}


async def test_a_folder_too_small_for_it_is_an_excuse_and_no_error(tmp_path: Path, open_stage: OpenStage) -> None:
    async with open_stage({"engines": {"disk": {"url": f"rocksdb://{tmp_path}/records"}}}) as stage:
        vast = Workload(reads_per_second=1, writes_per_second=1, items=10**15)
        found = await stage.client(Namespaces).plan(name="x", workload=vast, engine="disk")
        assert found.plan is None
        assert found.excuse is not None
        assert found.excuse.bottleneck == "storage"


async def test_an_engine_that_is_none_is_refused(namespaces: Namespaces) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await namespaces.plan(name="x", workload=SMALL, engine="defalt")
    assert (caught.value.field, caught.value.hint) == ("engine", "did you mean 'default'?")


async def test_a_system_that_plans_nothing_is_refused(namespaces: Namespaces) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await namespaces.plan(name="x", workload=SMALL, abstraction="notes")
    assert caught.value.field == "abstraction"


async def test_objectives_that_no_namespace_may_have_are_refused(namespaces: Namespaces) -> None:
    latency = LatencyObjective(target=Duration(2 * S), max=Duration(S))
    asked = Workload(reads_per_second=1, writes_per_second=1, items=1, slos={"read": Objective(latency=latency)})
    with pytest.raises(InvalidArgument) as caught:
        await namespaces.plan(name="x", workload=asked)
    assert caught.value.field == "workload.slos.read.latency.target"


async def test_a_name_that_no_namespace_may_have_is_refused(namespaces: Namespaces) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await namespaces.plan(name="a b", workload=SMALL)
    assert caught.value.field == "name"
