"""What roles there are, which of them a process runs, and what they are given."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.runtime.conftest import NOTES, OpenStage
from tests.runtime.notes import roles as noted

from soundstage.catalogue import SYSTEMS
from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import InvalidArgument
from soundstage.runtime.config import ProcessesConfig
from soundstage.runtime.leases import LeaseLost
from soundstage.runtime.measurement import Measurement
from soundstage.runtime.roles import Role, RoleContext, check_roles
from soundstage.runtime.stage import Stage


async def idle(_: RoleContext) -> None:
    await asyncio.Event().wait()


@pytest.fixture(autouse=True)
def nobody() -> None:
    noted.seen.clear()
    noted.begun = asyncio.Event()


def open_now(**processes: Any) -> Stage:
    """A stage in memory, on the machine's clock, with the system `notes` and its roles."""
    return Stage.open(
        data="memory:",
        environment=SystemEnvironment(),
        systems=(*SYSTEMS, NOTES),
        config={"processes": processes},
    )


async def begun(name: str) -> RoleContext:
    """The context of a role of `notes`, once it runs."""
    while name not in noted.seen:
        await noted.begun.wait()
        noted.begun.clear()
    return noted.seen[name]


@pytest.fixture
async def running() -> AsyncIterator[Stage]:
    async with open_now() as stage:
        yield stage


@pytest.mark.parametrize("kind", ["one", "partitioned"])
def test_a_role_that_needs_only_a_client_holds_no_lease(kind: Any) -> None:
    with pytest.raises(ValueError, match="client"):
        Role(name="watch", run=idle, kind=kind, needs="client")


def test_only_a_partitioned_role_has_partitions() -> None:
    with pytest.raises(ValueError, match="partitions"):
        Role(name="watch", run=idle, partitions=("a",))


@pytest.mark.parametrize(
    ("chosen", "workers", "runs"),
    [
        (None, {}, {"http", "jobs", "control"}),
        (["jobs"], {}, {"jobs", "control"}),
        (None, {"http": 2}, {"jobs", "control"}),
        (["http", "jobs"], {"jobs": 1}, {"http", "control"}),
        ([], {}, {"control"}),
    ],
)
def test_a_process_runs_what_is_chosen_and_not_given_away(
    chosen: list[str] | None, workers: dict[str, int], runs: set[str]
) -> None:
    config = ProcessesConfig(roles=chosen, workers=workers)
    assert {name for name in ("http", "jobs", "control") if config.runs(name)} == runs


def test_an_unknown_role_is_answered_with_the_nearest() -> None:
    with pytest.raises(InvalidArgument) as refused:
        check_roles(["sweper"], ["jobs", "sweeper"], "processes.roles")
    assert (refused.value.field, refused.value.hint) == ("processes.roles", "did you mean 'sweeper'?")


@pytest.mark.parametrize(
    ("processes", "field"),
    [
        ({"roles": ["sweping"]}, "processes.roles"),
        ({"workers": {"htp": 2}}, "processes.workers"),
        ({"workers": {"control": 1}}, "processes.workers"),
    ],
)
async def test_a_stage_with_an_unknown_role_does_not_start(
    open_stage: OpenStage, processes: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await open_stage({"processes": processes}).start()
    assert refused.value.field == field


async def test_the_roles_of_a_system_run_with_its_service(running: Stage) -> None:
    context = await begun("notes-every")
    assert (context.service, context.lease) == (running.systems.service("notes"), None)


async def test_a_role_calls_the_stage_by_a_typed_client(running: Stage) -> None:
    context = await begun("notes-client")
    assert (context.service, context.invoker) == (None, running)


async def test_a_role_of_one_process_has_a_lease(running: Stage) -> None:
    context = await begun("notes-one")
    assert context.lease is not None
    assert (context.lease.held, context.lease.fence) == (True, 1)
    assert b"soundstage_role_leases 0.0" not in running.metrics_text()


async def test_a_role_that_lost_its_lease_is_told_when_it_checks(running: Stage) -> None:
    context = await begun("notes-one")
    assert context.lease is not None
    context.check()
    await context.lease.release()
    with pytest.raises(LeaseLost):
        context.check()


async def test_a_role_of_every_process_has_nothing_to_lose(running: Stage) -> None:
    context = await begun("notes-every")
    context.check()
    assert context.lease is None


async def test_the_partitions_of_a_role_are_run_one_by_one(running: Stage) -> None:
    contexts = [await begun(f"notes-shared/{partition}") for partition in ("a", "b")]
    assert [context.lease is not None and context.lease.held for context in contexts] == [True, True]


async def test_leases_are_given_back_when_the_stage_stops() -> None:
    stage = open_now()
    async with stage:
        context = await begun("notes-one")
        assert context.lease is not None
        name, leases = context.lease.name, stage._parts.leases
        assert await leases.holder_of(name) == leases.holder
    assert not context.lease.held


async def test_what_was_not_chosen_does_not_run() -> None:
    async with open_now(roles=["notes-every"]):
        await begun("notes-every")
        for _ in range(50):
            await asyncio.sleep(0)
        assert set(noted.seen) == {"notes-every"}


async def test_a_stage_without_background_runs_no_role(stage: Stage) -> None:
    for _ in range(50):
        await asyncio.sleep(0)
    assert noted.seen == {}


async def test_an_engine_that_cannot_be_reached_makes_the_stage_unwell(stage: Stage) -> None:
    stage.engines["default"].lost = "nobody listens"
    assert stage.health().reasons == ["an engine cannot be reached: nobody listens"]


async def test_health_and_metrics_tell_of_what_is_watched(stage: Stage) -> None:
    class Worker:
        def reasons(self) -> list[str]:
            return ["worker a: it is starting"]

        def measurements(self) -> list[Measurement]:
            return [Measurement("worker_up", "whether the worker is ready", 0, labels={"worker": "a"})]

    stage.watch(Worker())
    assert stage.health().reasons == ["worker a: it is starting"]
    assert b'soundstage_worker_up{worker="a"} 0.0' in stage.metrics_text()
