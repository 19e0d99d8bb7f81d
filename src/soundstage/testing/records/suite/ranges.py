"""Reads of a span, up and down: what they return, where they stop, and how they go on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundstage.engines.records.port import KEY_CEILING, Budget, Page, Span
from soundstage.testing.model import Put
from soundstage.testing.records.bench import RECORD, Bench, resumed
from soundstage.testing.records.examples import EXAMPLES, bounds, keys

LETTERS = (b"a", b"b", b"c", b"d", b"e")
HALF_MIB = 1 << 19

puts: st.SearchStrategy[dict[bytes, bytes]] = st.dictionaries(
    keys, st.sampled_from([b"", b"x", b"value" * 9]), max_size=11
)
dead: st.SearchStrategy[set[bytes]] = st.sets(keys, max_size=4)
spans: st.SearchStrategy[Span] = st.builds(Span, bounds | st.just(b""), st.none() | bounds, st.booleans())
budgets: st.SearchStrategy[Budget] = st.builds(Budget, st.integers(0, 4), st.integers(0, 400))


async def fill(bench: Bench, record: bytes = RECORD) -> None:
    """The record has the items `LETTERS`."""
    await bench.send(bench.write(at=-9, puts={key: Put(key) for key in LETTERS}), record)


def keys_of(page: Page) -> list[bytes]:
    return [key for key, _ in page.rows]


class Ranges:
    @pytest.mark.parametrize("reverse", [False, True])
    async def test_items_come_in_the_order_of_their_keys(self, bench: Bench, reverse: bool) -> None:
        shuffled = (b"b", b"\xff", b"", b"a\0", b"\0", b"a", b"aa")
        for key in shuffled:
            await bench.put(key, b"", at=-1)
        found = [key for key, _ in await bench.rows(span=Span(reverse=reverse))]
        assert found == sorted(shuffled, reverse=reverse)

    @pytest.mark.parametrize("reverse", [False, True])
    @pytest.mark.parametrize(
        ("start", "end", "expected"),
        [
            (b"b", b"d", [b"b", b"c"]),
            (b"a\0", b"d\0", [b"b", b"c", b"d"]),
            (b"b", None, [b"b", b"c", b"d", b"e"]),
            (b"", b"c", [b"a", b"b"]),
            (b"c", b"c", []),
            (b"d", b"b", []),
            (b"f", None, []),
            (b"", b"", []),
            (b"", KEY_CEILING, [*LETTERS]),
            (KEY_CEILING, None, []),
        ],
    )
    async def test_a_span_begins_at_its_start_and_ends_before_its_end(
        self, bench: Bench, start: bytes, end: bytes | None, expected: list[bytes], reverse: bool
    ) -> None:
        await fill(bench)
        page = await bench.page(span=Span(start, end, reverse))
        assert (keys_of(page), page.resume) == (expected[::-1] if reverse else expected, None)

    async def test_a_page_has_at_most_the_rows_of_its_budget(self, bench: Bench) -> None:
        await fill(bench)
        page = await bench.page(budget=Budget(rows=2))
        assert (keys_of(page), page.resume) == ([b"a", b"b"], b"c")

    async def test_a_page_read_down_resumes_below_its_last_row(self, bench: Bench) -> None:
        await fill(bench)
        page = await bench.page(span=Span(reverse=True), budget=Budget(rows=2))
        assert page.resume is not None
        rest = await bench.page(span=Span(b"", page.resume, True))
        assert (keys_of(page), keys_of(rest)) == ([b"e", b"d"], [b"c", b"b", b"a"])

    @pytest.mark.parametrize("reverse", [False, True])
    async def test_a_page_that_ends_with_the_span_is_the_last(self, bench: Bench, reverse: bool) -> None:
        await fill(bench)
        assert (await bench.page(span=Span(reverse=reverse), budget=Budget(rows=5))).resume is None

    @pytest.mark.parametrize("reverse", [False, True])
    async def test_what_is_dead_does_not_make_another_page(self, bench: Bench, reverse: bool) -> None:
        await fill(bench)
        await bench.delete(*(LETTERS[:3] if reverse else LETTERS[2:]), at=0)
        assert (await bench.page(span=Span(reverse=reverse), budget=Budget(rows=2))).resume is None

    async def test_a_page_has_at_most_the_bytes_of_its_budget(self, bench: Bench) -> None:
        for key in LETTERS:
            await bench.put(key, bytes(HALF_MIB), at=-1)
        page = await bench.page(budget=Budget(bytes=2 * HALF_MIB + 200))
        assert keys_of(page) == [b"a", b"b"]

    @pytest.mark.parametrize("reverse", [False, True])
    @pytest.mark.parametrize("budget", [Budget(bytes=1), Budget(bytes=0), Budget(rows=0), Budget(rows=0, bytes=0)])
    async def test_the_first_row_is_returned_whatever_the_budget(
        self, bench: Bench, budget: Budget, reverse: bool
    ) -> None:
        await fill(bench)
        assert len((await bench.page(span=Span(reverse=reverse), budget=budget)).rows) == 1

    async def test_a_page_tells_what_the_record_is_at(self, bench: Bench) -> None:
        await fill(bench)
        await bench.delete(b"a", at=-2, token="newest")
        page = await bench.page(span=Span(b"b", b"c"), budget=Budget(rows=1))
        assert page.stamp == (bench.at(-2), "newest")

    @pytest.mark.parametrize("reverse", [False, True])
    async def test_rows_are_read_once_though_others_come_and_go(self, bench: Bench, reverse: bool) -> None:
        await bench.send(bench.write(at=-9, puts={b"%03d" % number: Put(b"kept") for number in range(0, 100, 2)}))
        span, seen = Span(reverse=reverse), list[bytes]()
        for number in range(1, 201, 2):
            page = await bench.page(span=span, budget=Budget(rows=3))
            seen += [key for key, _ in page.rows if int(key) % 2 == 0]
            await bench.put(b"%03d" % (number % 100), b"comes", at=number)
            await bench.delete(b"%03d" % ((number * 7) % 100 | 1), at=number + 1)
            if page.resume is None:
                break
            span = resumed(span, page.resume)
        assert seen == [b"%03d" % number for number in sorted(range(0, 100, 2), reverse=reverse)]

    @EXAMPLES
    @given(puts, dead, spans, budgets)
    async def test_pages_of_any_size_add_up_to_the_whole(
        self, bench: Bench, puts: dict[bytes, bytes], dead: set[bytes], span: Span, budget: Budget
    ) -> None:
        if not bench.takes_example():
            return
        record = b"record-%d" % bench.take_number()
        if puts:
            await bench.send(bench.write(at=-2, puts={key: Put(value) for key, value in puts.items()}), record)
        if dead:
            await bench.delete(*dead, at=-1, record=record)
        wanted = sorted((key for key in puts if key not in dead and span.start <= key), reverse=span.reverse)
        pages = await bench.pages(record, span, budget)
        assert [key for page in pages for key in keys_of(page)] == [
            key for key in wanted if span.end is None or key < span.end
        ]

    @EXAMPLES
    @given(puts, spans, budgets)
    async def test_no_page_but_for_its_first_row_is_over_its_budget(
        self, bench: Bench, puts: dict[bytes, bytes], span: Span, budget: Budget
    ) -> None:
        if not bench.takes_example():
            return
        record = b"record-%d" % bench.take_number()
        if puts:
            await bench.send(bench.write(at=-2, puts={key: Put(value) for key, value in puts.items()}), record)
        for page in await bench.pages(record, span, budget):
            assert len(page.rows) <= max(1, budget.rows)
            assert len(page.rows) <= 1 or sum(len(key) + len(cell) for key, cell in page.rows) <= budget.bytes

    async def test_many_small_rows_are_all_there_whatever_a_page_holds(self, bench: Bench) -> None:
        keys = [b"%05d" % number for number in range(8_000)]
        for start in (0, 4_000):
            await bench.send(bench.write(at=-1, puts={key: Put(b"") for key in keys[start : start + 4_000]}))
        assert [key for key, _ in await bench.rows()] == keys
        assert [key for key, _ in await bench.rows(span=Span(reverse=True))] == keys[::-1]

    @pytest.mark.parametrize("reverse", [False, True])
    async def test_a_read_whose_time_is_over_says_where_to_go_on(self, bench: Bench, reverse: bool) -> None:
        await bench.send(bench.write(at=-1, puts={b"%03d" % number: Put(b"") for number in range(300)}))
        span = Span(reverse=reverse)
        late = await bench.page(span=span, budget=bench.late())
        rest = [] if late.resume is None else await bench.rows(span=resumed(span, late.resume))
        assert late.rows + rest == await bench.rows(span=span)

    @pytest.mark.parametrize("reverse", [False, True])
    async def test_a_read_that_runs_out_of_time_says_where_to_go_on(self, bench: Bench, reverse: bool) -> None:
        await bench.send(bench.write(at=-1, puts={b"%03d" % number: Put(b"") for number in range(900)}))
        whole, span = await bench.rows(span=Span(reverse=reverse)), Span(reverse=reverse)
        bench.environment.tick_ns = 1_000_000
        page = await bench.page(span=span, budget=bench.soon(5))
        assert page.resume is not None
        assert page.rows + await bench.rows(span=resumed(span, page.resume)) == whole
