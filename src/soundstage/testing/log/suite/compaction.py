"""Of each key the newest entry stays, and nothing goes that is young."""

from __future__ import annotations

import pytest

from soundstage.core.errors import InvalidArgument
from soundstage.engines.log.port import LogCapability, Spot
from soundstage.testing.log.bench import LogBench, contents, entry, offsets
from soundstage.testing.records.requirements import requires

NAME = "suite/states"
LAG_US = 1_000
DELETE_US = 50_000


async def compacted(bench: LogBench) -> None:
    await bench.another(NAME, partitions=2, compact=True, compact_lag_us=LAG_US, delete_retention_us=DELETE_US)


async def write(bench: LogBench, *pairs: tuple[bytes, bytes | None]) -> None:
    """Entries with keys, in the partition 0."""
    await bench.send(*(entry(value, key) for key, value in pairs), topic=NAME, partition=0)


async def left(bench: LogBench) -> list[tuple[bytes | None, bytes | None]]:
    return contents(await bench.everything(topic=NAME))


class Compaction:
    @requires(LogCapability.EXACT)
    async def test_the_newest_of_each_key_stays_where_it_was(self, bench: LogBench) -> None:
        await compacted(bench)
        await write(bench, (b"a", b"1"), (b"b", b"1"), (b"a", b"2"))
        await write(bench, (b"a", b"3"))
        await write(bench, (b"c", b"1"), (b"b", b"2"))
        bench.advance_us(LAG_US + 1)
        assert await bench.swept() == 3
        found = await bench.everything(topic=NAME)
        assert (contents(found), offsets(found)) == ([(b"a", b"3"), (b"c", b"1"), (b"b", b"2")], [3, 4, 5])

    @requires(LogCapability.EXACT)
    async def test_bounds_and_pages_stay_what_they_are(self, bench: LogBench) -> None:
        await compacted(bench)
        await write(bench, *[(b"a", b"%d" % number) for number in range(10)])
        bench.advance_us(LAG_US + 1)
        await bench.swept()
        page = await bench.page(3, topic=NAME)
        assert (offsets(page.entries), page.next, page.start, page.end) == ([9], 10, 0, 10)

    @requires(LogCapability.EXACT)
    async def test_what_is_young_stays(self, bench: LogBench) -> None:
        await compacted(bench)
        await write(bench, (b"a", b"1"))
        await write(bench, (b"a", b"2"))
        bench.advance_us(LAG_US)
        assert await bench.swept() == 0
        bench.advance_us(1)
        assert (await bench.swept(), await left(bench)) == (1, [(b"a", b"2")])

    @requires(LogCapability.EXACT)
    async def test_what_is_young_does_not_drive_out_what_is_old(self, bench: LogBench) -> None:
        await compacted(bench)
        await write(bench, (b"a", b"1"), (b"a", b"2"))
        bench.advance_us(LAG_US + 1)
        await write(bench, (b"a", b"3"))
        await bench.swept()
        assert await left(bench) == [(b"a", b"2"), (b"a", b"3")]

    @requires(LogCapability.EXACT)
    async def test_partitions_are_compacted_apart(self, bench: LogBench) -> None:
        await compacted(bench)
        for partition in (0, 1):
            await bench.send(entry(b"1", b"k"), entry(b"2", b"k"), topic=NAME, partition=partition)
        bench.advance_us(LAG_US + 1)
        assert await bench.swept() == 2
        assert [await bench.values(partition, NAME) for partition in (0, 1)] == [[b"2"], [b"2"]]

    @requires(LogCapability.EXACT)
    async def test_a_delete_is_kept_for_its_time_and_then_goes(self, bench: LogBench) -> None:
        await compacted(bench)
        await write(bench, (b"a", b"1"), (b"b", b"1"), (b"a", None))
        bench.advance_us(LAG_US + 1)
        await bench.swept()
        assert await left(bench) == [(b"b", b"1"), (b"a", None)]
        bench.advance_us(DELETE_US)
        await write(bench, (b"c", b"1"), (b"c", b"2"), (b"c", b"3"))
        bench.advance_us(LAG_US + 1)
        await bench.swept()
        assert await left(bench) == [(b"b", b"1"), (b"c", b"3")]

    @requires(LogCapability.EXACT)
    async def test_a_key_may_come_back(self, bench: LogBench) -> None:
        await compacted(bench)
        await write(bench, (b"a", b"1"), (b"a", None), (b"a", b"2"))
        bench.advance_us(LAG_US + DELETE_US + 2)
        await bench.swept()
        assert await left(bench) == [(b"a", b"2")]

    @requires(LogCapability.EXACT)
    async def test_a_compacted_topic_may_be_emptied_and_goes_on(self, bench: LogBench) -> None:
        await compacted(bench)
        await write(bench, (b"a", b"1"), (b"a", None))
        bench.advance_us(LAG_US + DELETE_US + 2)
        await bench.swept()
        assert (await left(bench), await bench.bounds(topic=NAME)) == ([], (0, 2))
        await bench.reopen()
        assert (await bench.page(0, topic=NAME)).next == 2
        assert await bench.send(entry(b"2", b"a"), topic=NAME, partition=0) == [Spot(0, 2)]

    @requires(LogCapability.EXACT)
    async def test_what_was_compacted_stays_gone_after_a_restart(self, bench: LogBench) -> None:
        await compacted(bench)
        await write(bench, *[(b"%d" % (number % 3), b"%d" % number) for number in range(30)])
        bench.advance_us(LAG_US + 1)
        await bench.swept()
        await bench.reopen()
        assert await left(bench) == [(b"0", b"27"), (b"1", b"28"), (b"2", b"29")]

    @requires(LogCapability.EXACT)
    async def test_a_second_round_compacts_what_came_since(self, bench: LogBench) -> None:
        await compacted(bench)
        for begin in range(0, 60, 20):
            await write(bench, *[(b"%d" % (number % 5), b"%d" % number) for number in range(begin, begin + 20)])
            bench.advance_us(LAG_US + 1)
            await bench.swept()
            await bench.reopen()
        assert await left(bench) == [(b"%d" % (number % 5), b"%d" % number) for number in range(55, 60)]

    @requires(LogCapability.EXACT)
    async def test_a_small_budget_gets_there_too(self, bench: LogBench) -> None:
        await compacted(bench)
        for begin in range(0, 100, 10):
            await write(bench, *[(b"%d" % (number % 7), b"%d" % number) for number in range(begin, begin + 10)])
        bench.advance_us(LAG_US + 1)
        await bench.swept(budget=3)
        assert await left(bench) == [(b"%d" % (number % 7), b"%d" % number) for number in range(93, 100)]

    @requires(LogCapability.EXACT)
    async def test_times_are_found_among_what_is_left(self, bench: LogBench) -> None:
        await compacted(bench)
        first_us = bench.now_us
        for number in range(10):
            await write(bench, (b"%d" % (number % 2), b"%d" % number))
            bench.advance_us(10)
        bench.advance_us(LAG_US)
        await bench.swept()
        assert [await bench.log.offset_at(NAME, 0, first_us + 10 * number) for number in (0, 7, 8, 9)] == [8, 8, 8, 9]
        assert await bench.log.offset_at(NAME, 0, first_us + 91) == 10

    async def test_what_is_too_old_goes_from_a_compacted_topic_too(self, bench: LogBench) -> None:
        await bench.another(NAME, compact=True, compact_lag_us=LAG_US, retention_us=5_000)
        await write(bench, (b"a", b"1"))
        bench.advance_us(4_000)
        await write(bench, (b"b", b"1"))
        bench.advance_us(1_001)
        await bench.swept()
        assert (await left(bench), await bench.bounds(topic=NAME)) == ([(b"b", b"1")], (1, 2))

    async def test_entries_of_a_compacted_topic_have_keys(self, bench: LogBench) -> None:
        await compacted(bench)
        with pytest.raises(InvalidArgument) as caught:
            await bench.send(entry(b"1", b"k"), entry(b"1"), topic=NAME)
        assert caught.value.field == "entries[1].key"

    async def test_other_topics_keep_every_entry(self, bench: LogBench) -> None:
        await bench.send(entry(b"1", b"k"), entry(b"2", b"k"), partition=0)
        bench.advance_us(10**12)
        await bench.swept()
        assert await bench.values() == [b"1", b"2"]

    @requires(LogCapability.EXACT)
    async def test_young_entries_of_a_call_stay_where_old_ones_go(self, bench: LogBench) -> None:
        await compacted(bench)
        now_us = bench.now_us
        ages = (3 * LAG_US, 2 * LAG_US, 0, 0)
        entries = [entry(b"%d" % number, b"k", time_us=now_us - age) for number, age in enumerate(ages)]
        await bench.send(*entries, topic=NAME, partition=0)
        await bench.swept()
        assert await left(bench) == [(b"k", b"1"), (b"k", b"2"), (b"k", b"3")]

    @requires(LogCapability.EXACT)
    async def test_much_is_compacted_to_its_end(self, bench: LogBench) -> None:
        await compacted(bench)
        for number in range(20):
            pairs = [(b"%d" % (index % 3), b"%03d" % number + bytes(30_000)) for index in range(3)]
            await write(bench, *pairs)
        bench.advance_us(LAG_US + 1)
        await bench.swept(budget=2)
        assert [value[:3] for _, value in await left(bench) if value] == [b"019"] * 3
