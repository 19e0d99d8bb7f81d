"""Who waits for entries learns of them at once, and of nothing else."""

from __future__ import annotations

import asyncio
from typing import TypeVar

import pytest

from soundstage.core.errors import InvalidArgument, NotFound, Unavailable
from soundstage.engines.log.port import WAIT_MAX_POSITIONS
from soundstage.testing.log.bench import PARTITIONS, TOPIC, LogBench, at

T = TypeVar("T")

TURNS = 50
WOKEN_WITHIN_S = 10.0
"""Of real time, for engines that are not in this process; an engine that wakes nobody fails instead of hanging."""


async def settled() -> None:
    """Whatever was ready has run."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


async def told(waiting: asyncio.Future[T]) -> T:
    """What who waits was told."""
    async with asyncio.timeout(WOKEN_WITHIN_S):
        return await waiting


class Waits:
    async def test_what_can_be_read_is_not_waited_for(self, bench: LogBench) -> None:
        await bench.append(b"a", b"b")
        assert await bench.log.wait([at(0), at(0, 1), at(1), at(2)]) == [at(0), at(1)]

    async def test_an_append_ends_the_wait(self, bench: LogBench) -> None:
        waiting = asyncio.ensure_future(bench.log.wait([at(0, 0), at(0, 1)]))
        await settled()
        assert not waiting.done()
        await bench.append(b"a", partition=1)
        assert await told(waiting) == [at(0, 1)]

    async def test_an_append_elsewhere_does_not(self, bench: LogBench) -> None:
        await bench.another("other")
        waiting = asyncio.ensure_future(bench.log.wait([at(0)]))
        await bench.append(b"a", partition=1)
        await bench.append(b"a", topic="other")
        await settled()
        assert not waiting.done()
        waiting.cancel()

    async def test_an_append_before_the_position_does_not(self, bench: LogBench) -> None:
        waiting = asyncio.ensure_future(bench.log.wait([at(2)]))
        await bench.append(b"a", b"b")
        await settled()
        assert not waiting.done()
        await bench.append(b"c")
        assert await told(waiting) == [at(2)]

    async def test_the_deadline_ends_the_wait(self, bench: LogBench) -> None:
        deadline_ns = bench.environment.monotonic_ns() + 5_000_000_000
        assert await bench.log.wait([at(0)], deadline_ns) == []
        assert bench.environment.monotonic_ns() >= deadline_ns

    async def test_a_deadline_that_has_passed_still_tells_what_there_is(self, bench: LogBench) -> None:
        await bench.append(b"a")
        assert await bench.log.wait([at(0), at(1)], 0) == [at(0)]
        assert await bench.log.wait([at(1)], 0) == []

    async def test_many_may_wait_at_one_place(self, bench: LogBench) -> None:
        waiting = [asyncio.ensure_future(bench.log.wait([at(0)])) for _ in range(20)]
        await settled()
        waiting[0].cancel()
        await bench.append(b"a")
        assert await told(asyncio.gather(*waiting[1:])) == [[at(0)]] * 19

    async def test_a_dropped_topic_ends_the_wait(self, bench: LogBench) -> None:
        waiting = asyncio.ensure_future(bench.log.wait([at(0)]))
        await settled()
        await bench.log.drop_topic(TOPIC)
        with pytest.raises(NotFound):
            await told(waiting)

    async def test_a_stop_ends_the_wait(self, bench: LogBench) -> None:
        waiting = asyncio.ensure_future(bench.log.wait([at(0)]))
        await settled()
        await bench.log.stop()
        with pytest.raises(Unavailable):
            await told(waiting)

    @pytest.mark.parametrize("count", [0, WAIT_MAX_POSITIONS + 1])
    async def test_one_waits_at_a_bounded_number_of_places(self, bench: LogBench, count: int) -> None:
        with pytest.raises(InvalidArgument):
            await bench.log.wait([at(0)] * count)

    async def test_nobody_waits_at_a_partition_that_is_not_there(self, bench: LogBench) -> None:
        with pytest.raises(InvalidArgument):
            await bench.log.wait([at(0, PARTITIONS)])
