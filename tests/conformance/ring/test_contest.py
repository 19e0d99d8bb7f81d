"""That the contest finds what it is there to find: on engines in memory, some of which answer wrongly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from tests.conformance.ring.contest import DECIDED, Contest

from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import DeadlineExceeded
from soundstage.engines.records.memory import MemoryRecords
from soundstage.engines.records.port import Budget, Page, TableSpec


class Stale(MemoryRecords):
    """Every third read shows what an earlier one did."""

    reads = 0
    shown: Page = Page([], None, None)

    async def get(
        self, table: str, partition: bytes, keys: Sequence[bytes], now_us: int, budget: Budget | None = None
    ) -> Page:
        self.reads += 1
        if self.reads % 3 == 0:
            return self.shown
        self.shown = await super().get(table, partition, keys, now_us, budget)
        return self.shown


class Careless(MemoryRecords):
    """Every fifth write is said to have been made."""

    writes = 0

    async def apply(self, *arguments: Any, **named: Any) -> int:
        self.writes += 1
        return 0 if self.writes % 5 == 0 else await super().apply(*arguments, **named)


class Silent(MemoryRecords):
    """Nobody is told what became of every third write, which is made."""

    writes = 0

    async def apply(self, *arguments: Any, **named: Any) -> int:
        self.writes += 1
        stamp = await super().apply(*arguments, **named)
        if self.writes % 3 == 0:
            raise DeadlineExceeded("no answer", outcome="unknown")
        return stamp


async def wrong(engine: MemoryRecords) -> list[str]:
    await engine.start()
    await engine.create_table(TableSpec(name=DECIDED, conditional=True))
    async with Contest((engine, engine)) as contest:
        contest.pace_s = 0
        await contest.more(30)
    await engine.stop()
    return contest.wrong


@pytest.mark.parametrize("kind", [MemoryRecords, Silent])
async def test_nothing_is_wrong_with_one_register(kind: type[MemoryRecords]) -> None:
    assert await wrong(kind(SystemEnvironment())) == []


@pytest.mark.parametrize("kind", [Stale, Careless])
async def test_a_stale_read_and_a_lost_write_are_found(kind: type[MemoryRecords]) -> None:
    assert await wrong(kind(SystemEnvironment()))
