"""Old slices of time series in object storage: written, read in ranges, and gone with their slice."""

from __future__ import annotations

from typing import Any

import pytest
from tests.conformance.s3.conftest import engine_at
from tests.data.timeseries.compaction.conftest import flights, settle, slices
from tests.data.timeseries.conftest import everything, service_of, tend

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import DataLoss
from soundstage.runtime.stage import Stage

pytestmark = pytest.mark.holds_the_loop


async def test_a_slice_is_read_from_object_storage_and_dropped_there(
    endpoint: str, prefix: str, environment: VirtualEnvironment
) -> None:
    engines: dict[str, Any] = {"cold": engine_at(endpoint, prefix, environment)}
    config = {"engines": {"default": {"url": "memory:"}, "cold": {"url": "memory:"}}}
    async with Stage.open(
        data="memory:", config=config, engines=engines, environment=environment, variables={}, background=False
    ) as stage:
        series = await flights(stage)
        before = {name: await everything(series, name) for name in ("id0", "id1", "id2")}
        await settle(stage, environment)
        (found,) = await slices(series)
        assert (found.segments, found.late) == (1, None)
        assert {name: await everything(series, name) for name in before} == before
        blobs = engines["cold"]
        assert [each.key.rpartition("/")[2] for each in await blobs.list("timeseries/")] == ["00000.parquet", "list"]
        await blobs.delete((await blobs.list("timeseries/"))[0].key)
        service_of(stage)._segments.forget()
        with pytest.raises(DataLoss, match=r"00000\.parquet is missing"):
            await everything(series, "id0")
        environment.advance(80 * 86_400.0)
        await tend(stage)
        assert await slices(series) == []
        assert await blobs.list("timeseries/") == []
