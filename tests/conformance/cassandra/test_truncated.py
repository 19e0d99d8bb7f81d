"""A stage that is killed at each step of a truncation, with its store here or on Cassandra: what the next one finds.

What was truncated before anybody was told is gone whole, or there whole, and its caller may try again. Nothing that was
truncated comes back, and nothing that was written afterwards goes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from tests.conformance.cassandra.lives import killed_at, lived, steps_of
from tests.conformance.cassandra.truncating import (
    LATER_S,
    NAMESPACE,
    NEW,
    OLD,
    RECORDS,
    Life,
    erase,
    open_stage,
    run,
    write_later,
)
from tests.conformance.clocks import OffClock
from tests.data.kv.followers import Replica, contents, until

from soundstage.data.kv import KeyValue
from soundstage.engines.records.port import Budget
from soundstage.runtime.namespaces import Namespaces
from soundstage.runtime.stage import Stage
from soundstage.servers import Cluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

FULL = {name: {b"k": OLD} for name in RECORDS}
LATER = {"bob": {b"k": NEW}}

MakeLife: TypeAlias = Callable[[int | None], Life]

STORES: dict[str, dict[str, Any]] = {
    "rocksdb": {"conditional_writes": True, "watch": True, "watch_partitions": 1},
    "cassandra": {},
    "cassandra-guarded": {"conditional_writes": True},
}


@pytest.fixture(params=list(STORES))
def make(request: pytest.FixtureRequest, cassandra: Cluster, tmp_path: Path) -> MakeLife:
    """Each life is in a place of its own."""

    def life(last: int | None) -> Life:
        folder = tmp_path / f"{last}"
        url = f"rocksdb://{folder}/rows"
        if request.param != "rocksdb":
            url = f"{cassandra.url}/suite?space=truncated-{time.time_ns()}"
        knobs = STORES[request.param]
        return Life(url=url, folder=str(folder), knobs=knobs, at_us=time.time_ns() // 1_000, last=last)

    return life


async def test_what_was_truncated_is_gone_at_whichever_step_its_process_was_killed(make: MakeLife) -> None:
    whole = make(None)
    told, ended = await asyncio.to_thread(lived, run, whole)
    assert ended == 0
    steps = steps_of(told)
    assert {f"apply kv/{NAMESPACE}", "truncated", "written", "aged", "erased"} <= set(told)
    # Marked as truncated, and as truncated no more; where the namespace is watched that is told.
    assert len([each for each in steps if "kv/" not in each]) == 2
    assert any(each.startswith("append kv/changes/") for each in steps) == bool(whole.knobs.get("watch"))
    killed: list[list[str]] = []
    for number in range(1, len(steps) + 1):
        life = make(number)
        told = await killed_at(run, life)
        killed.append(steps_of(told))
        await judge(life, told)
    # Each step was the last of one of them.
    assert killed == [steps[:number] for number in range(1, len(steps) + 1)]


async def judge(life: Life, told: list[str]) -> None:
    """The next process finds what it may, and goes on to the end."""
    environment = OffClock(LATER_S if "aged" in told else 0.0)
    async with open_stage(life, environment) as stage:
        kv = stage.client(KeyValue, NAMESPACE)
        found = await contents(kv)
        allowed = [LATER] if "written" in told else [{}, LATER] if "truncated" in told else [FULL, {}]
        assert found in allowed, f"{found} after {told}"
        if "aged" not in told:
            await kv.truncate(confirm=NAMESPACE, idempotency_token=life.token)
            await write_later(kv, life)
            assert await contents(kv) == LATER
            await erase(stage)
        if life.knobs.get("watch"):
            following = kv.watch_items(cursor="0")
            assert Replica().hear(await until(following, life.later())).shown() == LATER
        environment.off_s = LATER_S
        assert await erase(stage)
        assert await contents(kv) == LATER
        assert await kept(stage) == ["bob"]


async def kept(stage: Stage) -> list[str]:
    """The records of which the engine has rows."""
    namespace = await stage.client(Namespaces).get(name=NAMESPACE)
    assert namespace.name == NAMESPACE
    walked = await stage.engines.get("default", "").walk(f"kv/{NAMESPACE}", 0, 1, None, Budget(), 1)
    return [name.decode() for name, _ in walked.partitions]
