"""The role that tends slices: every namespace has its turn."""

from __future__ import annotations

import pytest
from tests.data.timeseries.conftest import NOW, OpenStage, event, make, served, service_of
from tests.data.timeseries.engines import Watched

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import Unavailable
from soundstage.data.timeseries.partitioning.histograms import Histograms
from soundstage.data.timeseries.roles import ROLES, observe_namespaces, tend_namespaces
from soundstage.engines.records.port import Budget, TableSpec, WalkPage
from soundstage.runtime.roles import RoleContext
from soundstage.runtime.stage import Stage

DAILY = {"seconds_per_slice": "1d", "seconds_per_bucket": "1h"}


def context(stage: Stage) -> RoleContext:
    return RoleContext(environment=stage.environment, invoker=stage, service=service_of(stage))


async def tables(engine: Watched) -> list[str]:
    return [spec.name for spec in await engine.tables() if spec.name.count("/") == 2]


class Failing(Watched):
    """No table of the namespace `one` can be made."""

    broken = False

    async def create_table(self, spec: TableSpec) -> None:
        if self.broken and spec.name.startswith("timeseries/one/"):
            raise Unavailable("down")
        await super().create_table(spec)


def test_one_process_at_a_time_has_the_role() -> None:
    assert [(role.name, role.kind) for role in ROLES] == [
        ("timeseries-slices", "one"),
        ("timeseries-index", "one"),
        ("timeseries-partitioning", "one"),
        ("timeseries-compaction", "one"),
    ]


async def test_every_namespace_has_its_turn_whatever_becomes_of_another(
    open_stage: OpenStage, environment: VirtualEnvironment, caplog: pytest.LogCaptureFixture
) -> None:
    engine = Failing(environment)
    stage = await open_stage(engine)
    names = ["one", "other"]
    series = [await make(stage, name, time_partition=DAILY) for name in names]
    for each in series:
        await each.write_event_records_sync(events=[event(NOW)])
    engine.broken = True
    await tend_namespaces(context(stage))
    assert [len((await each.list_slices()).slices) for each in series][1] == 2
    assert "time slices could not be tended" in caplog.text
    engine.broken = False
    await tend_namespaces(context(stage))
    assert len(await tables(engine)) == 4


async def test_what_is_due_is_dropped_though_the_next_slice_cannot_be_made(
    open_stage: OpenStage, environment: VirtualEnvironment
) -> None:
    engine = Failing(environment)
    stage = await open_stage(engine)
    one = await make(stage, "one", time_partition=DAILY, retention={"delete_after": "2d"})
    await one.write_event_records_sync(events=[event(NOW)])
    (old,) = await tables(engine)
    environment.advance(4 * 86_400)
    await one.write_event_records_sync(events=[event(environment.now_ns())])
    engine.broken = True
    await tend_namespaces(context(stage))
    assert old not in await tables(engine)


class Unmeasured(Watched):
    """No table of the namespace `one` can be walked."""

    async def walk(
        self, table: str, segment: int, segments: int, position: bytes | None, budget: Budget, now_us: int
    ) -> WalkPage:
        if table.startswith("timeseries/one/"):
            raise Unavailable("down")
        return await super().walk(table, segment, segments, position, budget, now_us)


async def test_every_namespace_is_measured_whatever_becomes_of_another(
    open_stage: OpenStage, environment: VirtualEnvironment, caplog: pytest.LogCaptureFixture
) -> None:
    stage = await open_stage(Unmeasured(environment))
    for name in ("one", "other"):
        await (await make(stage, name, time_partition=DAILY)).write_event_records_sync(events=[event(NOW)])
    await observe_namespaces(context(stage))
    assert "partitions could not be measured" in caplog.text
    kept = [await Histograms(served(stage, name).table).all() for name in ("one", "other")]
    assert [len(each) for each in kept] == [0, 1]
