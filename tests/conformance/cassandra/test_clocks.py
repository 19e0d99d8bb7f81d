"""Clocks that disagree: those of processes with one another, and with those of the nodes.

The conformance suite runs three years behind the nodes' own clocks as it is; here processes are ahead, too.
"""

from __future__ import annotations

import time

import pytest

from soundstage.core import version
from soundstage.core.environment import VirtualEnvironment
from soundstage.engines.records.cassandra import CassandraRecords, Link
from soundstage.engines.records.port import ALL, Batch, Budget, Condition, Conditional, RangeDelete, Stamp, TableSpec

pytestmark = pytest.mark.slow

PLAIN, GUARDED = "clocks/plain", "clocks/guarded"
RECORD = b"record"


class Process:
    """An engine whose clock is so many seconds off the nodes'."""

    def __init__(self, link: Link, space: str, off_s: float) -> None:
        self.environment: VirtualEnvironment = VirtualEnvironment(start_ns=time.time_ns() + round(off_s * 1e9))
        self.engine: CassandraRecords = CassandraRecords(link, self.environment, space)

    async def start(self) -> None:
        await self.engine.start()
        await self.engine.create_table(TableSpec(name=PLAIN))
        await self.engine.create_table(TableSpec(name=GUARDED, conditional=True))

    def now_us(self) -> int:
        self.environment.advance(1e-6)
        return self.environment.now_us()

    async def put(self, table: str, value: bytes, at_us: int | None = None) -> int:
        cell = version.put(self.now_us() if at_us is None else at_us, "put", value)
        return await self.engine.apply(table, RECORD, Batch(cells=[(b"key", cell)]))

    async def delete(self, table: str) -> int:
        cell = version.delete(self.now_us(), "delete")
        return await self.engine.apply(table, RECORD, Batch(ranges=[RangeDelete(b"", None, cell)]))

    async def values(self, table: str) -> list[bytes]:
        page = await self.engine.read(table, RECORD, ALL, Budget(), self.environment.now_us())
        return [bytes(version.split(cell).value) for _, cell in page.rows]


@pytest.mark.parametrize("table", [PLAIN, GUARDED])
@pytest.mark.parametrize("off_s", [-86_400.0, 86_400.0])
async def test_a_process_whose_clock_is_not_the_nodes_reads_what_it_wrote(link: Link, table: str, off_s: float) -> None:
    process = Process(link, f"clocks-{time.time_ns()}", off_s)
    await process.start()
    seen: list[list[bytes]] = []
    await process.put(table, b"one")
    seen.append(await process.values(table))
    await process.delete(table)
    seen.append(await process.values(table))
    await process.put(table, b"two")
    seen.append(await process.values(table))
    await process.engine.stop()
    assert seen == [[b"one"], [], [b"two"]]


@pytest.mark.parametrize("table", [PLAIN, GUARDED])
async def test_the_later_token_wins_whoever_is_asked_first(link: Link, table: str) -> None:
    space = f"clocks-{time.time_ns()}"
    behind, ahead = Process(link, space, -300.0), Process(link, space, 1.0)
    await behind.start()
    await ahead.start()
    await ahead.put(table, b"ahead")
    await behind.put(table, b"behind")
    found = [await behind.values(table), await ahead.values(table)]
    await behind.engine.stop()
    await ahead.engine.stop()
    assert found == [[b"ahead"], [b"ahead"]]


async def test_a_condition_that_holds_is_written_over_what_a_fast_clock_wrote(link: Link) -> None:
    space = f"clocks-{time.time_ns()}"
    behind, ahead = Process(link, space, -300.0), Process(link, space, 1.0)
    await behind.start()
    await ahead.start()
    first_us = await ahead.put(GUARDED, b"ahead")
    asked = Conditional(
        conditions=[Condition(b"key", Stamp(first_us, "put"))], token="then", digest=b"", limit_us=first_us + 10**9
    )
    cell = version.put(behind.now_us(), "then", b"behind")
    stamped_us = await behind.engine.apply(GUARDED, RECORD, Batch(cells=[(b"key", cell)]), conditional=asked)
    found = await ahead.values(GUARDED)
    await behind.engine.stop()
    await ahead.engine.stop()
    assert (stamped_us, found) == (first_us + 1, [b"behind"])
