"""What the service does besides answering calls."""

from __future__ import annotations

from typing import Any

import pytest
from tests.data.kv.conftest import ALL, OpenStage, item, make

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import Unavailable
from soundstage.data.kv.roles import ROLES, sweep_namespaces
from soundstage.data.kv.service import KeyValueService
from soundstage.engines.records.memory import MemoryRecords
from soundstage.engines.records.port import Budget
from soundstage.runtime.leases import LeaseLost
from soundstage.runtime.roles import RoleContext
from soundstage.runtime.stage import Stage


class Refusing(MemoryRecords):
    """Reads nothing of the large values of `people` while it is `away`."""

    away = False

    async def read(self, table: str, *arguments: Any, **named: Any) -> Any:
        if self.away and table == "kv/people/values":
            raise Unavailable("the store is away")
        return await super().read(table, *arguments, **named)


class Lost:
    """A lease that another process has by now."""

    def check(self) -> None:
        raise LeaseLost("it is lost", outcome="not_applied", retryable=False)


def context_of(stage: Stage, **more: Any) -> RoleContext:
    service = stage.systems.service("kv")
    assert isinstance(service, KeyValueService)
    return RoleContext(environment=stage.environment, invoker=stage, service=service, **more)


async def chunks(engine: MemoryRecords, name: str) -> int:
    walked = await engine.walk(f"kv/{name}/values", 0, 1, None, Budget(), 1)
    return len(walked.partitions)


async def deleted(stage: Stage, name: str) -> None:
    kv = await make(stage, name, chunk_threshold="1KiB")
    await kv.put_items(id="ada", items=[item(b"k", bytes(5_000))])
    await kv.delete_items(id="ada", predicate=ALL)


async def rounds(stage: Stage, environment: VirtualEnvironment) -> None:
    for _ in range(4):
        environment.advance(3_600)
        await sweep_namespaces(context_of(stage))


async def test_all_namespaces_have_their_turn(open_stage: OpenStage, environment: VirtualEnvironment) -> None:
    engine = MemoryRecords(environment)
    stage = await open_stage(engine)
    for name in ("films", "people"):
        await deleted(stage, name)
    await rounds(stage, environment)
    assert [await chunks(engine, name) for name in ("films", "people")] == [0, 0]


async def test_one_that_fails_keeps_no_other_from_its_turn(
    open_stage: OpenStage, environment: VirtualEnvironment
) -> None:
    engine = Refusing(environment)
    stage = await open_stage(engine)
    for name in ("people", "series"):
        await deleted(stage, name)
    engine.away = True
    await rounds(stage, environment)
    assert await chunks(engine, "series") == 0


async def test_who_lost_the_lease_sweeps_no_more(plain_stage: Stage) -> None:
    await deleted(plain_stage, "people")
    with pytest.raises(LeaseLost):
        await sweep_namespaces(context_of(plain_stage, lease=Lost()))


def test_one_process_at_a_time_does_each() -> None:
    assert {role.name: role.kind for role in ROLES} == {"kv-mutations": "one", "kv-values": "one"}
