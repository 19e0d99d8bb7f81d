"""What callers may see and do of jobs, in process and from outside."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
from tests.runtime.cluster import ERRANDS, Cluster, CutOff, counted, simulated
from tests.runtime.errands.api import Count, Errands, SyncErrands

from soundstage.catalogue import SYSTEMS
from soundstage.client import connect, connect_sync
from soundstage.core.call import LOCAL, Call, Principal
from soundstage.core.errors import (
    Exhausted,
    Forbidden,
    InvalidArgument,
    NotFound,
    PreconditionFailed,
    SoundstageError,
    TokenReused,
    TooLarge,
    Unavailable,
)
from soundstage.core.time import Duration
from soundstage.runtime.config import HttpConfig
from soundstage.runtime.jobs import CancelJob, GetJob, JobResult, Jobs, ListJobs, SyncJobs
from soundstage.runtime.stage import Stage
from soundstage.surface.http.server import Server

ADA = Principal("ada", {"*": ("write",)}, "id of ada")
BOB = Principal("bob", {"*": ("read",)}, "id of bob")
EVE = Principal("eve", {}, "id of eve")
ROOT = Principal("root", {"*": ("admin",)}, "id of root")


async def as_one(stage: Stage, principal: Principal, operation: str, request: Any) -> Any:
    system = "errands" if isinstance(request, Count) else "jobs"
    return await stage.dispatch(system, operation, Call(principal=principal), request)


async def refused(stage: Stage, principal: Principal, operation: str, request: Any) -> type[SoundstageError]:
    try:
        await as_one(stage, principal, operation, request)
    except SoundstageError as error:
        return type(error)
    raise AssertionError(operation)


def test_who_may_start_and_see_and_cancel() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process(running=0) as stage:
            assert await refused(stage, BOB, "resuming", Count(to=1)) is Forbidden
            job_id = (await as_one(stage, ADA, "resuming", Count(to=1))).job_id
            for principal in (ADA, ROOT):
                assert (await as_one(stage, principal, "get", GetJob(job_id=job_id))).created_by == "ada"
            # A job of no namespace is its starter's affair.
            assert await refused(stage, BOB, "get", GetJob(job_id=job_id)) is Forbidden
            assert await refused(stage, BOB, "result", JobResult(job_id=job_id)) is Forbidden
            assert await refused(stage, BOB, "cancel", CancelJob(job_id=job_id)) is Forbidden
            assert (await as_one(stage, BOB, "list", ListJobs())).jobs == []
            assert len((await as_one(stage, ADA, "list", ListJobs())).jobs) == 1
            assert await refused(stage, EVE, "list", ListJobs()) is Forbidden
            assert (await as_one(stage, ADA, "cancel", CancelJob(job_id=job_id))).state == "cancelled"

    simulated(main)


@pytest.mark.parametrize("starter", [ADA, LOCAL], ids=lambda by: by.name)
def test_who_has_the_name_of_a_jobs_starter_is_another(starter: Principal) -> None:
    async def main(cluster: Cluster) -> None:
        namesake = Principal(starter.name, {"*": ("write",)}, "id of another")
        async with cluster.process(running=0) as stage:
            job_id = (await as_one(stage, starter, "resuming", Count(to=1))).job_id
            assert await refused(stage, namesake, "get", GetJob(job_id=job_id)) is Forbidden
            assert await refused(stage, namesake, "cancel", CancelJob(job_id=job_id)) is Forbidden
            assert (await as_one(stage, namesake, "list", ListJobs())).jobs == []

    simulated(main)


def test_what_can_be_seen_to_be_wrong_is_refused_at_the_start() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process() as stage:
            with pytest.raises(InvalidArgument, match="so far"):
                await stage.client(Errands).resuming(to=-1)
            assert (await stage.client(Jobs).list()).jobs == []

    simulated(main)


def test_more_jobs_than_may_wait_are_refused() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process(running=0, queued=2) as stage:
            for _ in range(2):
                await stage.client(Errands).resuming(to=1)
            with pytest.raises(Exhausted, match="2 jobs"):
                await stage.client(Errands).resuming(to=1)

    simulated(main)


def test_a_huge_request_is_refused() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process() as stage:
            with pytest.raises(TooLarge):
                await stage.client(Errands).resuming(to=1, how="x" * (1 << 20))

    simulated(main)


def test_under_a_key_a_job_is_started_once() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process() as stage:
            errands = stage.client(Errands).with_options(idempotency_key="k")
            first, second = await errands.failing(to=1), await errands.failing(to=1)
            assert first.job_id == second.job_id
            with pytest.raises(TokenReused):
                await errands.failing(to=2)

    simulated(main)


class Dying:
    """A store on which a process dies with its nth write, which is in it or not."""

    def __init__(self, link: CutOff, records: Any, writes: int, *, applied: bool) -> None:
        self._link = link
        self._records = records
        self._left = writes
        self._applied = applied

    def __getattr__(self, name: str) -> Any:
        return self._apply if name == "apply" else getattr(self._records, name)

    async def _apply(self, *args: Any, **options: Any) -> Any:
        self._left -= 1
        self._link.cut = self._left <= 0
        if self._left or self._applied:
            answer = await self._records.apply(*args, **options)
            if self._left:
                return answer
        raise Unavailable("the answer is lost", outcome="unknown")


@pytest.mark.slow
@pytest.mark.parametrize("applied", [True, False])
@pytest.mark.parametrize("writes", range(1, 6))
def test_a_start_whose_answer_was_lost_is_repeated_as_the_same_job(writes: int, applied: bool) -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process(background=False) as first:
            link: Any = cluster.links[first]
            link._records = Dying(link, cluster.records, writes, applied=applied)
            errands = first.client(Errands).with_options(idempotency_key="k", retries=0)
            with suppress(SoundstageError):
                await errands.resuming(to=1)
            async with cluster.process() as second:
                # Until then it may be under way.
                await asyncio.sleep(61)
                errands = second.client(Errands).with_options(idempotency_key="k")
                again, once_more = await errands.resuming(to=1), await errands.resuming(to=1)
                assert (await again.result()).numbers == [0]
                assert again.job_id == once_more.job_id
                await asyncio.sleep(5)
                assert {job_id for job_id, _, _ in counted(second)} == {again.job_id}

    simulated(main)


def test_lists_are_of_a_state_or_an_operation() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process() as stage:
            done = await stage.client(Errands).resuming(to=1)
            await done.result()
            waiting = await stage.client(Errands).failing(to=1_000)
            await asyncio.sleep(3)
            jobs = stage.client(Jobs)
            assert [info.job_id for info in (await jobs.list(state="running")).jobs] == [waiting.job_id]
            assert [info.job_id for info in (await jobs.list(operation="errands/resuming")).jobs] == [done.job_id]
            assert [info.job_id for info in (await jobs.list()).jobs] == [waiting.job_id, done.job_id]

    simulated(main)


def test_pages_go_back_over_the_days() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process(background=False) as stage:
            started: list[str] = []
            for _ in range(7):
                started.append((await stage.client(Errands).resuming(to=1)).job_id)
                await asyncio.sleep(40_000)
            for size in (1, 2, 3, 100):
                pages = [page.jobs async for page in stage.client(Jobs).list.pages(page_size=size)]
                assert [info.job_id for page in pages for info in page] == started[::-1]
                assert max(map(len, pages)) <= size

    simulated(main)


def test_those_that_have_not_ended_are_found_without_a_look_at_the_history(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process(running=0) as stage:
            jobs = stage.client(Jobs)
            waiting = [(await stage.client(Errands).resuming(to=1)).job_id for _ in range(3)]
            for _ in range(60):
                await jobs.cancel(job_id=(await stage.client(Errands).resuming(to=1)).job_id)
            looked = list[int]()
            read_many = cluster.records.read_many

            async def counting(table: str, partitions: Any, *args: Any) -> Any:
                looked.append(len(partitions))
                return await read_many(table, partitions, *args)

            monkeypatch.setattr(cluster.records, "read_many", counting)
            pages = [page async for page in jobs.list.pages(state="queued", page_size=2)]
            assert [info.job_id for page in pages for info in page.jobs] == sorted(waiting, reverse=True)
            assert sum(looked) <= 6
            assert (await jobs.list(state="running")).jobs == []

    simulated(main)


@pytest.mark.holds_the_loop
def test_many_jobs_are_looked_at_for_a_page_but_not_all() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process(running=0, queued=2_000) as stage:
            for _ in range(1_200):
                await stage.client(Errands).resuming(to=1)
            page = await stage.client(Jobs).list(state="failed")
            assert (page.jobs, page.next_page_token is None) == ([], False)
            rest = await stage.client(Jobs).list(state="failed", page_token=page.next_page_token)
            assert (rest.jobs, rest.next_page_token) == ([], None)

    simulated(main)


def test_a_result_is_waited_for_as_long_as_asked() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process() as stage:
            job = await stage.client(Errands).resuming(to=10)
            jobs = stage.client(Jobs)
            assert (await jobs.result(job_id=job.job_id)).state in ("queued", "running")
            assert (await jobs.result(job_id=job.job_id, wait=Duration.parse("3s"))).state == "running"
            outcome = await jobs.result(job_id=job.job_id, wait=Duration.parse("1m"))
            assert (outcome.state, outcome.result["numbers"]) == ("succeeded", list(range(10)))
            with pytest.raises(InvalidArgument):
                await jobs.result(job_id=job.job_id, wait=Duration.parse("2h"))

    simulated(main)


def test_watching_goes_on_after_a_cursor() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process() as stage:
            job = await stage.client(Errands).resuming(to=5)
            jobs = stage.client(Jobs)
            whole = [event async for event in jobs.watch(job_id=job.job_id)]
            assert [int(event.cursor) for event in whole] == sorted({int(event.cursor) for event in whole})
            rest = [event async for event in jobs.watch(job_id=job.job_id, cursor=whole[-2].cursor)]
            assert rest == whole[-1:]
            assert [event async for event in jobs.watch(job_id=job.job_id, cursor=whole[-1].cursor)] == []

    simulated(main)


def test_what_is_no_cursor_or_no_job_is_refused() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process(running=0) as stage:
            job = await stage.client(Errands).resuming(to=1)
            with pytest.raises(InvalidArgument):
                await anext(stage.client(Jobs).watch(job_id=job.job_id, cursor="x"))
            for attempt in (
                stage.client(Jobs).get(job_id="x"),
                stage.client(Jobs).cancel(job_id=job.job_id[:-1] + "!"),
                anext(stage.client(Jobs).watch(job_id="no")),
            ):
                with pytest.raises(NotFound):
                    await attempt

    simulated(main)


@pytest.fixture
async def served() -> AsyncIterator[tuple[Stage, str]]:
    config = {"jobs": {"poll_interval": "20ms"}}
    async with Stage.open(data="memory:", systems=(*SYSTEMS, ERRANDS), config=config) as stage:
        server = Server(stage, HttpConfig(port=0))
        yield stage, await server.start()
        await server.stop()


async def test_from_outside_a_job_is_started_watched_and_asked(served: tuple[Stage, str]) -> None:
    async with connect(served[1]) as connection:
        job = await connection.client(Errands).resuming(to=0)
        assert [info.state async for info in job.watch()][-1] == "succeeded"
        result = await job.result()
        assert (result.numbers, result.raw, result.at) == ([], b"\x00\xff", 5)


async def test_so_it_is_in_json(served: tuple[Stage, str]) -> None:
    from soundstage.client import Settings

    async with connect(served[1], settings=Settings(format="json")) as connection:
        result = await (await connection.client(Errands).resuming(to=0)).result()
        assert (result.raw, result.at) == (b"\x00\xff", 5)


async def test_from_outside_a_job_is_cancelled(served: tuple[Stage, str]) -> None:
    async with connect(served[1]) as connection:
        job = await connection.client(Errands).resuming(to=1_000)
        await job.cancel()
        with pytest.raises(PreconditionFailed):
            await job.result()


async def test_without_an_event_loop_it_is_the_same(served: tuple[Stage, str]) -> None:
    def outside() -> tuple[list[int], list[str], str]:
        with connect_sync(served[1]) as connection:
            job = connection.client(SyncErrands).resuming(to=0)
            states = [info.state for info in job.watch()]
            return job.result().numbers, states, connection.client(SyncJobs).get(job_id=job.job_id).state

    numbers, states, state = await asyncio.to_thread(outside)
    assert (numbers, states[-1], state) == ([], "succeeded", "succeeded")
