"""Crowds keep every promise on our engines, and find engines that do not."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from soundstage.engines.log.memory import MemoryLog
from soundstage.engines.log.port import Commit, Entry, Spot
from soundstage.testing.log.crowd import Violation, crowd
from soundstage.testing.log.stores import LogStore, MemoryLogStore, memory, rocksdb


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_crowds_on_the_memory_engine_keep_every_promise(seed: int) -> None:
    report = crowd(memory, seed)
    assert report.applied >= report.appended > 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_crowds_on_the_embedded_engine_keep_every_promise(seed: int) -> None:
    report = crowd(rocksdb, seed)
    assert report.applied >= report.appended > 0


@pytest.mark.slow
def test_the_same_seed_is_the_same_run() -> None:
    assert crowd(memory, 5) == crowd(memory, 5)
    assert crowd(memory, 5) != crowd(memory, 6)


@pytest.mark.slow
def test_what_crowds_are_for_does_happen() -> None:
    reports = [crowd(memory, seed) for seed in range(4)]
    for what in ("repeated", "applied_again", "commits", "fenced", "ends"):
        assert sum(getattr(report, what) for report in reports) > 0, what


class Forgetful(MemoryLog):
    """Appends a repetition again."""

    async def append(
        self, topic: str, entries: Sequence[Entry], *, token: str | None = None, **named: Any
    ) -> list[Spot]:
        return await super().append(topic, entries, **named)


class Lossy(MemoryLog):
    """Loses the newest entry of each partition when it stops."""

    async def stop(self) -> None:
        if self._open:
            for topic in self._topics.values():
                for partition in topic.partitions:
                    if partition.entries:
                        partition.end = partition.entries.pop().offset
        await super().stop()


class Credulous(MemoryLog):
    """Takes positions from anybody, and those that are behind as well as those ahead."""

    async def commit(self, commit: Commit) -> None:
        ends = [self._topics[at.topic].partitions[at.partition].end for at in commit.positions]
        positions = [at._replace(offset=end) for at, end in zip(commit.positions, ends, strict=True)]
        await super().commit(
            Commit(group=commit.group, positions=positions, member=commit.member, generation=commit.generation)
        )


@pytest.mark.slow
@pytest.mark.parametrize("engine", [Forgetful, Lossy, Credulous], ids=lambda engine: engine.__name__)
def test_an_engine_that_breaks_a_promise_is_found(engine: type[MemoryLog]) -> None:
    def make(_random: Random) -> LogStore:
        return MemoryLogStore(engine)

    found = 0
    for seed in range(4):
        try:
            crowd(make, seed)
        except Violation:
            found += 1
    assert found > 0
