"""What is appended stands where the answer says, once, in order and unchanged."""

from __future__ import annotations

import asyncio

import pytest

from soundstage.core.errors import DeadlineExceeded, InvalidArgument
from soundstage.engines.log.arrivals import partition_of
from soundstage.engines.log.port import TIME_AHEAD_MAX_US, LogCapability, Spot, Stored
from soundstage.testing.log.bench import PARTITIONS, TOPIC, LogBench, entry, offsets
from soundstage.testing.records.requirements import requires


class Appends:
    async def test_offsets_begin_at_zero_and_are_dense(self, bench: LogBench) -> None:
        assert await bench.append(b"a") == [0]
        assert await bench.append(b"b", b"c") == [1, 2]
        assert offsets(await bench.everything()) == [0, 1, 2]

    async def test_an_entry_is_read_as_it_was_written(self, bench: LogBench) -> None:
        headers = (("trace", b"\0\xff"), ("trace", b""), ("größe", b"2"))
        await bench.send(entry(b"\0value", b"\xffkey", headers=headers), partition=1)
        assert await bench.everything(1) == [Stored(0, bench.now_us, b"\xffkey", b"\0value", headers)]

    @pytest.mark.parametrize(("key", "value"), [(None, b""), (b"", b""), (b"", None), (None, None), (b"k", b"v")])
    async def test_nothing_and_empty_are_not_the_same(
        self, bench: LogBench, key: bytes | None, value: bytes | None
    ) -> None:
        await bench.send(entry(value, key), partition=0)
        (found,) = await bench.everything()
        assert (found.key, found.value) == (key, value)

    async def test_entries_of_one_key_are_in_one_partition(self, bench: LogBench) -> None:
        keys = [b"%d" % number for number in range(50)]
        for _ in range(2):
            spots = await bench.send(*(entry(key, key) for key in keys))
            assert [spot.partition for spot in spots] == [partition_of(key, PARTITIONS) for key in keys]
        for partition in range(PARTITIONS):
            assert {partition_of(each.key or b"", PARTITIONS) for each in await bench.everything(partition)} == {
                partition
            }

    async def test_answers_are_in_the_order_of_what_was_sent(self, bench: LogBench) -> None:
        values = [b"%d" % number for number in range(60)]
        spots = await bench.send(*(entry(value, value) for value in values))
        found = {
            Spot(partition, each.offset): each.value
            for partition in range(PARTITIONS)
            for each in await bench.everything(partition)
        }
        assert [found[spot] for spot in spots] == values

    async def test_entries_without_a_key_take_turns_by_calls(self, bench: LogBench) -> None:
        spots = [await bench.send(entry(), entry()) for _ in range(2 * PARTITIONS)]
        assert all(first.partition == second.partition for first, second in spots)
        assert [spot.partition for spot, _ in spots] == [*range(PARTITIONS), *range(PARTITIONS)]

    async def test_a_named_partition_outweighs_keys(self, bench: LogBench) -> None:
        spots = await bench.send(*(entry(b"", b"%d" % number) for number in range(10)), partition=2)
        assert spots == [Spot(2, number) for number in range(10)]

    @pytest.mark.parametrize("partition", [-1, PARTITIONS])
    async def test_a_partition_that_is_not_there_is_refused(self, bench: LogBench, partition: int) -> None:
        with pytest.raises(InvalidArgument):
            await bench.append(b"a", partition=partition)
        assert await bench.log.bounds(TOPIC) == [(0, 0)] * PARTITIONS

    async def test_calls_at_the_same_time_do_not_mix(self, bench: LogBench) -> None:
        calls = [[b"%d-%d" % (call, number) for number in range(5)] for call in range(40)]
        answers = await asyncio.gather(*(bench.append(*values) for values in calls))
        found = await bench.values()
        assert len(found) == 200
        for values, answer in zip(calls, answers, strict=True):
            assert answer == list(range(answer[0], answer[0] + 5))
            assert found[answer[0] : answer[0] + 5] == values

    async def test_nothing_of_a_refused_call_is_there(self, bench: LogBench) -> None:
        with pytest.raises(InvalidArgument):
            await bench.send(entry(b"a"), entry(b"b", time_us=-1), partition=0)
        assert await bench.values() == []

    async def test_a_call_appends_something(self, bench: LogBench) -> None:
        with pytest.raises(InvalidArgument):
            await bench.send()

    async def test_a_deadline_that_has_passed_appends_nothing(self, bench: LogBench) -> None:
        with pytest.raises(DeadlineExceeded) as caught:
            await bench.send(entry(), partition=0, deadline_ns=bench.environment.monotonic_ns())
        assert (caught.value.outcome, await bench.values()) == ("not_applied", [])

    async def test_a_deadline_to_come_does_not_matter(self, bench: LogBench) -> None:
        await bench.send(entry(b"a"), partition=0, deadline_ns=bench.environment.monotonic_ns() + 10**12)
        assert await bench.values() == [b"a"]

    async def test_the_engine_tells_the_time_of_an_entry(self, bench: LogBench) -> None:
        await bench.append(b"a")
        bench.advance_us(5_000)
        await bench.append(b"b")
        assert [each.time_us for each in await bench.everything()] == [bench.now_us - 5_000, bench.now_us]

    async def test_a_producer_may_tell_the_time(self, bench: LogBench) -> None:
        await bench.send(entry(time_us=7), entry(time_us=bench.now_us + TIME_AHEAD_MAX_US), partition=0)
        assert [each.time_us for each in await bench.everything()] == [7, bench.now_us + TIME_AHEAD_MAX_US]

    @requires(LogCapability.EXACT)
    async def test_times_never_go_back_in_a_partition(self, bench: LogBench) -> None:
        await bench.send(entry(time_us=9), entry(time_us=5), partition=0)
        await bench.send(entry(time_us=8), entry(time_us=11), partition=0)
        await bench.send(entry(time_us=3), partition=1)
        assert [each.time_us for each in await bench.everything()] == [9, 9, 9, 11]
        assert [each.time_us for each in await bench.everything(1)] == [3]

    @requires(LogCapability.EXACT)
    async def test_a_clock_that_steps_back_does_not_take_entries_along(self, bench: LogBench) -> None:
        await bench.append(b"a")
        before = bench.now_us
        bench.environment.skew(-3_600)
        await bench.append(b"b")
        assert [each.time_us for each in await bench.everything()] == [before, before]

    async def test_a_time_far_ahead_is_refused(self, bench: LogBench) -> None:
        with pytest.raises(InvalidArgument) as caught:
            await bench.send(entry(), entry(time_us=bench.now_us + TIME_AHEAD_MAX_US + 1), partition=0)
        assert caught.value.field == "entries[1].time_us"
