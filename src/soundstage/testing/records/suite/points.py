"""Reads of single keys."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundstage.engines.records.port import BATCH_MAX_ITEMS, Budget, Page
from soundstage.testing.model import Put
from soundstage.testing.records.bench import RECORD, Bench
from soundstage.testing.records.examples import EXAMPLES, KEYS
from soundstage.testing.records.suite.ranges import LETTERS, budgets, fill
from soundstage.testing.records.writes import shown


async def get(bench: Bench, *keys: bytes, record: bytes = RECORD, budget: Budget | None = None) -> Page:
    return await bench.engine.get(bench.spec.name, record, keys, bench.at(None), budget)


async def pages_of(bench: Bench, keys: list[bytes], record: bytes, budget: Budget) -> list[Page]:
    """The pages of `keys` to the last."""
    pages = [await get(bench, *keys, record=record, budget=budget)]
    while (resume := pages[-1].resume) is not None:
        rest = keys[keys.index(resume) :]
        assert rest != keys or not pages[-1].rows, "a page with rows resumes where it began"
        keys = rest
        pages.append(await get(bench, *keys, record=record, budget=budget))
    return pages


def keys_of(page: Page) -> Sequence[bytes]:
    return [key for key, _ in page.rows]


class Points:
    async def test_keys_are_found_in_the_order_asked(self, bench: Bench) -> None:
        await bench.send(bench.write(at=-1, puts={b"a": Put(b"1"), b"b": Put(b"2"), b"c": Put(b"3")}))
        assert keys_of(await get(bench, b"c", b"a", b"b")) == [b"c", b"a", b"b"]

    async def test_a_key_gives_the_cell_that_a_range_gives(self, bench: Bench) -> None:
        await bench.put(b"a", b"value", at=-1)
        assert (await get(bench, b"a")).rows == await bench.rows()

    async def test_unknown_keys_are_left_out(self, bench: Bench) -> None:
        await bench.put(b"b", b"", at=-1)
        assert keys_of(await get(bench, b"a", b"b", b"c")) == [b"b"]

    async def test_a_key_is_not_found_by_what_it_begins_with(self, bench: Bench) -> None:
        await bench.put(b"ab", b"", at=-1)
        assert keys_of(await get(bench, b"a", b"", b"ab\0")) == []

    async def test_the_empty_key_is_a_key(self, bench: Bench) -> None:
        await bench.put(b"", b"value", at=-1)
        assert keys_of(await get(bench, b"", b"a")) == [b""]

    async def test_no_keys_find_nothing(self, bench: Bench) -> None:
        await bench.put(b"a", b"", at=-1, token="newest")
        page = await get(bench)
        assert (page.rows, page.resume, page.stamp) == ([], None, (await bench.page()).stamp)

    async def test_keys_of_an_unknown_record_find_nothing(self, bench: Bench) -> None:
        assert await get(bench, b"a", b"b", record=b"unknown") == Page([], None, None)

    async def test_keys_under_every_kind_of_delete_are_left_out(self, bench: Bench) -> None:
        await bench.send(bench.write(at=-9, puts={key: Put(b"") for key in (b"a", b"b", b"c", b"d")}))
        await bench.send(bench.write(at=-8, token="delete", markers=[b"a"], ranges=[(b"b", b"c")]))
        await bench.put(b"c", b"", at=-7, expires=-1)
        assert keys_of(await get(bench, b"a", b"b", b"c", b"d")) == [b"d"]

    async def test_points_tell_what_the_record_is_at(self, bench: Bench) -> None:
        await bench.put(b"a", b"", at=-2)
        await bench.delete(b"b", at=-1, token="newest")
        assert (await get(bench, b"a")).stamp == (bench.at(-1), "newest")

    async def test_as_many_keys_are_found_as_one_call_may_put(self, bench: Bench) -> None:
        keys = [b"%05d" % number for number in range(BATCH_MAX_ITEMS)]
        await bench.send(bench.write(at=-1, puts={key: Put(b"") for key in keys}))
        assert keys_of(await get(bench, *reversed(keys))) == keys[::-1]

    async def test_without_a_budget_every_key_is_answered(self, bench: Bench) -> None:
        keys = [b"%d" % number for number in range(6)]
        for key in keys:
            await bench.put(key, bytes(700_000), at=-1)
        page = await get(bench, *keys)
        assert (keys_of(page), page.resume) == (keys, None)

    async def test_a_budget_of_rows_stops_at_the_first_key_not_answered(self, bench: Bench) -> None:
        await fill(bench)
        page = await get(bench, b"e", b"x", b"b", b"y", b"a", b"z", b"c", budget=Budget(rows=2))
        assert (keys_of(page), page.resume) == ([b"e", b"b"], b"a")

    async def test_a_budget_that_is_enough_leaves_nothing(self, bench: Bench) -> None:
        await fill(bench)
        assert (await get(bench, *LETTERS, b"x", budget=Budget(rows=5))).resume is None

    @pytest.mark.parametrize("budget", [Budget(bytes=1), Budget(bytes=0), Budget(rows=0)])
    async def test_the_first_row_is_returned_whatever_the_budget_of_points(self, bench: Bench, budget: Budget) -> None:
        await fill(bench)
        assert keys_of(await get(bench, b"x", b"c", b"b", budget=budget)) == [b"c"]

    async def test_what_a_caller_thinks_likely_changes_no_answer(self, bench: Bench) -> None:
        await fill(bench)
        pages = [await get(bench, *LETTERS, budget=Budget(likely_rows=likely)) for likely in (None, 1, 1_000)]
        assert [keys_of(page) for page in pages if page.resume is None] == [[*LETTERS]] * 3

    @EXAMPLES
    @given(st.sets(st.sampled_from(KEYS)), st.permutations(KEYS), budgets)
    async def test_pages_of_points_add_up_to_the_whole(
        self, bench: Bench, there: set[bytes], asked: list[bytes], budget: Budget
    ) -> None:
        if not bench.takes_example():
            return
        record = b"record-%d" % bench.take_number()
        if there:
            await bench.send(bench.write(at=-1, puts={key: Put(key) for key in there}), record)
        pages = await pages_of(bench, asked, record, budget)
        assert [key for page in pages for key in keys_of(page)] == [key for key in asked if key in there]
        assert all(len(page.rows) <= max(1, budget.rows) for page in pages)

    @pytest.mark.parametrize("count", [10, 100])
    async def test_points_whose_time_is_over_say_where_to_go_on(self, bench: Bench, count: int) -> None:
        keys = [b"%03d" % number for number in range(count)]
        await bench.send(bench.write(at=-1, puts={key: Put(b"") for key in keys}))
        late = await get(bench, *keys, budget=bench.late())
        rest = [] if late.resume is None else keys[keys.index(late.resume) :]
        assert [*keys_of(late), *keys_of(await get(bench, *rest))] == keys

    @pytest.mark.parametrize("count", [10, 900])
    async def test_points_are_of_one_moment(self, bench: Bench, count: int) -> None:
        bench.environment.tick_ns = 1_000_000
        keys = [b"%03d" % number for number in range(count)]

        async def read() -> set[bytes]:
            return {found.value for found in shown((await get(bench, *keys)).rows).values()}

        await bench.send(bench.write(at=0, puts={key: Put(b"0") for key in keys}))
        for number in range(1, 9):
            write = bench.write(at=number, puts={key: Put(b"%d" % number) for key in keys})
            seen = await asyncio.gather(read(), bench.send(write), read())
            assert {len(values) for values in seen if isinstance(values, set)} == {1}
