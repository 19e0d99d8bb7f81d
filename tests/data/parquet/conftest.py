"""Files of other programs, and stages over an engine that stops at a given step of a job."""

from __future__ import annotations

import asyncio
from fnmatch import fnmatchcase
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from soundstage.core.environment import Environment
from soundstage.core.files import File
from soundstage.engines.records.memory import MemoryRecords
from soundstage.runtime.stage import Stage

CONFIG = {"jobs": {"poll_interval": "10ms"}}


def written(columns: dict[str, Any], **given: Any) -> bytes:
    """A file of Parquet as another program writes it."""
    sink = BytesIO()
    pq.write_table(pa.table(columns), sink, **given)
    return sink.getvalue()


async def sent(stage: Stage, columns: dict[str, Any], name: str = "rows.parquet", **given: Any) -> File:
    """A file of another program's, kept by the stage."""
    return await stage.files.upload(written(columns, **given), name=name)


async def content_of(stage: Stage, file: File) -> bytes:
    return b"".join([chunk async for chunk in stage.files.open(file)])


class Stopping(MemoryRecords):
    """An engine that never answers after the next `left` walks or writes of `tables`, a pattern of their names."""

    def __init__(self, environment: Environment, tables: str) -> None:
        super().__init__(environment)
        self.left: int | None = None
        self.stopped = asyncio.Event()
        self._counted = tables

    async def walk(self, table: str, *given: Any, **named: Any) -> Any:
        await self._count(table)
        return await super().walk(table, *given, **named)

    async def apply(self, table: str, *given: Any, **named: Any) -> Any:
        await self._count(table)
        return await super().apply(table, *given, **named)

    async def _count(self, table: str) -> None:
        if self.left is None or not fnmatchcase(table, self._counted):
            return
        self.left -= 1
        if self.left < 0:
            self.stopped.set()
            await asyncio.Event().wait()


def over(engine: Stopping, folder: Path) -> Stage:
    """A stage over that engine, not yet begun."""
    return Stage.open(data=folder, config=CONFIG, engines={"default": engine}, variables={})
