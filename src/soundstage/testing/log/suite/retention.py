"""What is too old or too much goes, from the beginning, and never anything else."""

from __future__ import annotations

import pytest

from soundstage.engines.log.port import LogCapability
from soundstage.testing.log.bench import LogBench, entry, offsets
from soundstage.testing.records.requirements import requires


class Retention:
    async def test_without_a_limit_everything_stays(self, bench: LogBench) -> None:
        await bench.append(b"a")
        bench.advance_us(10**15)
        assert (await bench.swept(), await bench.values()) == (0, [b"a"])

    async def test_what_is_older_than_the_retention_goes(self, bench: LogBench) -> None:
        await bench.alter(retention_us=100_000)
        for _ in range(4):
            await bench.append(b"a", b"b")
            bench.advance_us(40_000)
        assert await bench.swept() == 4
        assert (offsets(await bench.everything()), await bench.bounds()) == ([4, 5, 6, 7], (4, 8))

    async def test_what_is_as_old_as_the_retention_stays(self, bench: LogBench) -> None:
        await bench.alter(retention_us=100_000)
        await bench.append(b"a")
        bench.advance_us(100_000)
        assert await bench.swept() == 0
        bench.advance_us(1)
        assert (await bench.swept(), await bench.bounds()) == (1, (1, 1))

    async def test_an_emptied_partition_goes_on_where_it_was(self, bench: LogBench) -> None:
        await bench.alter(retention_us=100_000)
        await bench.append(b"a", b"b", b"c")
        bench.advance_us(100_001)
        await bench.swept()
        assert (await bench.page(0)).next == 3
        assert await bench.append(b"d") == [3]
        assert await bench.values() == [b"d"]

    @requires(LogCapability.EXACT)
    async def test_an_emptied_partition_goes_on_where_it_was_after_a_restart(self, bench: LogBench) -> None:
        await bench.alter(retention_us=100_000)
        await bench.send(entry(), entry(time_us=bench.now_us + 50_000), partition=0)
        bench.advance_us(150_001)
        await bench.swept()
        bench.environment.skew(-1)
        before_us = bench.now_us
        await bench.reopen()
        assert (await bench.bounds(), await bench.append(b"c")) == ((2, 2), [2])
        (found,) = await bench.everything()
        assert found.time_us > before_us

    async def test_who_reads_what_is_gone_begins_at_the_start_and_sees_it(self, bench: LogBench) -> None:
        await bench.alter(retention_us=100_000)
        await bench.append(*(b"%d" % number for number in range(5)))
        bench.advance_us(100_001)
        await bench.append(b"5", b"6")
        await bench.swept()
        page = await bench.page(2)
        assert (offsets(page.entries), page.next, page.start, page.end) == ([5, 6], 7, 5, 7)

    @requires(LogCapability.EXACT)
    @pytest.mark.parametrize(("limit", "start"), [(0, 10), (1, 9), (10, 9), (11, 8), (95, 0), (100, 0), (500, 0)])
    async def test_the_oldest_go_as_long_as_the_rest_is_enough(self, bench: LogBench, limit: int, start: int) -> None:
        await bench.alter(retention_bytes=limit)
        for number in range(5):
            await bench.append(b"%010d" % number, b"%010d" % number)
        await bench.swept()
        assert (await bench.bounds(), offsets(await bench.everything())) == ((start, 10), list(range(start, 10)))

    @requires(LogCapability.EXACT)
    async def test_bytes_are_counted_by_partition(self, bench: LogBench) -> None:
        await bench.alter(retention_bytes=10)
        for partition in range(3):
            await bench.append(*[b"1234567890"] * partition, b"1234567890", partition=partition)
        await bench.swept()
        assert [await bench.bounds(partition) for partition in range(3)] == [(0, 1), (1, 2), (2, 3)]

    @requires(LogCapability.EXACT)
    async def test_keys_and_headers_are_bytes_too(self, bench: LogBench) -> None:
        await bench.alter(retention_bytes=10)
        for _ in range(2):
            await bench.send(entry(b"v", b"keykey", headers=(("ab", b"c"),)), partition=0)
        await bench.swept()
        assert await bench.bounds() == (1, 2)

    @requires(LogCapability.EXACT)
    async def test_the_greater_loss_counts(self, bench: LogBench) -> None:
        await bench.alter(retention_us=100_000, retention_bytes=20)
        await bench.append(*[b"1234567890"] * 4)
        bench.advance_us(60_000)
        await bench.append(b"1234567890")
        await bench.swept()
        assert await bench.bounds() == (3, 5)
        bench.advance_us(60_000)
        await bench.swept()
        assert await bench.bounds() == (4, 5)

    @requires(LogCapability.EXACT)
    async def test_what_went_stays_gone_after_a_restart(self, bench: LogBench) -> None:
        await bench.alter(retention_bytes=25)
        await bench.append(*(b"%010d" % number for number in range(10)))
        await bench.swept()
        await bench.reopen()
        assert (await bench.bounds(), offsets(await bench.everything())) == ((7, 10), [7, 8, 9])

    async def test_a_limit_that_is_raised_brings_nothing_back(self, bench: LogBench) -> None:
        await bench.alter(retention_us=100_000)
        await bench.append(b"a", b"b")
        bench.advance_us(100_001)
        await bench.swept()
        await bench.alter(retention_us=None)
        assert (await bench.swept(), await bench.bounds()) == (0, (2, 2))

    async def test_other_topics_keep_what_they_have(self, bench: LogBench) -> None:
        await bench.another("other")
        await bench.append(b"a", topic="other")
        await bench.alter(retention_us=1_000)
        bench.advance_us(1_001)
        await bench.swept()
        assert await bench.values(topic="other") == [b"a"]

    async def test_times_are_found_behind_what_went(self, bench: LogBench) -> None:
        await bench.alter(retention_us=100_000)
        first_us = bench.now_us
        for _ in range(6):
            await bench.append(b"a", b"b")
            bench.advance_us(40_000)
        await bench.swept()
        start = (await bench.bounds()).start
        assert start == 8
        assert await bench.log.offset_at(bench.spec.name, 0, first_us) == start
        assert await bench.log.offset_at(bench.spec.name, 0, first_us + 160_001) == 10

    @requires(LogCapability.EXACT)
    async def test_a_time_finds_no_entry_that_went_with_others_of_its_call(self, bench: LogBench) -> None:
        await bench.alter(retention_bytes=20)
        await bench.send(*(entry(b"1234567890", time_us=10 + number) for number in range(4)), partition=0)
        await bench.swept()
        found = [await bench.log.offset_at(bench.spec.name, 0, time_us) for time_us in (0, 11, 12, 13, 14)]
        assert (await bench.bounds(), found) == ((2, 4), [2, 2, 2, 3, 4])
