"""Any order of any set of versions, with repetitions, gives one state, in memory and on RocksDB alike."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.data.kv.conftest import make
from tests.data.kv.convergence import KNOBS, Places, Write, writes

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.namespace import NamespaceSpec
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.stage import Stage
from soundstage.testing.records.examples import EXAMPLES


@pytest.fixture
async def places(environment: VirtualEnvironment, tmp_path: Path) -> AsyncIterator[Places]:
    engines = {"default": {"url": "memory:"}, "disk": {"url": f"rocksdb://{tmp_path}/rows", "durability": "os"}}
    stage = Stage.open(data="memory:", config={"engines": engines}, environment=environment, variables={})
    async with stage:
        await make(stage, "memory", **KNOBS)
        spec = NamespaceSpec(name="disk", abstraction="kv", config=KNOBS, engines={"records": "disk"})
        await stage.client(Namespaces).put(namespace=spec)
        yield Places(stage, ("memory", "disk"), environment)


@settings(EXAMPLES, max_examples=30)
@given(writes, st.randoms(use_true_random=False))
async def test_whatever_order_versions_come_in_the_state_is_one(
    places: Places, writes: list[Write], chance: Random
) -> None:
    await places.play(writes, chance)
