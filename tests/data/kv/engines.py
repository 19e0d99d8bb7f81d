"""Engines that are slow, that cannot stop by bytes, or that stop early: the memory engine behind another door."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from soundstage.core.environment import Environment, VirtualEnvironment
from soundstage.core.errors import Unavailable
from soundstage.engines.records.memory import MemoryRecords
from soundstage.engines.records.port import Budget, Capability, Page, Span, WalkPage


class Slow(MemoryRecords):
    """Each query takes `seconds` and knows of no deadline."""

    def __init__(self, environment: VirtualEnvironment, seconds: float = 0.02) -> None:
        super().__init__(environment)
        self.queries = 0
        self._seconds = seconds
        self._clock = environment

    async def _query(self) -> None:
        self.queries += 1
        await self._clock.sleep(self._seconds)

    async def get(
        self, table: str, partition: bytes, keys: Sequence[bytes], now_us: int, budget: Budget | None = None
    ) -> Page:
        await self._query()
        return await super().get(table, partition, keys, now_us, budget)

    async def read(self, table: str, partition: bytes, span: Span, budget: Budget, now_us: int) -> Page:
        await self._query()
        return await super().read(table, partition, span, _without_deadline(budget), now_us)

    async def walk(
        self, table: str, segment: int, segments: int, position: bytes | None, budget: Budget, now_us: int
    ) -> WalkPage:
        await self._query()
        return await super().walk(table, segment, segments, position, _without_deadline(budget), now_us)


class RowLimited(MemoryRecords):
    """Stops by rows only, as Cassandra does: it returns as many as are likely to fill the bytes, fit or not."""

    async def read(self, table: str, partition: bytes, span: Span, budget: Budget, now_us: int) -> Page:
        rows = budget.rows if budget.likely_rows is None else min(budget.rows, budget.likely_rows)
        return await super().read(table, partition, span, Budget(rows, 2**40, budget.deadline_ns), now_us)


class Hesitant(MemoryRecords):
    """Every other read stops before its first row, as one does that meets nothing but dead rows for its slice."""

    hesitates = False

    async def read(self, table: str, partition: bytes, span: Span, budget: Budget, now_us: int) -> Page:
        self.hesitates = not self.hesitates
        if not self.hesitates:
            return await super().read(table, partition, span, budget, now_us)
        beginning: Any = span.end if span.reverse else span.start
        page = await super().read(table, partition, span, budget, now_us)
        return page if beginning is None else Page([], beginning, page.stamp)


class Littered(MemoryRecords):
    """A read of a hash from its beginning meets nothing but dead rows in its time; one from the next key on goes on."""

    async def read(self, table: str, partition: bytes, span: Span, budget: Budget, now_us: int) -> Page:
        page = await super().read(table, partition, span, budget, now_us)
        littered = span.start == b"" and page.rows and page.rows[0][0] != b""
        return Page([], b"\0", page.stamp) if littered else page


def _without_deadline(budget: Budget) -> Budget:
    return msgspec.structs.replace(budget, deadline_ns=None)


class Copied(MemoryRecords):
    """Rows have several copies, of which the one that is asked lacks the records that are `behind`, until told so.

    While one of the others is `away`, nobody is told what all of them have.
    """

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.capabilities |= {Capability.COPIES}
        self.behind: set[bytes] = set()
        self.away = False

    async def get(self, table: str, partition: bytes, *arguments: Any, **named: Any) -> Page:
        if table == "kv/people" and partition in self.behind:
            return Page([], None, None)
        return await super().get(table, partition, *arguments, **named)

    async def get_from_all(
        self, table: str, partition: bytes, keys: Sequence[bytes], now_us: int, deadline_ns: int | None = None
    ) -> Page:
        if self.away:
            raise Unavailable("a copy does not answer")
        return await super().get(table, partition, keys, now_us)
