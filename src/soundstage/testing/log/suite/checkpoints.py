"""Copies of a whole engine, and topics brought back from them while others are served."""

from __future__ import annotations

from pathlib import Path

import pytest

from soundstage.core.errors import AlreadyExists, NotFound, SoundstageError
from soundstage.engines.log.port import Log, LogCapability, LogCheckpoints, Spot
from soundstage.testing.log.bench import TOPIC, LogBench, entry, offsets
from soundstage.testing.records.requirements import requires


def _checkpoints(log: Log) -> LogCheckpoints:
    assert isinstance(log, LogCheckpoints)
    return log


async def _copy(bench: LogBench, folder: Path) -> str:
    """A checkpoint is in the folder returned."""
    target = str(folder / "checkpoint")
    await _checkpoints(bench.log).checkpoint(target)
    return target


class CheckpointsHeld:
    @requires(LogCapability.CHECKPOINT)
    async def test_a_dropped_topic_comes_back_as_it_was(self, bench: LogBench, tmp_path: Path) -> None:
        await bench.alter(retention_bytes=35)
        for partition in range(3):
            await bench.append(*[b"%010d" % number for number in range(partition + 4)], partition=partition)
        await bench.swept()
        await bench.append(b"later", partition=2)
        before = [(await bench.everything(partition), await bench.bounds(partition)) for partition in range(3)]
        folder = await _copy(bench, tmp_path)
        await bench.log.drop_topic(TOPIC)
        await _checkpoints(bench.log).restore(folder)
        assert [(await bench.everything(number), await bench.bounds(number)) for number in range(3)] == before
        assert await bench.log.topics() == [bench.spec]

    @requires(LogCapability.CHECKPOINT)
    async def test_a_copy_holds_nothing_later(self, bench: LogBench, tmp_path: Path) -> None:
        await bench.append(b"before")
        folder = await _copy(bench, tmp_path)
        await bench.append(b"after")
        await bench.log.drop_topic(TOPIC)
        await _checkpoints(bench.log).restore(folder)
        assert await bench.values() == [b"before"]

    @requires(LogCapability.CHECKPOINT)
    async def test_what_came_back_goes_on(self, bench: LogBench, tmp_path: Path) -> None:
        await bench.append(b"a", b"b")
        folder = await _copy(bench, tmp_path)
        await bench.log.drop_topic(TOPIC)
        await _checkpoints(bench.log).restore(folder)
        assert await bench.append(b"c") == [2]
        await bench.reopen()
        assert offsets(await bench.everything()) == [0, 1, 2]

    @requires(LogCapability.CHECKPOINT, LogCapability.TOKEN_DEDUP)
    async def test_tokens_come_back(self, bench: LogBench, tmp_path: Path) -> None:
        await bench.send(entry(b"a"), partition=0, token="t")
        folder = await _copy(bench, tmp_path)
        await bench.log.drop_topic(TOPIC)
        await _checkpoints(bench.log).restore(folder)
        assert await bench.send(entry(b"a"), partition=0, token="t") == [Spot(0, 0)]
        assert await bench.values() == [b"a"]

    @requires(LogCapability.CHECKPOINT)
    async def test_one_topic_comes_back_alone(self, bench: LogBench, tmp_path: Path) -> None:
        for name in ("a", "b"):
            await bench.another(name)
            await bench.append(name.encode(), topic=name)
        folder = await _copy(bench, tmp_path)
        for name in ("a", "b"):
            await bench.log.drop_topic(name)
        await _checkpoints(bench.log).restore(folder, ["b"])
        assert [spec.name for spec in await bench.log.topics()] == ["b", TOPIC]
        assert await bench.values(topic="b") == [b"b"]

    @requires(LogCapability.CHECKPOINT)
    async def test_a_topic_that_is_there_is_not_written_over(self, bench: LogBench, tmp_path: Path) -> None:
        folder = await _copy(bench, tmp_path)
        await bench.append(b"a")
        with pytest.raises(AlreadyExists):
            await _checkpoints(bench.log).restore(folder)
        assert await bench.values() == [b"a"]

    @requires(LogCapability.CHECKPOINT)
    async def test_one_unknown_name_brings_nothing_back(self, bench: LogBench, tmp_path: Path) -> None:
        folder = await _copy(bench, tmp_path)
        await bench.log.drop_topic(TOPIC)
        with pytest.raises(NotFound):
            await _checkpoints(bench.log).restore(folder, [TOPIC, "unknown"])
        assert await bench.log.topics() == []

    @requires(LogCapability.CHECKPOINT)
    async def test_what_is_no_copy_is_refused(self, bench: LogBench, tmp_path: Path) -> None:
        for wrong in (tmp_path, tmp_path / "missing"):
            with pytest.raises(SoundstageError) as refused:
                await _checkpoints(bench.log).restore(str(wrong))
            assert refused.value.hint

    @requires(LogCapability.CHECKPOINT)
    async def test_a_copy_without_topics_brings_none_back(self, bench: LogBench, tmp_path: Path) -> None:
        await bench.log.drop_topic(TOPIC)
        folder = await _copy(bench, tmp_path)
        await _checkpoints(bench.log).restore(folder)
        assert await bench.log.topics() == []

    @requires(LogCapability.CHECKPOINT)
    async def test_a_large_topic_comes_back_whole(self, bench: LogBench, tmp_path: Path) -> None:
        for _ in range(3):
            await bench.append(*[bytes(2_000)] * 500)
        folder = await _copy(bench, tmp_path)
        await bench.log.drop_topic(TOPIC)
        await _checkpoints(bench.log).restore(folder)
        assert offsets(await bench.everything()) == list(range(1_500))
