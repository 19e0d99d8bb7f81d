"""The bench: short words for calls, a clock that can be made to pass, and no patience with endless pages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.engines.records.opened import in_memory, on_disk

from soundstage.core import version
from soundstage.core.environment import Environment
from soundstage.engines.records.memory import MemoryRecords
from soundstage.engines.records.port import ALL, Budget, Page, Records, Span
from soundstage.testing.model import Condition, Put, Stamp
from soundstage.testing.records.bench import PAGES_MAX, RECORD, Bench, BenchEnvironment, OpenEngine, resumed


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench(in_memory(), conditional=True)
    await bench.open()
    yield bench
    await bench.close()


class Wandering(MemoryRecords):
    """Its pages resume where they began."""

    async def read(self, table: str, partition: bytes, span: Span, budget: Budget, now_us: int) -> Page:
        page = await super().read(table, partition, span, budget, now_us)
        return Page(page.rows, span.start, page.stamp)


class Endless(MemoryRecords):
    """It returns nothing and always says that there is more."""

    async def read(self, table: str, partition: bytes, span: Span, budget: Budget, now_us: int) -> Page:
        return Page([], b"more", None)


def opening(kind: type[MemoryRecords]) -> OpenEngine:
    async def open_engine(environment: Environment, store: str = "store") -> Records:
        engine = kind(environment)
        await engine.start()
        return engine

    return open_engine


async def test_times_are_counted_from_the_opening(bench: Bench) -> None:
    assert bench.now == 0
    bench.advance(1_500)
    assert (bench.now, bench.at(None) - bench.start_us, bench.at(7) - bench.start_us) == (1_500, 1_500, 7)


async def test_what_was_put_is_read(bench: Bench) -> None:
    stamp_us = await bench.put(b"key", b"value", at=-5, expires=9)
    assert stamp_us == -5
    assert await bench.values() == {b"key": b"value"}
    assert await bench.values(now=9) == {}
    assert await bench.stamp() == (-5, "token")
    assert await bench.item_stamp(b"key") == Stamp(bench.at(-5), "token")
    assert await bench.record_stamp() == Stamp(bench.at(-5), "token")


async def test_deletes_of_every_kind_are_sent(bench: Bench) -> None:
    await bench.send(bench.write(at=-9, puts={key: Put(b"") for key in (b"a", b"b", b"c", b"d")}))
    await bench.delete(b"a", at=-8)
    await bench.delete_range(b"b", b"c", at=-7)
    assert list(await bench.values()) == [b"c", b"d"]
    await bench.delete_all(at=-6)
    assert await bench.values() == {}


async def test_a_conditional_put_has_a_token_of_its_own(bench: Bench) -> None:
    await bench.put_if(b"a", b"", at=0)
    await bench.put_if(b"b", b"", Condition(b"a", await bench.item_stamp(b"a")), at=0)
    assert list(await bench.values()) == [b"a", b"b"]


async def test_numbers_are_given_once(bench: Bench) -> None:
    assert len({bench.take_number() for _ in range(100)}) == 100


async def test_sweeping_goes_on_until_nothing_is_due(bench: Bench) -> None:
    await bench.delete(*(b"%d" % number for number in range(20)), at=0)
    bench.advance(bench.kept_us)
    assert (await bench.sweep(3), await bench.sweep()) == (20, 0)


async def test_pages_are_followed_to_the_end(bench: Bench) -> None:
    await bench.send(bench.write(at=0, puts={b"%d" % number: Put(b"") for number in range(7)}))
    pages = await bench.pages(budget=Budget(rows=3))
    assert [len(page.rows) for page in pages] == [3, 3, 1]
    assert await bench.rows(budget=Budget(rows=2)) == await bench.rows()


async def test_a_page_that_leads_nowhere_fails() -> None:
    bench = Bench(opening(Wandering), conditional=False)
    await bench.open()
    await bench.put(b"key", b"", at=0)
    with pytest.raises(AssertionError, match="where it began"):
        await bench.rows()


async def test_pages_without_end_fail() -> None:
    bench = Bench(opening(Endless), conditional=False)
    await bench.open()
    with pytest.raises(AssertionError, match="no end"):
        await bench.rows()
    assert PAGES_MAX >= 1_000


def test_a_page_down_is_followed_by_its_end_and_one_up_by_its_start() -> None:
    assert resumed(Span(b"a", b"z"), b"m") == Span(b"m", b"z")
    assert resumed(Span(b"a", b"z", True), b"m") == Span(b"a", b"m", True)
    assert resumed(ALL, b"m") == Span(b"m")


def test_time_stands_still_unless_it_is_made_to_pass() -> None:
    environment = BenchEnvironment()
    assert environment.monotonic_ns() == environment.monotonic_ns()
    environment.tick_ns = 1_000
    before_us = environment.now_us()
    assert environment.monotonic_ns() + 1_000 == environment.monotonic_ns()
    assert environment.now_us() == before_us + 2


async def test_budgets_of_time_end_when_they_say(bench: Bench) -> None:
    await bench.put(b"key", b"", at=0)
    soon = bench.soon(1)
    assert (await bench.page(budget=bench.late())).rows == []
    assert len((await bench.page(budget=soon)).rows) == 1
    bench.advance(1_000)
    assert (await bench.page(budget=soon)).rows == []


async def test_a_bench_that_is_reopened_finds_what_was_there(tmp_path: Path) -> None:
    bench = Bench(on_disk(tmp_path, "os"), conditional=False)
    await bench.open()
    await bench.put(b"key", b"value", at=0)
    engine = bench.engine
    await bench.reopen()
    assert bench.engine is not engine
    assert await bench.values() == {b"key": b"value"}
    await bench.close()


async def test_a_bench_that_was_never_opened_can_be_closed() -> None:
    bench = Bench(in_memory(), conditional=False)
    await bench.close()
    assert not hasattr(bench, "engine")


async def test_cells_are_those_of_the_rule(bench: Bench) -> None:
    await bench.put(b"key", b"value", at=3, token="t")
    assert await bench.rows() == [(b"key", version.put(bench.at(3), "t", b"value"))]
    assert (await bench.page(RECORD)).stamp == (bench.at(3), "t")


@pytest.mark.parametrize(("examples", "taken"), [(None, 5), (3, 3), (0, 0)])
def test_properties_are_tried_with_so_many_examples(examples: int | None, taken: int) -> None:
    bench = Bench(in_memory(), conditional=False, examples=examples)
    assert sum(bench.takes_example() for _ in range(5)) == taken


def test_a_heavy_example_is_worth_several() -> None:
    bench = Bench(in_memory(), conditional=False, examples=7)
    assert [bench.takes_example(weight=3) for _ in range(4)] == [True, True, False, False]


@pytest.mark.parametrize(("examples", "tries"), [(None, 120), (60, 120), (100, 120), (30, 60), (0, 1)])
def test_engines_that_answer_slowly_are_tried_less(examples: int | None, tries: int) -> None:
    assert Bench(in_memory(), conditional=False, examples=examples).tries(120) == tries
