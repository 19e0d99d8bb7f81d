"""The memory engine behind another door: one that counts, is slow at places, fails, or lost a table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from soundstage.core.environment import VirtualEnvironment
from soundstage.engines.records.memory import MemoryRecords
from soundstage.engines.records.port import Budget, Page, Span


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
