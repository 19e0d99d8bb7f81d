"""What was acknowledged is there after a stop and a start, and a stopped engine answers nothing."""

from __future__ import annotations

import asyncio

import pytest

from soundstage.core.errors import Unavailable
from soundstage.engines.log.port import LogCapability, LogStatistics
from soundstage.testing.log.bench import PARTITIONS, TOPIC, LogBench, at, entry
from soundstage.testing.records.requirements import requires


class Durability:
    async def test_what_was_acknowledged_is_there_after_a_restart(self, bench: LogBench) -> None:
        await asyncio.gather(*(bench.append(b"%d" % number, partition=number % 3) for number in range(60)))
        await bench.send(*(entry(b"x", b"%d" % number, headers=(("h", b"%d" % number),)) for number in range(60)))
        before = [await bench.everything(partition) for partition in range(PARTITIONS)]
        await bench.reopen()
        assert [await bench.everything(partition) for partition in range(PARTITIONS)] == before
        assert await bench.log.topics() == [bench.spec]

    async def test_offsets_go_on_after_a_restart(self, bench: LogBench) -> None:
        await bench.append(b"a", b"b")
        await bench.reopen()
        assert await bench.append(b"next") == [2]

    @requires(LogCapability.EXACT)
    async def test_times_go_on_after_a_restart(self, bench: LogBench) -> None:
        await bench.send(entry(), entry(time_us=bench.now_us + 500), partition=0)
        await bench.reopen()
        await bench.append(b"next")
        assert (await bench.everything())[2].time_us == bench.now_us + 500

    async def test_a_dropped_topic_is_gone_after_a_restart(self, bench: LogBench) -> None:
        await bench.append(b"a")
        await bench.another("other")
        await bench.log.drop_topic(TOPIC)
        await bench.reopen()
        assert [spec.name for spec in await bench.log.topics()] == ["other"]
        await bench.log.create_topic(bench.spec)
        assert await bench.append(b"b") == [0]

    async def test_settings_are_the_same_after_a_restart(self, bench: LogBench) -> None:
        await bench.alter(retention_us=7_000, retention_bytes=8)
        await bench.reopen()
        assert await bench.log.topics() == [bench.spec]

    async def test_a_stopped_engine_is_unavailable(self, bench: LogBench) -> None:
        await bench.append(b"a")
        await bench.log.stop()
        for attempt in (
            bench.append(b"b"),
            bench.page(),
            bench.log.topics(),
            bench.log.bounds(TOPIC),
            bench.log.offset_at(TOPIC, 0, 0),
            bench.log.wait([at(0)]),
            bench.log.create_topic(bench.spec),
            bench.log.drop_topic(TOPIC),
            bench.log.sweep(10),
        ):
            with pytest.raises(Unavailable):
                await attempt

    async def test_stopping_twice_changes_nothing(self, bench: LogBench) -> None:
        await bench.log.stop()
        await bench.log.stop()

    @requires(LogCapability.STATISTICS)
    async def test_statistics_tell_what_there_is(self, bench: LogBench) -> None:
        assert isinstance(bench.log, LogStatistics)
        empty = await bench.log.statistics(TOPIC)
        assert (empty.entries, empty.bytes, empty.oldest_us) == (0, 0, None)
        first_us = bench.now_us
        await bench.append(b"12345", b"123", partition=1)
        bench.advance_us(50)
        await bench.append(b"12", partition=2)
        found = await bench.log.statistics(TOPIC)
        assert (found.entries, found.bytes, found.oldest_us) == (3, 10, first_us)

    @requires(LogCapability.STATISTICS)
    async def test_statistics_forget_what_went(self, bench: LogBench) -> None:
        assert isinstance(bench.log, LogStatistics)
        await bench.alter(retention_bytes=4)
        await bench.append(b"12345", b"123", b"1234")
        await bench.swept()
        await bench.reopen()
        found = await bench.log.statistics(TOPIC)  # pyright: ignore[reportAttributeAccessIssue]
        assert (found.entries, found.bytes) == (1, 4)
