"""Pages have what there is from an offset on, within their limits, and go on where the last one ended."""

from __future__ import annotations

import asyncio

import pytest

from soundstage.core.errors import InvalidArgument
from soundstage.engines.log.port import PAGE_MAX_BYTES, PAGE_MAX_ENTRIES
from soundstage.testing.log.bench import PARTITIONS, TOPIC, LogBench, offsets


async def filled(bench: LogBench, count: int = 20, size: int = 10) -> list[bytes]:
    """So many entries in the partition 0, some alone and some together; their values."""
    values = [b"%0*d" % (size, number) for number in range(count)]
    for begin, end in ((0, 1), (1, 2), (2, 9), (9, 10), (10, count)):
        await bench.append(*values[begin:end])
    return values


class Reads:
    @pytest.mark.parametrize("offset", [0, 1, 2, 5, 8, 9, 13, 19, 20])
    async def test_a_page_begins_at_its_offset(self, bench: LogBench, offset: int) -> None:
        values = await filled(bench)
        page = await bench.page(offset)
        assert [each.value for each in page.entries] == values[offset:]
        assert (page.next, page.start, page.end) == (20, 0, 20)

    @pytest.mark.parametrize("limit", [1, 2, 3, 7, 19, 20, 21])
    async def test_a_page_has_at_most_so_many_entries(self, bench: LogBench, limit: int) -> None:
        await filled(bench)
        page = await bench.page(0, entries=limit)
        assert (len(page.entries), page.next) == (min(limit, 20), min(limit, 20))

    @pytest.mark.parametrize(("size", "count"), [(1, 1), (10, 1), (19, 1), (20, 2), (59, 5), (200, 20)])
    async def test_a_page_has_at_most_so_many_bytes(self, bench: LogBench, size: int, count: int) -> None:
        await filled(bench)
        page = await bench.page(0, size=size)
        assert (len(page.entries), page.next) == (count, count)

    @pytest.mark.parametrize("limit", [1, 3, 6])
    async def test_pages_together_have_everything_once(self, bench: LogBench, limit: int) -> None:
        values = await filled(bench)
        assert [each.value for each in await bench.everything(entries=limit)] == values

    async def test_a_page_from_the_end_is_empty(self, bench: LogBench) -> None:
        await bench.append(b"a")
        page = await bench.page(1)
        assert (page.entries, page.next, page.end) == ([], 1, 1)

    async def test_an_offset_after_the_end_is_refused(self, bench: LogBench) -> None:
        await bench.append(b"a")
        with pytest.raises(InvalidArgument) as caught:
            await bench.page(2)
        assert caught.value.field == "offset"

    @pytest.mark.parametrize("partition", [-1, PARTITIONS])
    async def test_a_partition_that_is_not_there_is_not_read(self, bench: LogBench, partition: int) -> None:
        with pytest.raises(InvalidArgument):
            await bench.page(0, partition)

    @pytest.mark.parametrize(
        ("offset", "entries", "size"),
        [(-1, 1, 1), (0, 0, 1), (0, PAGE_MAX_ENTRIES + 1, 1), (0, 1, 0), (0, 1, PAGE_MAX_BYTES + 1)],
    )
    async def test_pages_have_bounds(self, bench: LogBench, offset: int, entries: int, size: int) -> None:
        with pytest.raises(InvalidArgument):
            await bench.page(offset, entries=entries, size=size)

    async def test_partitions_are_apart(self, bench: LogBench) -> None:
        for partition in range(PARTITIONS):
            await bench.append(*[b"%d" % partition] * (partition + 1), partition=partition)
        for partition in range(PARTITIONS):
            assert await bench.values(partition) == [b"%d" % partition] * (partition + 1)
        assert await bench.log.bounds(TOPIC) == [(0, 1), (0, 2), (0, 3)]

    async def test_a_reader_may_read_again(self, bench: LogBench) -> None:
        await filled(bench)
        assert await bench.page(4) == await bench.page(4)

    async def test_a_reader_beside_producers_misses_nothing(self, bench: LogBench) -> None:
        async def produce() -> None:
            for number in range(100):
                await bench.append(b"%d" % number)

        producing = asyncio.ensure_future(produce())
        seen: list[int] = []
        while len(seen) < 100:
            page = await bench.page(len(seen))
            seen += offsets(page.entries)
            assert page.end >= len(seen)
            await asyncio.sleep(0)
        await producing
        assert seen == list(range(100))

    async def test_an_answered_append_is_within_the_bounds(self, bench: LogBench) -> None:
        await bench.append(b"a", b"b")
        assert (await bench.bounds(), (await bench.page()).end) == ((0, 2), 2)

    async def test_large_entries_are_read_whole(self, bench: LogBench) -> None:
        values = [bytes([number]) * (1 << 20) for number in range(4)]
        for value in values:
            await bench.append(value)
        page = await bench.page(0, size=3 << 20)
        assert ([each.value for each in page.entries], page.next) == (values[:3], 3)

    async def test_many_entries_of_one_call_are_read_in_order(self, bench: LogBench) -> None:
        values = [b"%05d" % number * 40 for number in range(5_000)]
        await bench.append(*values)
        assert await bench.values() == values
        page = await bench.page(4_321, entries=2)
        assert offsets(page.entries) == [4_321, 4_322]
