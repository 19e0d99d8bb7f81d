from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any, TypeVar

import msgspec
import pytest
from tests.testing.simulation.theatre import simulated

from soundstage.core import version
from soundstage.core.errors import DeadlineExceeded, Unavailable
from soundstage.engines.records.memory import MemoryRecords
from soundstage.engines.records.port import ALL, Batch, Budget, Condition, Conditional, TableSpec
from soundstage.testing.simulation.environment import SimulatedEnvironment
from soundstage.testing.simulation.faults import FaultRates, FaultyRecords, is_slow
from soundstage.testing.simulation.loop import SimulationLoop
from soundstage.testing.simulation.turn import Turn, holding, taking

T = TypeVar("T")

TABLE = "suite/items"
RECORD = b"record"
KEYS = [b"%d" % number for number in range(6)]


class Bench:
    """A faulty memory engine with one table."""

    def __init__(self, loop: SimulationLoop) -> None:
        self.environment = SimulatedEnvironment(loop, 1)
        self.healthy = MemoryRecords(self.environment)
        self.faulty = FaultyRecords(self.healthy, self.environment)

    async def put(self, *keys: bytes, conditional: Conditional | None = None) -> int:
        now_us = self.environment.now_us()
        cells = [(key, version.put(now_us, f"token {now_us}", b"value")) for key in keys]
        return await self.faulty.apply(TABLE, RECORD, Batch(cells=cells), conditional=conditional)

    async def stored(self) -> list[bytes]:
        page = await self.healthy.read(TABLE, RECORD, ALL, Budget(), self.environment.now_us())
        return [key for key, _ in page.rows]

    async def seconds(self, call: Awaitable[Any]) -> float:
        began_ns = self.environment.monotonic_ns()
        await call
        return (self.environment.monotonic_ns() - began_ns) / 1e9


def on_bench(body: Callable[[Bench], Awaitable[T]], **rates: float) -> T:
    """What `body` returns, played in a turn under these rates."""

    async def main(loop: SimulationLoop) -> T:
        bench = Bench(loop)
        await bench.faulty.start()
        await bench.faulty.create_table(TableSpec(name=TABLE, conditional=True))
        bench.faulty.rates = FaultRates(**rates)
        with taking(Turn(Random(1))):
            return await body(bench)

    return simulated(main)


def test_a_healthy_store_is_seen_as_it_is() -> None:
    async def body(bench: Bench) -> tuple[list[bytes], int]:
        await bench.put(*KEYS)
        page = await bench.faulty.read(TABLE, RECORD, ALL, Budget(), bench.environment.now_us())
        return await bench.stored(), len(page.rows)

    assert on_bench(body) == (KEYS, 6)


def test_a_call_lost_before_is_not_applied_and_says_so() -> None:
    async def body(bench: Bench) -> list[bytes]:
        with pytest.raises(Unavailable) as refused:
            await bench.put(b"a")
        assert refused.value.outcome == "not_applied"
        return await bench.stored()

    assert on_bench(body, lost_before=1.0) == []


def test_a_call_that_times_out_before_is_not_applied_and_nobody_knows() -> None:
    async def body(bench: Bench) -> tuple[list[bytes], float]:
        async def late() -> None:
            with pytest.raises(DeadlineExceeded) as refused:
                await bench.put(b"a")
            assert refused.value.outcome == "unknown"
            assert refused.value.retryable

        seconds = await bench.seconds(late())
        return await bench.stored(), seconds

    assert on_bench(body, timed_out_before=1.0, late_s=4.0) == ([], 4.0)


def test_an_answer_lost_after_leaves_an_applied_write_that_nobody_knows_of() -> None:
    async def body(bench: Bench) -> list[bytes]:
        with pytest.raises(Unavailable) as refused:
            await bench.put(b"a")
        assert refused.value.outcome == "unknown"
        return await bench.stored()

    assert on_bench(body, lost_after=1.0) == [b"a"]


def test_a_call_that_times_out_after_is_applied_and_takes_its_time() -> None:
    async def body(bench: Bench) -> tuple[list[bytes], float]:
        async def late() -> None:
            with pytest.raises(DeadlineExceeded):
                await bench.put(b"a")

        seconds = await bench.seconds(late())
        return await bench.stored(), seconds

    assert on_bench(body, timed_out_after=1.0, late_s=4.0) == ([b"a"], 4.0)


def test_a_part_of_a_batch_is_applied_and_nobody_knows() -> None:
    async def body(bench: Bench) -> int:
        with pytest.raises(Unavailable) as refused:
            await bench.put(*KEYS)
        assert refused.value.outcome == "unknown"
        return len(await bench.stored())

    assert 0 < on_bench(body, partial=1.0) < len(KEYS)


def test_conditional_writes_are_never_applied_in_part() -> None:
    async def body(bench: Bench) -> list[bytes]:
        guard = Conditional(conditions=[Condition(None, None)], token="t", digest=b"d", limit_us=2**62)
        await bench.put(*KEYS, conditional=guard)
        return await bench.stored()

    assert on_bench(body, partial=1.0) == KEYS


def test_a_batch_of_one_has_no_parts() -> None:
    async def body(bench: Bench) -> list[bytes]:
        await bench.put(b"a")
        return await bench.stored()

    assert on_bench(body, partial=1.0) == [b"a"]


def test_late_calls_take_their_time_and_are_answered() -> None:
    async def body(bench: Bench) -> tuple[float, list[bytes]]:
        seconds = await bench.seconds(bench.put(b"a"))
        return seconds, await bench.stored()

    seconds, stored = on_bench(body, late=1.0, late_s=2.0)
    assert 0 < seconds < 4
    assert stored == [b"a"]


async def read(bench: Bench) -> bool:
    return bool((await bench.faulty.read(TABLE, RECORD, ALL, Budget(), bench.environment.now_us())).rows)


async def get(bench: Bench) -> bool:
    return bool((await bench.faulty.get(TABLE, RECORD, [b"a"], bench.environment.now_us())).rows)


async def read_many(bench: Bench) -> bool:
    now_us = bench.environment.now_us()
    return bool((await bench.faulty.read_many(TABLE, [RECORD], ALL, Budget(), now_us))[0].rows)


async def walk(bench: Bench) -> bool:
    now_us = bench.environment.now_us()
    return bool((await bench.faulty.walk(TABLE, 0, 1, None, Budget(), now_us)).partitions)


@pytest.mark.parametrize("reading", [read, get, read_many, walk])
def test_a_late_answer_is_of_a_moment_that_has_passed(reading: Callable[[Bench], Awaitable[bool]]) -> None:
    """Beside each read a write is applied: some reads that end after it began before, and do not show it."""

    async def body(bench: Bench) -> set[tuple[bool, bool]]:
        seen: set[tuple[bool, bool]] = set()
        for number in range(40):
            now_us = bench.environment.now_us()
            await bench.healthy.apply(TABLE, RECORD, Batch(partition=version.delete(now_us, f"d{number}")))
            asked = asyncio.ensure_future(reading(bench))
            await bench.environment.sleep(1.0)
            before = asked.done()
            cell = version.put(bench.environment.now_us(), f"p{number}", b"")
            await bench.healthy.apply(TABLE, RECORD, Batch(cells=[(b"a", cell)]))
            seen.add((before, await asked))
        return seen

    assert on_bench(body, late=1.0, late_s=2.0) >= {(False, False), (False, True)}


def test_slow_partitions_are_slow_every_time() -> None:
    async def body(bench: Bench) -> tuple[list[float], int]:
        return [await bench.seconds(bench.put(b"a")) for _ in range(3)], bench.faulty.counts["slow"]

    assert on_bench(body, slow_partitions=1.0, slow_s=0.5) == ([0.5, 0.5, 0.5], 3)


def test_a_share_of_the_partitions_is_slow_the_same_in_every_run() -> None:
    slow = [is_slow(b"%d" % number, 0.2) for number in range(1_000)]
    assert 150 < sum(slow) < 250
    assert slow == [is_slow(b"%d" % number, 0.2) for number in range(1_000)]


def test_early_pages_are_short_and_say_where_to_go_on() -> None:
    async def body(bench: Bench) -> list[bytes]:
        await bench.healthy.apply(TABLE, RECORD, Batch(cells=[(key, version.put(1, "t", b"")) for key in KEYS]))
        read: list[bytes] = []
        span = ALL
        while True:
            page = await bench.faulty.read(TABLE, RECORD, span, Budget(), bench.environment.now_us())
            assert len(page.rows) <= 3
            read += [key for key, _ in page.rows]
            if page.resume is None:
                return read
            span = msgspec.structs.replace(span, start=page.resume)

    assert on_bench(body, early_page=1.0) == KEYS


def test_early_pages_have_no_more_rows_than_were_asked_for() -> None:
    async def body(bench: Bench) -> set[int]:
        await bench.put(*KEYS)
        now_us = bench.environment.now_us()
        pages = [await bench.faulty.read(TABLE, RECORD, ALL, Budget(rows=1), now_us) for _ in range(20)]
        pages += [await bench.faulty.get(TABLE, RECORD, KEYS, now_us, Budget(rows=1)) for _ in range(20)]
        return {len(page.rows) for page in pages}

    assert on_bench(body, early_page=1.0) == {1}


def test_a_read_by_keys_without_a_budget_is_whole() -> None:
    async def body(bench: Bench) -> int:
        await bench.put(*KEYS)
        return len((await bench.faulty.get(TABLE, RECORD, KEYS, bench.environment.now_us())).rows)

    assert on_bench(body, early_page=1.0) == len(KEYS)


def test_walks_and_reads_of_many_partitions_meet_faults_too() -> None:
    async def body(bench: Bench) -> None:
        now_us = bench.environment.now_us()
        with pytest.raises(Unavailable):
            await bench.faulty.walk(TABLE, 0, 1, None, Budget(), now_us)
        with pytest.raises(Unavailable):
            await bench.faulty.read_many(TABLE, [RECORD], ALL, Budget(), now_us)

    on_bench(body, lost_before=1.0)


@pytest.mark.parametrize(("fault", "reached"), [("lost_before", False), ("lost_after", True)])
def test_making_and_dropping_tables_meets_faults_too(fault: str, reached: bool) -> None:
    async def body(bench: Bench) -> tuple[bool, bool]:
        with pytest.raises(Unavailable):
            await bench.faulty.create_table(TableSpec(name="suite/other"))
        with pytest.raises(Unavailable):
            await bench.faulty.drop_table(TABLE)
        names = [spec.name for spec in await bench.healthy.tables()]
        return "suite/other" in names, TABLE not in names

    assert on_bench(body, **{fault: 1.0}) == (reached, reached)


def test_spared_tables_meet_no_fault() -> None:
    async def body(bench: Bench) -> list[bytes]:
        bench.faulty.spared = frozenset({TABLE})
        await bench.put(b"a")
        return await bench.stored()

    assert on_bench(body, lost_before=1.0, partial=1.0) == [b"a"]


def test_what_happens_in_no_turn_meets_no_fault() -> None:
    async def main(loop: SimulationLoop) -> list[bytes]:
        bench = Bench(loop)
        await bench.faulty.start()
        await bench.faulty.create_table(TableSpec(name=TABLE))
        bench.faulty.rates = FaultRates(lost_before=1.0)
        await bench.put(b"a")
        return await bench.stored()

    assert simulated(main) == [b"a"]


def test_a_held_up_write_passes_the_port_late() -> None:
    async def body(bench: Bench) -> tuple[float, int]:
        with holding(45.0):
            return await bench.seconds(bench.put(b"a")), bench.faulty.counts["held_up"]

    assert on_bench(body) == (45.0, 1)


def test_faults_are_counted() -> None:
    async def body(bench: Bench) -> dict[str, int]:
        for _ in range(3):
            with pytest.raises(Unavailable):
                await bench.put(b"a")
        return dict(bench.faulty.counts)

    assert on_bench(body, lost_before=1.0) == {"lost_before": 3}


def test_what_is_not_served_to_callers_passes_through() -> None:
    async def body(bench: Bench) -> tuple[list[str], int, int]:
        await bench.put(*KEYS)
        names = [spec.name for spec in await bench.faulty.tables()]
        rows = (await bench.faulty.statistics(TABLE)).rows
        purged = (await bench.faulty.sweep(10)).purged
        return names, rows, purged

    assert on_bench(body) == ([TABLE], len(KEYS), 0)


def test_tables_are_dropped_where_they_are() -> None:
    async def body(bench: Bench) -> list[str]:
        await bench.faulty.drop_table(TABLE)
        return [spec.name for spec in await bench.healthy.tables()]

    assert on_bench(body) == []


def test_a_purge_floor_holds_where_the_rows_are() -> None:
    async def body(bench: Bench) -> list[int]:
        cell = version.delete(bench.environment.now_us(), "t")
        await bench.healthy.apply(TABLE, RECORD, Batch(cells=[(b"a", cell)]))
        await bench.faulty.set_purge_floor(TABLE, 0)
        await bench.environment.sleep(1e6)
        purged = [(await bench.faulty.sweep(10)).purged]
        await bench.faulty.set_purge_floor(TABLE, None)
        return [*purged, (await bench.faulty.sweep(10)).purged]

    assert on_bench(body) == [0, 1]


def test_a_write_is_answered_with_its_stamp() -> None:
    async def body(bench: Bench) -> bool:
        now_us = bench.environment.now_us()
        return await bench.put(b"a") == now_us

    assert on_bench(body)


def test_the_engine_stops_with_what_stands_before_it() -> None:
    async def body(bench: Bench) -> None:
        await bench.faulty.stop()
        with pytest.raises(Unavailable):
            await bench.stored()

    on_bench(body)
