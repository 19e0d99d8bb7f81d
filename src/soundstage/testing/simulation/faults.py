"""Faults at the records port.

`FaultyRecords` stands in front of any engine and does to its calls what networks and disks do: it loses a call
before it is applied, loses the answer after, applies a part, answers late, answers early pages, and makes some
partitions slow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from random import Random

import msgspec

from soundstage.core.environment import Environment
from soundstage.core.errors import DeadlineExceeded, Unavailable
from soundstage.engines.records.passing import PassingRecords
from soundstage.engines.records.port import (
    Batch,
    Budget,
    Conditional,
    Page,
    Records,
    Span,
    TableSpec,
    TableStatistics,
    WalkPage,
)
from soundstage.testing.simulation.turn import dice, present, strikes

CUT_ROWS_MAX = 3


class FaultRates(msgspec.Struct, frozen=True, kw_only=True):
    """How often each fault strikes, per call; all 0 is a healthy store.

    `partial` applies some of a batch's cells and answers that nobody knows: an engine with replicas may do that to a
    write that is unconditional and not acknowledged, an embedded one may not. `slow_partitions` is the share of
    partitions whose every call takes `slow_s` seconds; a call or an answer that is `late` takes up to `late_s`.
    """

    lost_before: float = 0.0
    timed_out_before: float = 0.0
    lost_after: float = 0.0
    timed_out_after: float = 0.0
    partial: float = 0.0
    late: float = 0.0
    early_page: float = 0.0
    slow_partitions: float = 0.0
    late_s: float = 1.5
    slow_s: float = 0.3


HEALTHY = FaultRates()


class FaultyRecords(PassingRecords):
    """A records engine seen through faults. `rates` may change at any time; `counts` tells how often each struck.

    Calls with a table in `spared`, and those of no step, meet no fault.
    """

    def __init__(self, engine: Records, environment: Environment) -> None:
        super().__init__(engine)
        self.engine = engine
        self.rates = HEALTHY
        self.spared: frozenset[str] = frozenset()
        self.counts: Counter[str] = Counter()
        self._environment = environment

    async def create_table(self, spec: TableSpec) -> None:
        await self._before(spec.name, b"")
        await self.engine.create_table(spec)
        await self._after(spec.name)

    async def drop_table(self, name: str) -> None:
        await self._before(name, b"")
        await self.engine.drop_table(name)
        await self._after(name)

    async def statistics(self, table: str) -> TableStatistics:
        """As the engine says; ask only one that has the capability."""
        return await self.engine.statistics(table)  # type: ignore[attr-defined]

    async def apply(
        self,
        table: str,
        partition: bytes,
        batch: Batch,
        *,
        conditional: Conditional | None = None,
        deadline_ns: int | None = None,
    ) -> int:
        if table in self.spared:
            return await self.engine.apply(table, partition, batch, conditional=conditional, deadline_ns=deadline_ns)
        turn = present()
        if turn is not None and turn.hold_s:
            self.counts["held_up"] += 1
            await self._environment.sleep(turn.hold_s)
        await self._before(table, partition)
        if self._strikes("timed_out_before"):
            await self._environment.sleep(self.rates.late_s)
            raise DeadlineExceeded("no answer in time", outcome="unknown", retryable=True)
        if conditional is None and len(batch.cells) > 1 and self._strikes("partial"):
            await self._apply_part(table, partition, batch)
        stamp = await self.engine.apply(table, partition, batch, conditional=conditional, deadline_ns=deadline_ns)
        await self._after(table)
        return stamp

    async def get(
        self, table: str, partition: bytes, keys: Sequence[bytes], now_us: int, budget: Budget | None = None
    ) -> Page:
        await self._before(table, partition)
        # What this returns early must say where to go on, which a call without a budget cannot.
        page = await self.engine.get(table, partition, keys, now_us, budget and self._cut(table, budget))
        await self._dawdle(table)
        return page

    async def read(self, table: str, partition: bytes, span: Span, budget: Budget, now_us: int) -> Page:
        await self._before(table, partition)
        page = await self.engine.read(table, partition, span, self._cut(table, budget), now_us)
        await self._dawdle(table)
        return page

    async def read_many(
        self, table: str, partitions: Sequence[bytes], span: Span, budget: Budget, now_us: int
    ) -> list[Page]:
        await self._before(table, partitions[0] if partitions else b"")
        pages = await self.engine.read_many(table, partitions, span, self._cut(table, budget), now_us)
        await self._dawdle(table)
        return pages

    async def walk(
        self, table: str, segment: int, segments: int, position: bytes | None, budget: Budget, now_us: int
    ) -> WalkPage:
        await self._before(table, b"")
        page = await self.engine.walk(table, segment, segments, position, self._cut(table, budget), now_us)
        await self._dawdle(table)
        return page

    async def _before(self, table: str, partition: bytes) -> None:
        rates = self.rates
        if rates is HEALTHY or table in self.spared:
            return
        if rates.slow_partitions and is_slow(partition, rates.slow_partitions):
            self.counts["slow"] += 1
            await self._environment.sleep(rates.slow_s)
        await self._dawdle(table)
        if self._strikes("lost_before"):
            raise Unavailable("the call was lost on its way", outcome="not_applied")

    async def _dawdle(self, table: str) -> None:
        """One way takes longer than it should. What is answered then is no longer what there is."""
        if table not in self.spared and self._strikes("late"):
            await self._environment.sleep(dice().uniform(0.0, self.rates.late_s))

    async def _after(self, table: str) -> None:
        if table in self.spared:
            return
        await self._dawdle(table)
        if self._strikes("lost_after"):
            raise Unavailable("the answer was lost on its way", outcome="unknown")
        if self._strikes("timed_out_after"):
            await self._environment.sleep(self.rates.late_s)
            raise DeadlineExceeded("no answer in time", outcome="unknown", retryable=True)

    async def _apply_part(self, table: str, partition: bytes, batch: Batch) -> None:
        some = dice().sample(batch.cells, dice().randint(1, len(batch.cells) - 1))
        await self.engine.apply(table, partition, Batch(cells=some))
        raise Unavailable("some replicas have it and some do not", outcome="unknown")

    def _cut(self, table: str, budget: Budget) -> Budget:
        if table not in self.spared and self._strikes("early_page"):
            return msgspec.structs.replace(budget, rows=min(budget.rows, dice().randint(1, CUT_ROWS_MAX)))
        return budget

    def _strikes(self, fault: str) -> bool:
        if not strikes(getattr(self.rates, fault)):
            return False
        self.counts[fault] += 1
        return True


@lru_cache(maxsize=1_024)
def is_slow(partition: bytes, share: float) -> bool:
    """Whether `partition` is among the slow ones, which are `share` of all; the same in every run."""
    return Random(partition).random() < share
