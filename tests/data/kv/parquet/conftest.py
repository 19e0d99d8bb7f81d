"""Stages that carry jobs out, files of other programs, and an engine that stops at a given step."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.data.parquet.conftest import written

from soundstage.core.files import File
from soundstage.core.namespace import NamespaceSpec
from soundstage.data.kv.api import Item, KeyValue, PutItem
from soundstage.engines.records.memory import MemoryRecords
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.stage import Stage

CONFIG = {"jobs": {"poll_interval": "10ms"}}


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


async def content_of(stage: Stage, file: File) -> bytes:
    return b"".join([chunk async for chunk in stage.files.open(file)])


async def sent(stage: Stage, columns: dict[str, Any], **given: Any) -> File:
    """A file of another program's, kept by the stage."""
    return await stage.files.upload(written(columns, **given))


class Stopping(MemoryRecords):
    """An engine that never answers the call after the next `left` ones that concern the namespace `name`."""

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.name = "kv/films"
        self.left: int | None = None
        self.stopped = asyncio.Event()

    async def walk(self, table: str, *given: Any, **named: Any) -> Any:
        await self._count(table)
        return await super().walk(table, *given, **named)

    async def apply(self, table: str, *given: Any, **named: Any) -> Any:
        await self._count(table)
        return await super().apply(table, *given, **named)

    async def _count(self, table: str) -> None:
        if self.left is None or table != self.name:
            return
        self.left -= 1
        if self.left < 0:
            self.stopped.set()
            await asyncio.Event().wait()


def over(engine: Stopping, folder: Path) -> Stage:
    """A stage over that engine, not yet begun."""
    return Stage.open(data=folder, config=CONFIG, engines={"default": engine}, variables={})
