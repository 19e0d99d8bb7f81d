"""A process that is killed at any step of rewriting a slice leaves all events, and what it left goes."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest
from tests.data.timeseries.compaction.conftest import settle, slices
from tests.data.timeseries.compaction.dying import CONFIG, COUNT
from tests.data.timeseries.compaction.test_steps import STEPS
from tests.data.timeseries.conftest import everything, ids, served, service_of

from soundstage.core.environment import VirtualEnvironment
from soundstage.data.timeseries import TimeSeries
from soundstage.runtime.stage import Stage

pytestmark = [pytest.mark.slow, pytest.mark.holds_the_loop]

ROOT = Path(__file__).parents[4]


async def killed_at(folder: Path, step: str) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.data.timeseries.compaction.dying", str(folder), step, cwd=ROOT
    )
    assert await child.wait() == -signal.SIGKILL


@pytest.mark.parametrize("step", STEPS)
async def test_nothing_is_lost_and_nothing_is_left_for_ever(step: str, tmp_path: Path) -> None:
    await killed_at(tmp_path, step)
    environment = VirtualEnvironment(seed=6)
    # The one that died had the clock at most so far.
    environment.advance(6_000.0)
    async with Stage.open(
        data=str(tmp_path), config=CONFIG, environment=environment, variables={}, background=False
    ) as stage:
        series = stage.client(TimeSeries, "trips")
        before = {name: await everything(series, name) for name in ("id0", "id1", "id2")}
        assert sum(len(events) for events in before.values()) == COUNT
        assert ids(before["id0"])[-1] == "e0000"
        await settle(stage, environment)
        await settle(stage, environment)
        assert {name: await everything(series, name) for name in before} == before
        assert (await slices(series))[0].segments == 1
        blobs = service_of(stage)._segments.blobs("cold")
        assert [each.key.rpartition("/")[2] for each in await blobs.list("timeseries/")] == ["00000.parquet", "list"]
        assert [each.name for each in await served(stage).records.tables() if each.name.count("/") == 2] == []
