"""Engines behind another door: one that counts, is slow at places, fails, lost a table, or never answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from soundstage.core.environment import VirtualEnvironment
from soundstage.engines.records.memory import MemoryRecords
from soundstage.engines.records.port import Budget, Page, Records, Span


class Watched(MemoryRecords):
    """Counts reads of partitions of slices, and writes to them; `slow` says how many seconds a partition takes."""

    def __init__(self, environment: VirtualEnvironment) -> None:
        super().__init__(environment)
        self.reads: int = 0
        self.gets: int = 0
        self.error: Exception | None = None
        self.fails: Callable[[bytes], bool] = lambda _: True
        self.slow: Callable[[bytes], float] = lambda _: 0.0
        self._clock = environment

    async def read(self, table: str, partition: bytes, span: Span, budget: Budget, now_us: int) -> Page:
        if table.count("/") == 2:
            self.reads += 1
            if seconds := self.slow(partition):
                await self._clock.sleep(seconds)
        return await super().read(table, partition, span, budget, now_us)

    async def get(self, table: str, *arguments: Any, **named: Any) -> Page:
        self.gets += table.count("/") == 2
        return await super().get(table, *arguments, **named)

    async def apply(self, table: str, partition: bytes, *arguments: Any, **named: Any) -> int:
        if self.error is not None and table.count("/") == 2 and self.fails(partition):
            raise self.error
        return await super().apply(table, partition, *arguments, **named)


class Around:
    """Any engine, which has started. Reads of partitions of slices are counted, and such as `hangs` names never end."""

    def __init__(self, engine: Records) -> None:
        self.reads: int = 0
        self.rounds: int = 0
        """How often a read began while none was under way."""
        self.most: int = 0
        """Reads that were under way at once."""
        self.hangs: Callable[[bytes], bool] = lambda _: False
        self._engine = engine
        self._under_way = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def start(self) -> None:
        """Nothing is left to do."""

    async def read(self, table: str, partition: bytes, span: Span, budget: Budget, now_us: int) -> Page:
        if table.count("/") != 2:
            return await self._engine.read(table, partition, span, budget, now_us)
        self.reads += 1
        self.rounds += not self._under_way
        self._under_way += 1
        self.most = max(self.most, self._under_way)
        try:
            if self.hangs(partition):
                await asyncio.Event().wait()
            return await self._engine.read(table, partition, span, budget, now_us)
        finally:
            self._under_way -= 1
