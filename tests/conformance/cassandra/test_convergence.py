"""Any order of any set of versions, with repetitions, gives one state, on Cassandra and on the embedded engines."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.data.kv.convergence import KNOBS, Places, Write, writes

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.namespace import NamespaceSpec
from soundstage.runtime.namespaces import Namespaces
from soundstage.runtime.stage import Stage
from soundstage.servers import Cluster
from soundstage.testing.records.examples import EXAMPLES

pytestmark = pytest.mark.slow

GUARDED: dict[str, Any] = {"conditional_writes": True}
PLACES: dict[str, tuple[str, dict[str, Any]]] = {
    "memory": ("default", {}),
    "disk": ("disk", {}),
    "far": ("far", {}),
    "guarded": ("far", GUARDED),
}


@pytest.fixture
async def places(cassandra: Cluster, tmp_path: Path) -> AsyncIterator[Places]:
    environment = VirtualEnvironment(seed=5)
    engines = {
        "default": {"url": "memory:"},
        "disk": {"url": f"rocksdb://{tmp_path}/rows", "durability": "os"},
        "far": {"url": f"{cassandra.url}/suite?space=convergence-{time.time_ns()}"},
    }
    stage = Stage.open(data="memory:", config={"engines": engines}, environment=environment, variables={})
    async with stage:
        for name, (engine, knobs) in PLACES.items():
            spec = NamespaceSpec(name=name, abstraction="kv", config={**KNOBS, **knobs}, engines={"records": engine})
            await stage.client(Namespaces).put(namespace=spec)
        yield Places(stage, list(PLACES), environment)


@settings(EXAMPLES, max_examples=6)
@given(writes, st.randoms(use_true_random=False))
async def test_whatever_order_versions_come_in_the_state_is_one_on_every_engine(
    places: Places, writes: list[Write], chance: Random
) -> None:
    await places.play(writes, chance)
