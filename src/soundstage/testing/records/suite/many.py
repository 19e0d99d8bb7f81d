"""Reads of many records under one budget."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundstage.engines.records.port import ALL, DEFAULT_BUDGET, KEY_CEILING, Budget, Page, Row, Span
from soundstage.testing.model import Put
from soundstage.testing.records.bench import Bench, resumed
from soundstage.testing.records.examples import EXAMPLES
from soundstage.testing.records.suite.ranges import budgets, puts, spans

RECORDS = (b"one", b"two", b"three")


async def fill(bench: Bench) -> None:
    """Each of `RECORDS` has three items."""
    for record in RECORDS:
        await bench.send(bench.write(at=-1, puts={b"a": Put(b""), b"b": Put(b""), b"c": Put(b"")}), record)


async def read_many(bench: Bench, *records: bytes, span: Span = ALL, budget: Budget = DEFAULT_BUDGET) -> list[Page]:
    return await bench.engine.read_many(bench.spec.name, records, span, budget, bench.at(None))


async def read_on(bench: Bench, records: list[bytes], pages: list[Page], span: Span) -> list[list[Row]]:
    """What `pages` hold and what is found where they resume."""
    whole: list[list[Row]] = []
    for record, page in zip(records, pages, strict=True):
        rest = [] if page.resume is None else await bench.rows(record, resumed(span, page.resume))
        whole.append(page.rows + rest)
    return whole


class Many:
    async def test_pages_come_in_the_order_asked(self, bench: Bench) -> None:
        for record in RECORDS:
            await bench.put(record, b"", at=-1, record=record)
        pages = await read_many(bench, b"two", b"one", b"three")
        assert [page.rows[0][0] for page in pages] == [b"two", b"one", b"three"]

    async def test_a_page_is_what_a_read_of_the_record_gives(self, bench: Bench) -> None:
        await fill(bench)
        span = Span(b"a", b"c", True)
        assert await read_many(bench, *RECORDS, span=span) == [await bench.page(record, span) for record in RECORDS]

    async def test_unknown_records_are_empty_and_at_no_version(self, bench: Bench) -> None:
        await fill(bench)
        pages = await read_many(bench, b"unknown", b"one")
        assert (pages[0], len(pages[1].rows)) == (Page([], None, None), 3)

    async def test_no_records_give_no_pages(self, bench: Bench) -> None:
        assert await read_many(bench) == []

    async def test_a_record_may_be_asked_for_twice(self, bench: Bench) -> None:
        await fill(bench)
        one, other = await read_many(bench, b"one", b"one")
        assert one == other

    async def test_the_rows_of_the_budget_are_for_all_records(self, bench: Bench) -> None:
        await fill(bench)
        pages = await read_many(bench, *RECORDS, budget=Budget(rows=4))
        assert [len(page.rows) for page in pages] == [3, 1, 0]

    async def test_the_bytes_of_the_budget_are_for_all_records(self, bench: Bench) -> None:
        for record in RECORDS:
            await bench.put(b"a", bytes(1_000), at=-1, record=record)
        pages = await read_many(bench, *RECORDS, budget=Budget(bytes=2_500))
        assert [len(page.rows) for page in pages] == [1, 1, 0]

    async def test_only_the_first_row_of_all_may_be_over_the_budget(self, bench: Bench) -> None:
        for record in RECORDS:
            await bench.put(b"a", bytes(1_000), at=-1, record=record)
        pages = await read_many(bench, *RECORDS, budget=Budget(bytes=10))
        assert [len(page.rows) for page in pages] == [1, 0, 0]

    async def test_a_record_without_live_items_costs_nothing_of_the_budget(self, bench: Bench) -> None:
        await fill(bench)
        await bench.delete_all(at=0, record=b"one")
        pages = await read_many(bench, *RECORDS, budget=Budget(rows=3))
        assert [len(page.rows) for page in pages] == [0, 3, 0]

    @pytest.mark.parametrize(
        ("span", "beginning"),
        [
            (ALL, b""),
            (Span(b"a\0"), b"a\0"),
            (Span(reverse=True), KEY_CEILING),
            (Span(b"", b"b\0", True), b"b\0"),
        ],
    )
    async def test_records_not_reached_resume_at_their_beginning(
        self, bench: Bench, span: Span, beginning: bytes
    ) -> None:
        await fill(bench)
        pages = await read_many(bench, *RECORDS, span=span, budget=Budget(rows=1))
        assert (pages[2].rows, pages[2].resume) == ([], beginning)

    @pytest.mark.parametrize("reverse", [False, True])
    async def test_a_span_of_nothing_stays_one_in_records_not_reached(self, bench: Bench, reverse: bool) -> None:
        await fill(bench)
        span = Span(b"", b"", reverse)
        pages = await read_many(bench, *RECORDS, span=span, budget=bench.late())
        assert await read_on(bench, [*RECORDS], pages, span) == [[], [], []]

    @pytest.mark.parametrize("reverse", [False, True])
    async def test_when_time_is_over_every_record_says_where_to_go_on(self, bench: Bench, reverse: bool) -> None:
        await fill(bench)
        span = Span(reverse=reverse)
        pages = await read_many(bench, *RECORDS, span=span, budget=bench.late())
        assert await read_on(bench, [*RECORDS], pages, span) == [await bench.rows(each, span) for each in RECORDS]

    @EXAMPLES
    @given(st.lists(puts, max_size=4), spans, budgets)
    async def test_pages_and_what_follows_them_add_up_to_the_whole(
        self, bench: Bench, contents: list[dict[bytes, bytes]], span: Span, budget: Budget
    ) -> None:
        if not bench.takes_example():
            return
        records = [b"record-%d" % bench.take_number() for _ in contents]
        for record, items in zip(records, contents, strict=True):
            if items:
                await bench.send(bench.write(at=-1, puts={key: Put(value) for key, value in items.items()}), record)
        pages = await read_many(bench, *records, span=span, budget=budget)
        assert sum(len(page.rows) for page in pages) <= max(1, budget.rows)
        assert await read_on(bench, records, pages, span) == [await bench.rows(each, span) for each in records]
