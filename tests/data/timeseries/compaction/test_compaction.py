"""A slice moves from its table into segments, and whoever reads it does not see when."""

from __future__ import annotations

from tests.data.timeseries.compaction.conftest import YESTERDAY, flights, settle, slices
from tests.data.timeseries.conftest import everything, served

from soundstage.core.environment import VirtualEnvironment
from soundstage.runtime.stage import Stage


async def test_a_slice_is_read_from_segments_as_it_was_from_its_table(
    cold_stage: Stage, environment: VirtualEnvironment
) -> None:
    series = await flights(cold_stage)
    before = {name: await everything(series, name) for name in ("id0", "id1", "id2", "none")}
    await settle(cold_stage, environment)
    (found,) = await slices(series)
    assert (found.segments, found.segment_rows, found.late) == (1, 600, None)
    assert {name: await everything(series, name) for name in before} == before
    assert len(before["id1"]) == 100
    names = [each.name for each in await served(cold_stage).records.tables() if each.name.count("/") == 2]
    assert names == []
    assert found.start == YESTERDAY
