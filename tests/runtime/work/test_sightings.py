"""Those who wait for jobs: what they are told, and what it costs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import msgspec
import pytest
from tests.runtime.cluster import Cluster, simulated
from tests.runtime.errands.api import Errands

from soundstage.core.call import Call, Principal
from soundstage.core.errors import DeadlineExceeded, Exhausted, NotFound, Unauthenticated, Unavailable
from soundstage.core.time import Duration
from soundstage.runtime.jobs import JobResult, Jobs
from soundstage.runtime.stage import Stage
from soundstage.runtime.work.sightings import Sightings
from soundstage.runtime.work.store import Found, JobStore

MINUTE = Duration(60_000_000_000)


def store_of(stage: Stage) -> JobStore:
    return stage._parts.jobs.store  # pyright: ignore[reportPrivateUsage]


def sightings_of(stage: Stage) -> Sightings:
    return stage._parts.jobs.sightings  # pyright: ignore[reportPrivateUsage]


async def noted(store: JobStore, job_id: str, note: str) -> None:
    found = await store.find(job_id)
    progress = msgspec.structs.replace(found.stored.info.progress, note=note)
    info = msgspec.structs.replace(found.stored.info, progress=progress)
    await store.put(found, msgspec.structs.replace(found.stored, info=info))


def note_of(found: Found) -> str:
    return found.stored.info.progress.note


def reads_of(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is asked of the store from now on."""
    asked = list[str]()
    for name in ("get", "read", "read_many"):
        reached = getattr(cluster.records, name)

        async def counting(*args: Any, reached: Any = reached, name: str = name, **options: Any) -> Any:
            asked.append(name)
            return await reached(*args, **options)

        monkeypatch.setattr(cluster.records, name, counting)
    return asked


def test_what_this_process_writes_is_told_at_once() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process(running=0) as stage:
            job = await stage.client(Errands).resuming(to=1)
            async with aclosing(sightings_of(stage).of(job.job_id)) as seen:
                await anext(seen)
                began_s = cluster.loop.time()
                await noted(store_of(stage), job.job_id, "here")
                assert (note_of(await anext(seen)), cluster.loop.time()) == ("here", began_s)

    simulated(main)


def test_what_others_write_is_found_within_the_poll_interval() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process(running=0) as one, cluster.process(running=0) as two:
            job = await one.client(Errands).resuming(to=1)
            async with aclosing(sightings_of(one).of(job.job_id)) as seen:
                await anext(seen)
                await asyncio.sleep(100)
                began_s = cluster.loop.time()
                await noted(store_of(two), job.job_id, "there")
                assert note_of(await anext(seen)) == "there"
                assert cluster.loop.time() - began_s <= 1.0

    simulated(main)


def test_soon_after_it_was_begun_or_something_changed_it_is_found_sooner() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process(running=0) as one, cluster.process(running=0) as two:
            job = await one.client(Errands).resuming(to=1)
            async with aclosing(sightings_of(one).of(job.job_id)) as seen:
                await anext(seen)
                for _ in range(5):
                    began_s = cluster.loop.time()
                    await noted(store_of(two), job.job_id, "there")
                    await anext(seen)
                    assert cluster.loop.time() - began_s <= 0.051

    simulated(main)


@pytest.mark.parametrize("waiting", [1, 300])
def test_however_many_wait_the_store_is_asked_as_often(waiting: int, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process(running=0, background=False) as stage:
            jobs = [await stage.client(Errands).resuming(to=1) for _ in range(3)]
            wait = Duration(600_000_000_000)
            tasks = [
                asyncio.ensure_future(stage.client(Jobs).result(job_id=job.job_id, wait=wait))
                for job in jobs
                for _ in range(waiting)
            ]
            await asyncio.sleep(10)
            asked = reads_of(cluster, monkeypatch)
            await asyncio.sleep(100)
            assert asked == ["read_many"] * 100
            assert sightings_of(stage).waiting == 3 * waiting
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert sightings_of(stage).waiting == 0
            asked.clear()
            await asyncio.sleep(100)
            assert asked == []

    simulated(main)


def test_who_waits_takes_no_place_of_a_call_and_is_counted_as_a_follower() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process(running=0) as stage:
            job = await stage.client(Errands).resuming(to=1)
            waiting = asyncio.ensure_future(stage.client(Jobs).result(job_id=job.job_id, wait=MINUTE))
            await asyncio.sleep(1)
            parts = stage._parts  # pyright: ignore[reportPrivateUsage]
            assert (parts.admission.in_flight, parts.followers.count) == (0, 1)
            assert (await waiting).state == "queued"
            assert parts.followers.count == 0

    simulated(main)


def test_more_than_may_wait_are_refused_and_other_calls_go_on() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process(running=0) as stage:
            parts = stage._parts  # pyright: ignore[reportPrivateUsage]
            job = await stage.client(Errands).resuming(to=1)
            with parts.followers.entered():
                parts.followers._limit = 1  # pyright: ignore[reportPrivateUsage]
                with pytest.raises(Exhausted, match="its limit"):
                    await stage.client(Jobs).result(job_id=job.job_id, wait=MINUTE)
                assert (await job.info()).state == "queued"

    simulated(main)


def test_a_deadline_ends_the_waiting() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process(running=0) as stage:
            job = await stage.client(Errands).resuming(to=1)
            began_s = cluster.loop.time()
            with pytest.raises(DeadlineExceeded) as late:
                await stage.client(Jobs).with_options(deadline=5.0).result(job_id=job.job_id, wait=MINUTE)
            assert (late.value.retryable, cluster.loop.time() - began_s < 5.1) == (True, True)

    simulated(main)


def test_a_stage_that_stops_says_so_to_those_who_wait() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process(running=0) as stage:
            job = await stage.client(Errands).resuming(to=1)
            waiting = asyncio.ensure_future(job.result())
            await asyncio.sleep(1)
        with pytest.raises(Unavailable, match="stopping") as told:
            await waiting
        assert told.value.retryable

    simulated(main)


def test_who_may_not_wait_any_more_is_told_so() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process(running=0) as stage:
            ada = Principal("ada", {"*": ("admin",)}, "id of ada")
            job = await stage.client(Errands).resuming(to=1)
            call, request = Call(principal=ada), JobResult(job_id=job.job_id, wait=MINUTE)
            waiting = asyncio.ensure_future(stage.dispatch("jobs", "result", call, request))
            await asyncio.sleep(1)

            def check(principal: Principal) -> None:
                raise Unauthenticated(f"{principal.name} is gone")

            stage._parts.followers.look(check)  # pyright: ignore[reportPrivateUsage]
            with pytest.raises(Unauthenticated, match="ada"):
                await waiting

    simulated(main)


def test_a_store_that_does_not_answer_is_told_and_asked_again_by_the_next() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process(running=0) as stage:
            job = await stage.client(Errands).resuming(to=1)
            waiting = asyncio.ensure_future(stage.client(Jobs).result(job_id=job.job_id, wait=MINUTE))
            await asyncio.sleep(1)
            cluster.links[stage].cut = True
            with pytest.raises(Unavailable, match="dead"):
                await waiting
            cluster.links[stage].cut = False
            outcome = await stage.client(Jobs).result(job_id=job.job_id, wait=Duration(1_000_000_000))
            assert outcome.state == "queued"

    simulated(main)


def test_a_job_that_is_forgotten_meanwhile_is_not_found() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process(running=0) as stage:
            job = await stage.client(Errands).resuming(to=1)
            waiting = asyncio.ensure_future(stage.client(Jobs).result(job_id=job.job_id, wait=MINUTE))
            await asyncio.sleep(1)
            table = store_of(stage)._table  # pyright: ignore[reportPrivateUsage]
            await table.write(f"job/{job.job_id}", {"job": None}, {})
            with pytest.raises(NotFound):
                await waiting

    simulated(main)


def test_a_later_sight_is_not_undone_by_an_earlier_one() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process(running=0) as stage:
            store = store_of(stage)
            job = await stage.client(Errands).resuming(to=1)
            early = await store.find(job.job_id)
            async with aclosing(sightings_of(stage).of(job.job_id)) as seen:
                await anext(seen)
                await noted(store, job.job_id, "later")
                for listener in store.listeners:
                    listener(early)
                assert note_of(await anext(seen)) == "later"
                assert await silent(seen)

    simulated(main)


async def silent(seen: AsyncGenerator[Found]) -> bool:
    """Whether nothing more is told for a while."""
    asking = asyncio.ensure_future(anext(seen))
    done, _ = await asyncio.wait({asking}, timeout=30)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    return not done
