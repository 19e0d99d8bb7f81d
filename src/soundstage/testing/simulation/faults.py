"""Faults at the records port, drawn from a seed.

`FaultyRecords` stands in front of any engine and does to its calls what networks and disks do: it loses a
call before it is applied, loses the answer after, answers late, answers early pages, and stops answering
while the engine behind it is restarted.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import msgspec

from soundstage.core.environment import Environment
from soundstage.core.errors import DeadlineExceeded, Unavailable
from soundstage.engines.records.port import (
    Batch,
    Budget,
    Capability,
    Conditional,
    Page,
    Records,
    Span,
    Sweep,
    TableSpec,
    TableStatistics,
    WalkPage,
)


class FaultRates(msgspec.Struct, frozen=True, kw_only=True):
    """How often each fault strikes, per call; all 0 is a healthy store.

    `slow_partitions` is the share of partitions whose every call takes `slow_s` seconds.
    """

    lost_before: float = 0.0
    lost_after: float = 0.0
    timed_out_after: float = 0.0
    late: float = 0.0
    early_page: float = 0.0
    slow_partitions: float = 0.0
    late_s: float = 1.5
    slow_s: float = 0.3


HEALTHY = FaultRates()
ROUGH = FaultRates(
    lost_before=0.03, lost_after=0.03, timed_out_after=0.02, late=0.03, early_page=0.05, slow_partitions=0.1
)


class FaultyRecords:
    """A records engine seen through faults. `counts` tells how often each has struck.

    `engine` may be exchanged while calls wait, as a restart does; calls made while `down` is set fail as
    they would against a closed port.
    """

    def __init__(self, engine: Records, environment: Environment, random: Random) -> None:
        self.engine = engine
        self.capabilities: frozenset[Capability] = engine.capabilities
        self.rates = HEALTHY
        self.down = False
        self.counts: dict[str, int] = {}
        self._environment = environment
        self._random = random

    async def start(self) -> None:
        await self.engine.start()

    async def stop(self) -> None:
        await self.engine.stop()

    async def create_table(self, spec: TableSpec) -> None:
        await self.engine.create_table(spec)

    async def drop_table(self, name: str) -> None:
        await self.engine.drop_table(name)

    async def tables(self) -> list[TableSpec]:
        return await self.engine.tables()

    async def set_purge_floor(self, name: str, floor_us: int | None) -> None:
        await self.engine.set_purge_floor(name, floor_us)

    async def statistics(self, table: str) -> TableStatistics:
        return await self.engine.statistics(table)  # type: ignore[attr-defined]

    async def sweep(self, budget_rows: int) -> Sweep:
        return await self.engine.sweep(budget_rows)

    async def apply(
        self,
        table: str,
        partition: bytes,
        batch: Batch,
        *,
        conditional: Conditional | None = None,
        deadline_ns: int | None = None,
    ) -> int:
        await self._before(partition)
        stamp = await self.engine.apply(table, partition, batch, conditional=conditional, deadline_ns=deadline_ns)
        await self._after()
        return stamp

    async def get(
        self, table: str, partition: bytes, keys: Sequence[bytes], now_us: int, budget: Budget | None = None
    ) -> Page:
        await self._before(partition)
        return await self.engine.get(table, partition, keys, now_us, budget)

    async def read(self, table: str, partition: bytes, span: Span, budget: Budget, now_us: int) -> Page:
        await self._before(partition)
        return await self.engine.read(table, partition, span, self._cut(budget), now_us)

    async def read_many(
        self, table: str, partitions: Sequence[bytes], span: Span, budget: Budget, now_us: int
    ) -> list[Page]:
        await self._before(partitions[0] if partitions else b"")
        return await self.engine.read_many(table, partitions, span, self._cut(budget), now_us)

    async def walk(
        self, table: str, segment: int, segments: int, position: bytes | None, budget: Budget, now_us: int
    ) -> WalkPage:
        await self._before(b"")
        return await self.engine.walk(table, segment, segments, position, self._cut(budget), now_us)

    async def _before(self, partition: bytes) -> None:
        if self.rates.slow_partitions and Random(partition).random() < self.rates.slow_partitions:
            self._count("slow")
            await self._environment.sleep(self.rates.slow_s)
        if self._strikes("late", self.rates.late):
            await self._environment.sleep(self._random.uniform(0.0, self.rates.late_s))
        if self.down:
            raise Unavailable("the store refuses connections", outcome="not_applied")
        if self._strikes("lost_before", self.rates.lost_before):
            raise Unavailable("the call was lost on its way", outcome="not_applied")

    async def _after(self) -> None:
        if self._strikes("lost_after", self.rates.lost_after):
            raise Unavailable("the answer was lost on its way", outcome="unknown")
        if self._strikes("timed_out_after", self.rates.timed_out_after):
            await self._environment.sleep(self.rates.late_s)
            raise DeadlineExceeded("no answer in time", outcome="unknown", retryable=True)

    def _cut(self, budget: Budget) -> Budget:
        if self._strikes("early_page", self.rates.early_page):
            return msgspec.structs.replace(budget, rows=self._random.randint(1, 3))
        return budget

    def _strikes(self, fault: str, rate: float) -> bool:
        if not rate or self._random.random() >= rate:
            return False
        self._count(fault)
        return True

    def _count(self, fault: str) -> None:
        self.counts[fault] = self.counts.get(fault, 0) + 1
