"""How many jobs of a stage run at once, whichever processes carry them out, and whatever becomes of those."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

import msgspec
import pytest
from tests.runtime.cluster import Cluster, counted, simulated
from tests.runtime.errands.api import Errands

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import Exhausted, SoundstageError
from soundstage.core.hlc import TokenClock
from soundstage.core.ids import uuid7
from soundstage.core.job import JobInfo, JobState
from soundstage.core.time import Instant
from soundstage.engines.records.memory import MemoryRecords
from soundstage.runtime.config import JobsConfig
from soundstage.runtime.jobs import Jobs
from soundstage.runtime.stage import Stage
from soundstage.runtime.system_table import SystemTable
from soundstage.runtime.work.places import Places
from soundstage.runtime.work.store import JobStore, Stored

CONFIG = JobsConfig(running_in_all=2, per_operation={"s/one": 1})


class Bench:
    """Two processes on one table of jobs."""

    def __init__(self, table: SystemTable, environment: VirtualEnvironment) -> None:
        self.environment = environment
        self.store = JobStore(table, environment, 1_000_000_000)
        self.one, self.two = (Places(table, self.store, CONFIG, environment) for _ in range(2))

    async def job(self, state: JobState) -> str:
        """The id of a job of that state."""
        info = JobInfo(job_id=uuid7(self.environment), system="s", operation="o", state="queued", created_at=Instant(0))
        found = await self.store.add(Stored(info=info, request=b"", access="read", restart="resume"), 100)
        assert found is not None
        changed = msgspec.structs.replace(info, state=state)
        await self.store.put(found, msgspec.structs.replace(found.stored, info=changed))
        return info.job_id


@pytest.fixture
async def bench(environment: VirtualEnvironment) -> Bench:
    records = MemoryRecords(environment)
    await records.start()
    table = SystemTable(records, "jobs", TokenClock(environment), environment)
    await table.create()
    return Bench(table, environment)


async def test_there_are_so_many_for_all_processes_together(bench: Bench) -> None:
    assert await bench.one.take("a", "s/other", 1)
    assert await bench.two.take("b", "s/other", 1)
    assert not await bench.one.take("c", "s/other", 1)
    assert not await bench.two.take("c", "s/other", 1)


async def test_there_are_so_many_of_an_operation_for_all_together(bench: Bench) -> None:
    assert await bench.one.take("a", "s/one", 1)
    assert not await bench.two.take("b", "s/one", 1)
    assert await bench.two.take("c", "s/other", 1)


async def test_one_that_is_given_back_is_another_jobs(bench: Bench) -> None:
    for job_id in ("a", "b"):
        await bench.one.take(job_id, "s/other", 1)
    await bench.one.give_back("a", 1)
    await bench.one.give_back("a", 1)
    assert await bench.two.take("c", "s/other", 1)


async def test_a_job_that_has_one_may_go_on_elsewhere_however_full_it_is(bench: Bench) -> None:
    for job_id in ("a", "b"):
        await bench.one.take(job_id, "s/other", 1)
    await bench.two.look()
    assert bench.two.fits("a", None)
    assert not bench.two.fits("c", None)
    assert await bench.two.take("a", "s/other", 2)


async def test_who_lost_the_job_neither_takes_its_place_nor_gives_it_back(bench: Bench) -> None:
    await bench.one.take("a", "s/other", 1)
    await bench.two.take("a", "s/other", 2)
    await bench.one.give_back("a", 1)
    await bench.two.look()
    assert bench.two.fits("a", "s/other")
    assert await bench.two.take("b", "s/other", 1)
    assert not await bench.two.take("c", "s/other", 1)
    assert not await bench.one.take("a", "s/other", 1)


async def test_many_at_once_get_no_more_than_there_are(bench: Bench) -> None:
    taken = await asyncio.gather(
        *(places.take(f"{number}", "s/other", 1) for number in range(10) for places in (bench.one, bench.two))
    )
    await bench.one.look()
    assert sum(bench.one.fits(f"{number}", None) for number in range(10)) == 2
    assert sum(taken) in (2, 3, 4)


async def test_places_of_jobs_that_have_ended_or_are_forgotten_are_freed(bench: Bench) -> None:
    ended, running, unknown = await bench.job("succeeded"), await bench.job("running"), uuid7(bench.environment)
    await bench.one.take(ended, "s/other", 1)
    await bench.one.take(running, "s/other", 1)
    await bench.one.tidy_up()
    assert await bench.two.take(unknown, "s/other", 1)
    await bench.two.tidy_up()
    assert [bench.two.fits(job_id, None) for job_id in (running, "another")] == [True, True]
    await bench.two.take("another", "s/other", 1)
    assert not bench.two.fits(ended, None)


async def test_they_are_tidied_up_once_in_the_time_of_a_lease(bench: Bench) -> None:
    await bench.one.tidy_up()
    await bench.one.take(await bench.job("succeeded"), "s/other", 1)
    await bench.one.take(await bench.job("succeeded"), "s/other", 1)
    await bench.one.tidy_up()
    assert not bench.one.fits("c", None)
    bench.environment.advance(10)
    await bench.one.tidy_up()
    assert bench.one.fits("c", None)


async def test_one_that_is_taken_while_others_are_looked_at_stays(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended, begun = await bench.job("succeeded"), await bench.job("running")
    await bench.one.take(ended, "s/other", 1)
    find_many = bench.store.find_many

    async def slowly(job_ids: Sequence[str]) -> Any:
        found = await find_many(job_ids)
        await bench.one.take(begun, "s/one", 1)
        return found

    monkeypatch.setattr(bench.store, "find_many", slowly)
    await bench.one.tidy_up()
    await bench.two.look()
    assert not bench.two.fits("another", "s/one")
    assert bench.two.fits("another", "s/other")


async def running(stages: list[Stage]) -> list[str]:
    """The operations of jobs that are under way, as who reads the store sees them."""
    listed = await stages[0].client(Jobs).list(state="running")
    return [info.operation for info in listed.jobs]


@pytest.mark.parametrize("seed", range(5))
def test_processes_together_run_no_more_than_the_stage_may(seed: int) -> None:
    async def main(cluster: Cluster) -> None:
        async with AsyncExitStack() as exit:
            bounds: dict[str, Any] = {"running": 4, "running_in_all": 3, "per_operation": {"errands/failing": 1}}
            stages = [
                await exit.enter_async_context(cluster.process(skew_s=skew, delay_s=0.05, **bounds))
                for skew in (0.0, 1.0, -1.0)
            ]
            jobs = list[Any]()
            for number in range(12):
                errands = stages[number % 3].client(Errands)
                jobs.append(await (errands.failing if number % 3 else errands.resuming)(to=3))
            most = 0
            for _ in range(100):
                now = await running(stages)
                most = max(most, len(now))
                assert (len(now) <= 3, now.count("failing") <= 1) == (True, True)
                await asyncio.sleep(0.5)
            assert most >= 2
            assert [(await job.info()).state for job in jobs] == ["succeeded"] * 12

    simulated(main, seed)


@pytest.mark.parametrize("bounds", [{"running_in_all": 2}, {"per_operation": {"errands/resuming": 2}}], ids=str)
def test_places_of_a_process_that_is_killed_stop_nobody(bounds: dict[str, Any]) -> None:
    async def main(cluster: Cluster) -> None:
        async with (
            cluster.process(delay_s=0.05, **bounds) as one,
            cluster.process(delay_s=0.05, running=0, **bounds) as two,
        ):
            jobs = [await one.client(Errands).resuming(to=20) for _ in range(2)]
            await asyncio.sleep(8)
            jobs += [await one.client(Errands).resuming(to=2) for _ in range(4)]
            assert len({job_id for job_id, *_ in counted(one)}) == 2
            await cluster.kill(one)
            async with cluster.process(delay_s=0.05, running=1, **bounds) as three:
                for job in jobs:
                    result = await two.client(Jobs).get(job_id=job.job_id)
                    while result.state in ("queued", "running"):
                        await asyncio.sleep(5)
                        assert len(await running([two])) <= 2
                        result = await two.client(Jobs).get(job_id=job.job_id)
                    assert result.state == "succeeded"
                assert len({job_id for job_id, *_ in counted(three)}) == 6

    simulated(main)


def test_a_process_that_slept_through_its_lease_takes_no_place_from_another() -> None:
    async def main(cluster: Cluster) -> None:
        bounds: dict[str, Any] = {"running_in_all": 1}
        async with cluster.process(**bounds) as one:
            job = await one.client(Errands).resuming(to=40)
            await asyncio.sleep(8)
            cluster.links[one].cut = True
            async with cluster.process(**bounds) as two:
                await asyncio.sleep(20)
                cluster.links[one].cut = False
                other = await two.client(Errands).resuming(to=1)
                await asyncio.sleep(5)
                assert len(await running([two])) == 1
                await job.result()
                await other.result()

    simulated(main)


def test_no_more_wait_than_may_however_many_processes_start_them_at_once() -> None:
    async def main(cluster: Cluster) -> None:
        async with AsyncExitStack() as exit:
            stages = [
                await exit.enter_async_context(cluster.process(running=0, queued=5, delay_s=0.05)) for _ in range(3)
            ]
            starts = [stage.client(Errands).resuming(to=1) for _ in range(4) for stage in stages]
            outcomes = await asyncio.gather(*starts, return_exceptions=True)
            refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
            assert {type(error) for error in refused} == {Exhausted}
            assert all(isinstance(error, SoundstageError) and error.retry_after_ms for error in refused)
            waiting = await stages[0].client(Jobs).list()
            assert len(waiting.jobs) == 12 - len(refused) <= 5
            # Those who came between each other may all have been refused; there is still room for the next.
            for _ in range(5 - len(waiting.jobs)):
                await stages[1].client(Errands).resuming(to=1)
            with pytest.raises(Exhausted):
                await stages[2].client(Errands).resuming(to=1)

    simulated(main)
