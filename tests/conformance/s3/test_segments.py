"""Old slices of time series in object storage: written, read in ranges, and gone with their slice."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from tests.conformance.s3.conftest import BUCKET, engine_at
from tests.data.timeseries.compaction.conftest import flights, settle, slices
from tests.data.timeseries.conftest import everything, service_of, tend

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import DataLoss
from soundstage.core.extras import library
from soundstage.runtime.stage import Stage
from soundstage.servers.kinds.s3 import ACCESS_KEY, REGION, SECRET_KEY

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


async def test_other_programs_open_a_slice_in_the_bucket_as_it_lies_there(
    endpoint: str, prefix: str, environment: VirtualEnvironment
) -> None:
    url = f"s3://{BUCKET}/{prefix}?region={REGION}&endpoint={quote(endpoint)}&layout=plain"
    config = {"engines": {"default": {"url": "memory:"}, "cold": {"url": url}}}
    async with Stage.open(
        data="memory:", config=config, environment=environment, variables={}, background=False
    ) as stage:
        series = await flights(stage)
        await settle(stage, environment)
        found = await asyncio.to_thread(opened, endpoint, f"{BUCKET}/{prefix}/files/timeseries")
        expected = [
            (each.time_series_id, int(each.event_time), each.event_id, item.event_item_key, item.event_item_value)
            for name in ("id0", "id1", "id2")
            for each in await everything(series, name)
            for item in each.event_items
        ]
        assert found == sorted(expected, key=lambda row: (row[0], -row[1], row[2:]))
        assert len(found) == (await slices(series))[0].segment_rows


def opened(endpoint: str, folder: str) -> list[tuple[Any, ...]]:
    """The rows of all segments below a folder of a bucket, in order, as pyarrow reads them there."""
    fs, dataset = library("pyarrow.fs", "tables"), library("pyarrow.dataset", "tables")
    store = fs.S3FileSystem(
        access_key=ACCESS_KEY,
        secret_key=SECRET_KEY,
        region=REGION,
        scheme="http",
        endpoint_override=urlsplit(endpoint).netloc,
    )
    files = [each.path for each in store.get_file_info(fs.FileSelector(folder, recursive=True))]
    table = dataset.dataset([each for each in files if each.endswith(".parquet")], filesystem=store).to_table()
    rows = table.set_column(1, "event_time", table.column("event_time").cast("int64")).to_pylist()
    return [tuple(row.values()) for row in rows]
