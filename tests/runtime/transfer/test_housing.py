"""What namespaces ask of an engine that is to take the place of theirs."""

from __future__ import annotations

from typing import Any

import pytest

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.namespace import NamespaceSpec
from soundstage.engines.records.memory import MemoryRecords
from soundstage.engines.records.port import Capability, Records, TableSpec
from soundstage.runtime.config import StageConfig
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.stage import Stage
from soundstage.runtime.transfer.housing import Housing


async def housed(environment: VirtualEnvironment, stage: Stage, name: str = "default") -> dict[str, TableSpec]:
    """The tables of the stage's namespaces on an engine where conditions cost much."""
    target = MemoryRecords(environment)
    target.capabilities |= {Capability.COSTLY_CONDITIONS}
    await target.start()
    control: Records = stage.engines.get("default", "")
    return await Housing(name, target, control, StageConfig(), environment).tables()


async def stage_with(**configs: dict[str, Any]) -> Stage:
    stage = Stage.open(data="memory:", config={"engines": {"other": {"url": "memory:"}}}, variables={})
    await stage.start()
    for name, config in configs.items():
        await stage.client(Namespaces).put(namespace=NamespaceSpec(name=name, abstraction="kv", config=config))
    return stage


@pytest.mark.parametrize(
    ("config", "conditional"),
    [({}, False), ({"conditional_writes": True}, True), ({"conditional_writes": False}, False)],
)
async def test_what_was_left_to_the_engine_is_decided_by_the_new_one(
    environment: VirtualEnvironment, config: dict[str, Any], conditional: bool
) -> None:
    stage = await stage_with(films=config)
    found = await housed(environment, stage)
    await stage.stop()
    assert found["kv/films"].conditional is conditional


async def test_namespaces_of_other_engines_are_no_matter(environment: VirtualEnvironment) -> None:
    stage = await stage_with()
    spec = NamespaceSpec(name="films", abstraction="kv", engines={"records": "other"})
    await stage.client(Namespaces).put(namespace=spec)
    found = await housed(environment, stage)
    await stage.stop()
    assert found == {}


async def test_an_engine_without_namespaces_is_as_it_is(environment: VirtualEnvironment) -> None:
    control, target = MemoryRecords(environment), MemoryRecords(environment)
    await control.start()
    await target.start()
    assert await Housing("default", target, control, StageConfig(), environment).tables() == {}
