"""A reader may begin at a time."""

from __future__ import annotations

import pytest

from soundstage.core.errors import InvalidArgument
from soundstage.testing.log.bench import PARTITIONS, TOPIC, LogBench, entry


class Times:
    @pytest.mark.parametrize(
        ("time_us", "offset"), [(0, 0), (10, 0), (11, 1), (20, 1), (21, 3), (30, 3), (39, 4), (40, 4), (41, 5)]
    )
    async def test_the_offset_at_a_time_is_that_of_the_first_entry_not_older(
        self, bench: LogBench, time_us: int, offset: int
    ) -> None:
        await bench.send(entry(time_us=10), partition=0)
        await bench.send(entry(time_us=20), entry(time_us=20), entry(time_us=30), partition=0)
        await bench.send(entry(time_us=40), partition=0)
        assert await bench.log.offset_at(TOPIC, 0, time_us) == offset

    async def test_an_empty_partition_has_its_end_at_every_time(self, bench: LogBench) -> None:
        assert await bench.log.offset_at(TOPIC, 1, 5) == 0

    async def test_times_of_many_entries_are_found(self, bench: LogBench) -> None:
        for begin in range(0, 300, 30):
            await bench.send(*(entry(time_us=2 * number) for number in range(begin, begin + 30)), partition=0)
        found = [await bench.log.offset_at(TOPIC, 0, time_us) for time_us in range(0, 600, 7)]
        assert found == [(time_us + 1) // 2 for time_us in range(0, 600, 7)]

    async def test_times_of_one_partition_do_not_matter_in_another(self, bench: LogBench) -> None:
        await bench.send(entry(time_us=5), partition=0)
        await bench.send(entry(time_us=1), entry(time_us=9), partition=1)
        assert await bench.log.offset_at(TOPIC, 1, 5) == 1

    @pytest.mark.parametrize("partition", [-1, PARTITIONS])
    async def test_a_partition_that_is_not_there_has_no_times(self, bench: LogBench, partition: int) -> None:
        with pytest.raises(InvalidArgument):
            await bench.log.offset_at(TOPIC, partition, 0)
