from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from soundstage.core.errors import Unavailable
from soundstage.core.hlc import TokenClock
from soundstage.core.time import Duration
from soundstage.engines.records.memory import MemoryRecords
from soundstage.runtime.leases import Leases
from soundstage.runtime.schedule import Schedule, Timed
from soundstage.runtime.system_table import SystemTable
from soundstage.runtime.timetable import Every
from soundstage.testing.simulation.environment import SimulatedEnvironment
from soundstage.testing.simulation.loop import SimulationLoop, run

MINUTE = Every(Duration.parse("1m"))


class Cluster:
    """Processes that share a store; each has a schedule of its own."""

    def __init__(self, environment: Any) -> None:
        self.environment = environment
        self.engine = MemoryRecords(environment)
        self.done: list[tuple[str, int]] = []

    async def start(self) -> Cluster:
        await self.engine.start()
        for name in ("leases", "schedule"):
            await self._table(name).create()
        return self

    def schedule(self, name: str) -> Schedule:
        leases = Leases(self._table("leases"), self.environment, name)
        return Schedule(self._table("schedule"), leases, self.environment)

    def timed(self, process: str = "p", takes_s: float = 0.0, jitter_s: float = 0.0) -> Timed:
        async def work() -> None:
            self.done.append((process, self.environment.now_us()))
            if takes_s:
                await self.environment.sleep(takes_s)

        return Timed("count", MINUTE, work, jitter_s)

    def _table(self, name: str) -> SystemTable:
        return SystemTable(self.engine, name, TokenClock(self.environment), self.environment)


async def following(schedule: Schedule, timed: Timed, seconds: float) -> None:
    """The work is followed for so long."""
    task = asyncio.ensure_future(schedule.follow(timed))
    await asyncio.sleep(seconds)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def simulated(main: Callable[[Cluster], Coroutine[Any, Any, None]], seed: int = 1) -> Cluster:
    async def within() -> Cluster:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimulationLoop)
        cluster = await Cluster(SimulatedEnvironment(loop, seed)).start()
        await asyncio.sleep(40)  # The simulation begins 20 s past a minute.
        await main(cluster)
        return cluster

    return run(within, seed)


def test_work_waits_until_it_is_due() -> None:
    async def main(cluster: Cluster) -> None:
        await following(cluster.schedule("p"), cluster.timed(), 39)

    assert simulated(main).done == []


def test_work_is_done_once_for_each_due_time() -> None:
    async def main(cluster: Cluster) -> None:
        await following(cluster.schedule("p"), cluster.timed(), 301)

    assert [time_us // 1_000_000 % 60 for _, time_us in simulated(main).done] == [0] * 5


def test_due_times_that_nobody_saw_are_made_up_for_once() -> None:
    async def main(cluster: Cluster) -> None:
        await following(cluster.schedule("p"), cluster.timed(), 61)
        await asyncio.sleep(100_020)
        await following(cluster.schedule("p"), cluster.timed(), 5)

    assert len(simulated(main).done) == 2


def test_a_new_process_goes_on_where_others_were() -> None:
    async def main(cluster: Cluster) -> None:
        await following(cluster.schedule("p"), cluster.timed(), 61)
        await following(cluster.schedule("q"), cluster.timed(), 30)

    assert [name for name, _ in simulated(main).done] == ["p"]


def test_long_waits_are_cut_for_clocks_that_are_set() -> None:
    async def main(cluster: Cluster) -> None:
        schedule, timed = cluster.schedule("p"), cluster.timed()
        assert await schedule.turn(timed) == 10
        cluster.environment.skew_s = 3_600
        await schedule.turn(timed)

    assert len(simulated(main).done) == 1


def test_a_clock_set_back_does_not_repeat_work() -> None:
    async def main(cluster: Cluster) -> None:
        schedule, timed = cluster.schedule("p"), cluster.timed()
        await following(schedule, timed, 61)
        cluster.environment.skew_s = -1
        await following(schedule, timed, 30)

    assert len(simulated(main).done) == 1


@pytest.mark.parametrize("ahead_s", [3_600, 10 * 86_400])
def test_work_goes_on_after_a_clock_was_ahead_once(ahead_s: int) -> None:
    counts = list[int]()

    async def main(cluster: Cluster) -> None:
        cluster.environment.skew_s = ahead_s
        await following(cluster.schedule("p"), cluster.timed(), 61)
        cluster.environment.skew_s = 0
        ahead = len(cluster.done)
        tasks = [asyncio.ensure_future(cluster.schedule(name).follow(cluster.timed(name))) for name in ("p", "q")]
        await asyncio.sleep(601)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        counts.append(len(cluster.done) - ahead)

    simulated(main)
    assert counts == [10]


def test_jitter_delays_at_random_within_its_bound() -> None:
    waits = set[float]()

    async def main(cluster: Cluster) -> None:
        schedule = cluster.schedule("p")
        await asyncio.sleep(57)
        waits.update([await schedule.turn(cluster.timed(jitter_s=3)) for _ in range(5)])

    simulated(main)
    assert len(waits) == 5
    assert all(1 < wait_s < 10 for wait_s in waits)


@pytest.mark.parametrize("error", [Unavailable("down"), KeyError("defect")])
def test_work_that_fails_is_told_and_done_at_the_next_due_time(
    caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    counts = list[int]()

    async def work() -> None:
        raise error

    async def main(cluster: Cluster) -> None:
        schedule = cluster.schedule("p")
        await following(schedule, Timed("fails", MINUTE, work), 121)
        counts.extend((schedule.runs, schedule.failures))

    with caplog.at_level(logging.WARNING):
        simulated(main)
    assert counts == [2, 2]
    assert "timed work failed" in caplog.text


def test_a_store_that_is_down_puts_work_off() -> None:
    async def main(cluster: Cluster) -> None:
        schedule, timed = cluster.schedule("p"), cluster.timed()
        await cluster.engine.stop()
        await asyncio.sleep(61)
        assert await schedule.turn(timed) == 5
        await cluster.engine.start()
        await following(schedule, timed, 1)

    assert len(simulated(main).done) == 1


@pytest.mark.parametrize("seed", range(10))
def test_of_several_processes_one_does_it(seed: int) -> None:
    async def main(cluster: Cluster) -> None:
        tasks = [
            asyncio.ensure_future(cluster.schedule(name).follow(cluster.timed(name, takes_s=2)))
            for name in ("p", "q", "r")
        ]
        await asyncio.sleep(3_600)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    cluster = simulated(main, seed)
    minutes = [time_us // 60_000_000 for _, time_us in cluster.done]
    assert minutes == sorted(set(minutes))
    assert len(minutes) >= 59


@pytest.mark.parametrize("seed", range(5))
def test_work_whose_process_died_is_done_by_another(seed: int) -> None:
    async def main(cluster: Cluster) -> None:
        dying = asyncio.ensure_future(cluster.schedule("p").follow(cluster.timed("p", takes_s=1_000)))
        await asyncio.sleep(61)
        # A process that dies releases nothing.
        cluster_down, cluster.engine._open = cluster.engine._open, False  # pyright: ignore[reportPrivateUsage]
        dying.cancel()
        await asyncio.gather(dying, return_exceptions=True)
        cluster.engine._open = cluster_down  # pyright: ignore[reportPrivateUsage]
        other = asyncio.ensure_future(cluster.schedule("q").follow(cluster.timed("q")))
        await asyncio.sleep(200)
        other.cancel()
        await asyncio.gather(other, return_exceptions=True)

    cluster = simulated(main, seed)
    assert cluster.done[0][0] == "p"
    assert [name for name, _ in cluster.done[1:]].count("q") >= 1
