"""A stage that carries jobs out, and what namespaces of its hold."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.data.parquet.conftest import CONFIG

from soundstage.core.files import File
from soundstage.core.namespace import NamespaceSpec
from soundstage.data.kv.api import Item, KeyValue, PutItem
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.stage import Stage


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    """A stage in memory that carries jobs out, and in it the namespaces `films` and `again`."""
    async with Stage.open(data="memory:", config=CONFIG, variables={}) as stage:
        await make(stage, "films")
        await make(stage, "again")
        yield stage


@pytest.fixture
def films(stage: Stage) -> KeyValue:
    return stage.client(KeyValue, "films")


@pytest.fixture
def again(stage: Stage) -> KeyValue:
    return stage.client(KeyValue, "again")


async def make(stage: Stage, name: str, **config: Any) -> KeyValue:
    await stage.client(Namespaces).put(namespace=NamespaceSpec(name=name, abstraction="kv", config=config))
    return stage.client(KeyValue, name)


async def fill(kv: KeyValue, records: int = 20) -> None:
    for number in range(records):
        await kv.put_items(
            id=f"film-{number}", items=[PutItem(key=b"%d\xff" % key, value=b"\0%d" % key) for key in range(3)]
        )


async def contents(kv: KeyValue) -> dict[tuple[str, bytes], Item]:
    """Every item that the namespace shows."""
    return {
        (record.id, item.key): item
        async for page in kv.scan_items.pages()
        for record in page.records
        for item in record.items
    }


async def plain(kv: KeyValue) -> dict[tuple[str, bytes], bytes | None]:
    """Every item that the namespace shows, without its version."""
    return {name: item.value for name, item in (await contents(kv)).items()}


async def exported(kv: KeyValue, **given: Any) -> Any:
    return await (await kv.export_parquet(**given)).result()


async def imported(kv: KeyValue, file: File, **given: Any) -> Any:
    return await (await kv.import_parquet(file=file, **given)).result()
