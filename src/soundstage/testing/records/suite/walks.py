"""Walks over a whole table, by segments and page by page."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundstage.core.errors import InvalidArgument
from soundstage.engines.records.port import DEFAULT_BUDGET, SEGMENTS_MAX, Budget, Row, WalkPage
from soundstage.testing.model import Put
from soundstage.testing.records.bench import PAGES_MAX, Bench
from soundstage.testing.records.examples import EXAMPLES
from soundstage.testing.records.suite.ranges import budgets

COUNT = 60


async def fill(bench: Bench, count: int = COUNT) -> dict[bytes, list[bytes]]:
    """`count` records of one to five items; their keys by record."""
    kept = {b"record-%d" % number: [b"%d" % key for key in range(1 + number % 5)] for number in range(count)}
    writes = {record: bench.write(at=-1, puts={key: Put(b"value") for key in keys}) for record, keys in kept.items()}
    await asyncio.gather(*(bench.send(write, record) for record, write in writes.items()))
    return kept


async def step(
    bench: Bench,
    segment: int = 0,
    segments: int = 1,
    position: bytes | None = None,
    budget: Budget = DEFAULT_BUDGET,
) -> WalkPage:
    return await bench.engine.walk(bench.spec.name, segment, segments, position, budget, bench.at(None))


async def walk(
    bench: Bench, segment: int = 0, segments: int = 1, budget: Budget = DEFAULT_BUDGET
) -> list[tuple[bytes, Row]]:
    """Every row of a segment with its record, in the order met."""
    met: list[tuple[bytes, Row]] = []
    position: bytes | None = None
    for _ in range(PAGES_MAX):
        page = await step(bench, segment, segments, position, budget)
        met += [(record, row) for record, rows in page.partitions for row in rows]
        if page.position is None:
            return met
        assert page.position != position or not page.partitions, "a page with rows resumes where it began"
        position = page.position
    raise AssertionError("the walk has no end")


def keys_by_record(met: list[tuple[bytes, Row]]) -> dict[bytes, list[bytes]]:
    found: dict[bytes, list[bytes]] = {}
    for record, (key, _) in met:
        found.setdefault(record, []).append(key)
    return found


class Walks:
    async def test_a_walk_meets_every_row_once(self, bench: Bench) -> None:
        kept = await fill(bench)
        assert keys_by_record(await walk(bench)) == kept

    @pytest.mark.parametrize("segments", [1, 2, 3, 7, 64, SEGMENTS_MAX])
    async def test_segments_share_the_records_out(self, bench: Bench, segments: int) -> None:
        kept = await fill(bench, 30)
        met = [one for segment in range(segments) for one in await walk(bench, segment, segments)]
        assert keys_by_record(met) == kept
        assert len(met) == sum(map(len, kept.values()))

    async def test_segments_are_of_about_one_size(self, bench: Bench) -> None:
        await asyncio.gather(*(bench.put(b"", b"", at=-1, record=b"%d" % number) for number in range(400)))
        sizes = [len(await walk(bench, segment, 4)) for segment in range(4)]
        assert min(sizes) >= 60

    async def test_a_record_is_in_one_piece(self, bench: Bench) -> None:
        await fill(bench)
        records = [record for record, _ in await walk(bench, budget=Budget(rows=2))]
        seen = Counter(after for before, after in pairwise([b"", *records]) if before != after)
        assert set(seen.values()) == {1}

    async def test_two_walks_have_one_order(self, bench: Bench) -> None:
        await fill(bench)
        assert await walk(bench) == await walk(bench, budget=Budget(rows=1))

    async def test_the_rows_of_a_record_come_in_the_order_of_their_keys(self, bench: Bench) -> None:
        for key in (b"b", b"\xff", b"", b"\0", b"a"):
            await bench.put(key, b"", at=-1)
        assert [key for _, (key, _) in await walk(bench, budget=Budget(rows=2))] == [b"", b"\0", b"a", b"b", b"\xff"]

    async def test_records_without_live_items_are_left_out(self, bench: Bench) -> None:
        await fill(bench, 6)
        await bench.delete_all(at=0, record=b"record-2")
        await bench.delete(b"0", at=0, record=b"record-0")
        await bench.delete_range(b"", None, at=0, record=b"never written")
        assert set(keys_by_record(await walk(bench))) == {b"record-1", b"record-3", b"record-4", b"record-5"}

    async def test_an_empty_table_is_walked_in_one_page(self, bench: Bench) -> None:
        assert await step(bench) == WalkPage([], None)

    @pytest.mark.parametrize("budget", [Budget(rows=0), Budget(bytes=0), Budget(bytes=1), Budget(rows=1)])
    async def test_the_first_row_of_a_page_is_returned_whatever_the_budget(self, bench: Bench, budget: Budget) -> None:
        await fill(bench)
        page = await step(bench, budget=budget)
        assert [len(rows) for _, rows in page.partitions] == [1]

    @EXAMPLES
    @given(budgets, st.integers(1, 5))
    async def test_pages_of_a_walk_add_up_to_the_whole(self, bench: Bench, budget: Budget, segments: int) -> None:
        if not bench.takes_example():
            return
        # The same items at the same versions every time: writing them again changes nothing.
        kept = await fill(bench, 12)
        met = [one for segment in range(segments) for one in await walk(bench, segment, segments, budget)]
        assert (keys_by_record(met), len(met)) == (kept, sum(map(len, kept.values())))

    async def test_many_small_rows_are_all_met_whatever_a_page_holds(self, bench: Bench) -> None:
        for record in (b"one", b"two"):
            puts = {b"%05d" % number: Put(b"") for number in range(4_000)}
            await bench.send(bench.write(at=-1, puts=puts), record)
        found = keys_by_record(await walk(bench))
        assert {record: len(keys) for record, keys in found.items()} == {b"one": 4_000, b"two": 4_000}

    async def test_a_record_goes_on_in_the_next_page(self, bench: Bench) -> None:
        keys = [b"%03d" % number for number in range(100)]
        await bench.send(bench.write(at=-1, puts={key: Put(b"") for key in keys}))
        first = await step(bench, budget=Budget(rows=40))
        second = await step(bench, position=first.position)
        assert [key for page in (first, second) for _, rows in page.partitions for key, _ in rows] == keys

    async def test_what_stays_is_met_once_though_others_come_and_go(self, bench: Bench) -> None:
        kept = await fill(bench)
        met, position = list[tuple[bytes, Row]](), None
        for number in range(PAGES_MAX):
            page = await step(bench, position=position, budget=Budget(rows=4))
            met += [(record, row) for record, rows in page.partitions for row in rows]
            await bench.put(b"", b"", at=number, record=b"comes-%d" % number)
            await bench.delete_all(at=number, token="z", record=b"comes-%d" % (number // 2))
            position = page.position
            if position is None:
                break
        assert keys_by_record([one for one in met if one[0] in kept]) == kept

    @pytest.mark.parametrize("by_bytes", [False, True])
    async def test_a_page_that_cuts_no_record_has_read_nothing_of_the_next(self, bench: Bench, by_bytes: bool) -> None:
        """What is dead before a record's first live row may come to life before the next page."""
        records = [b"record-%d" % number for number in range(8)]
        for record in records:
            await bench.send(bench.write(at=-2, puts={b"a": Put(b""), b"z": Put(b"")}), record)
            await bench.delete(b"a", at=-1, record=record)
        page = await step(bench, budget=Budget(rows=1))
        if by_bytes:
            row = page.partitions[0][1][0]
            # One byte is left, so that the next record is looked at.
            page = await step(bench, budget=Budget(bytes=sum(map(len, row)) + 1))
        assert page.position is not None
        for record in records:
            await bench.send(bench.write(at=0, puts={b"a": Put(b""), b"z": Put(b"")}), record)
        rest = await step(bench, position=page.position)
        whole = rest.partitions[1:] if page.cut else rest.partitions
        assert {tuple(key for key, _ in rows) for _, rows in whole} == {(b"a", b"z")}

    async def test_a_walk_goes_on_where_its_record_was_deleted(self, bench: Bench) -> None:
        kept = await fill(bench)
        first = await step(bench, budget=Budget(rows=7))
        met = [record for record, _ in first.partitions]
        for record in met:
            await bench.delete_all(at=0, record=record)
        rest = await step(bench, position=first.position)
        assert sorted(record for record, _ in rest.partitions) == sorted(set(kept) - set(met))

    async def test_a_walk_goes_on_after_a_restart(self, bench: Bench) -> None:
        kept = await fill(bench)
        first = await step(bench, budget=Budget(rows=31))
        await bench.reopen()
        rest = await step(bench, position=first.position)
        rows = [(record, row) for page in (first, rest) for record, rows in page.partitions for row in rows]
        assert keys_by_record(rows) == kept

    async def test_when_time_is_over_a_walk_says_where_to_go_on(self, bench: Bench) -> None:
        kept = await fill(bench)
        late = await step(bench, budget=bench.late())
        rest = WalkPage([], None) if late.position is None else await step(bench, position=late.position)
        rows = [(record, row) for page in (late, rest) for record, rows in page.partitions for row in rows]
        assert keys_by_record(rows) == kept

    @pytest.mark.parametrize(
        "position",
        [b"", b"\0", b"garbage", bytes(8), bytes(8) + b"a\0\1", b"\xff" * 8, b"\x80" * 40, b"\x92\xc4\x01a", b"\xc0"],
    )
    async def test_a_position_that_no_walk_returned_is_refused(self, bench: Bench, position: bytes) -> None:
        await fill(bench)
        with pytest.raises(InvalidArgument):
            await step(bench, position=position)

    async def test_a_cut_position_is_refused(self, bench: Bench) -> None:
        await fill(bench)
        position = (await step(bench, budget=Budget(rows=1))).position
        assert position is not None
        with pytest.raises(InvalidArgument):
            await step(bench, position=position[: len(position) // 2])

    async def test_a_position_of_another_segment_is_refused(self, bench: Bench) -> None:
        await fill(bench)
        position = (await step(bench, 0, 2, budget=Budget(rows=1))).position
        with pytest.raises(InvalidArgument):
            await step(bench, 1, 2, position)

    @pytest.mark.parametrize(("segment", "segments"), [(0, 0), (1, 1), (-1, 2), (2, 2), (0, -1), (0, SEGMENTS_MAX + 1)])
    async def test_a_segment_that_there_is_not_is_refused_with_advice(
        self, bench: Bench, segment: int, segments: int
    ) -> None:
        with pytest.raises(InvalidArgument) as refused:
            await step(bench, segment, segments)
        assert refused.value.hint
