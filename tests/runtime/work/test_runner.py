"""Jobs as they are carried out: by one process or several, undisturbed and disturbed, in virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.runtime.cluster import Cluster, counted, simulated, states
from tests.runtime.errands.api import Errands

from soundstage.core.errors import Internal, NotFound, PreconditionFailed, SoundstageError, Unavailable
from soundstage.runtime.jobs import Jobs
from soundstage.runtime.stage import Stage


async def all_of(stage: Stage) -> list[Any]:
    return (await stage.client(Jobs).list()).jobs


def test_a_job_is_queued_run_and_succeeds() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process() as stage:
            job = await stage.client(Errands).resuming(to=3)
            assert (await job.info()).state == "queued"
            assert await states(job) == ["queued", "running", "succeeded"]
            result = await job.result()
            assert (result.numbers, result.at, result.raw) == ([0, 1, 2], 5, b"\x00\xff")

    simulated(main)


def test_progress_is_told() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process() as stage:
            job = await stage.client(Errands).resuming(to=5)
            seen = [info.progress async for info in job.watch()]
            assert [progress.done for progress in seen] == sorted(progress.done for progress in seen)
            assert (seen[-1].done, seen[-1].total, seen[-1].unit, seen[-1].note) == (5, 5, "numbers", "at 4")

    simulated(main)


def test_times_and_attempts_are_told() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process() as stage:
            job = await stage.client(Errands).resuming(to=2)
            await job.result()
            info = await job.info()
            assert info.started_at is not None
            assert info.ended_at is not None
            assert info.created_at <= info.started_at < info.ended_at
            assert (info.attempt, info.created_by) == (1, "local")

    simulated(main)


@pytest.mark.parametrize(
    ("how", "error", "said"),
    [
        ("refuse", NotFound, "no such number"),
        ("defect", Internal, "by a defect"),
        ("cancel itself", Internal, "defect"),
    ],
)
def test_a_job_that_fails_says_why(how: str, error: type[SoundstageError], said: str) -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process() as stage:
            job = await stage.client(Errands).resuming(to=3, how=how, at=1)
            with pytest.raises(error, match=said) as failed:
                await job.result()
            assert "secret" not in str(failed.value)
            assert (await job.info()).state == "failed"

    simulated(main)


def test_a_running_job_is_cancelled() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process() as stage:
            job = await stage.client(Errands).resuming(to=1_000)
            await asyncio.sleep(10)
            assert (await job.cancel()).cancelling
            with pytest.raises(PreconditionFailed, match="cancelled"):
                await job.result()
            reached = len(counted(stage))
            await asyncio.sleep(10)
            assert (len(counted(stage)), 5 < reached < 15) == (reached, True)

    simulated(main)


def test_in_one_process_a_job_begins_and_ends_at_once() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process(poll_interval="1h") as stage:
            began_s = cluster.loop.time()
            for _ in range(20):
                await stage.client(Errands).resuming(to=0)
            job = await stage.client(Errands).resuming(to=0)
            await job.result()
            assert cluster.loop.time() - began_s < 1

    simulated(main)


def test_in_one_process_a_job_hears_at_once_that_it_is_cancelled() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process(poll_interval="1h") as stage:
            job = await stage.client(Errands).resuming(to=1_000)
            await asyncio.sleep(10)
            began_s = cluster.loop.time()
            await job.cancel()
            with pytest.raises(PreconditionFailed, match="cancelled"):
                await job.result()
            assert cluster.loop.time() - began_s < 0.1

    simulated(main)


def test_a_job_of_another_process_is_looked_at_once_per_poll_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process() as one, cluster.process() as two:
            await one.client(Errands).resuming(to=1_000)
            await asyncio.sleep(10)
            # Either may have taken it.
            cluster.links[one if counted(one) else two].cut = True
            asked = list[object]()
            get = cluster.records.get

            async def counting(*args: Any, **options: Any) -> Any:
                asked.append(args)
                return await get(*args, **options)

            monkeypatch.setattr(cluster.records, "get", counting)
            await asyncio.sleep(5)
            assert len(asked) < 50

    simulated(main)


def test_a_queued_job_is_cancelled_at_once() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process(running=0) as stage:
            job = await stage.client(Errands).resuming(to=1)
            assert (await job.cancel()).state == "cancelled"
            assert (await job.cancel()).state == "cancelled"

    simulated(main)


@pytest.mark.parametrize("seed", range(10))
def test_a_job_that_is_cancelled_as_it_begins_ends_once(seed: int) -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process(delay_s=0.5) as stage:
            ends = list[tuple[str, str]]()
            for _ in range(5):
                job = await stage.client(Errands).resuming(to=3)
                await asyncio.sleep(stage.environment.random.uniform(0, 3))
                told = await job.cancel()
                await asyncio.sleep(20)
                ends.append((told.state, (await job.info()).state))
            assert {after for before, after in ends if before == "cancelled"} <= {"cancelled"}
            assert {after for _, after in ends} <= {"cancelled", "succeeded"}

    simulated(main, seed)


def test_a_job_that_has_ended_stays_as_it_is() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process() as stage:
            job = await stage.client(Errands).resuming(to=1)
            await job.result()
            assert (await job.cancel()).state == "succeeded"

    simulated(main)


def test_so_many_run_at_once_and_the_oldest_first() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process(running=2) as stage:
            jobs = list[Any]()
            for _ in range(5):
                jobs.append(await stage.client(Errands).resuming(to=5))
                await asyncio.sleep(0.001)
            most = 0
            for _ in range(40):
                most = max(most, [info.state for info in await all_of(stage)].count("running"))
                await asyncio.sleep(0.5)
            assert most == 2
            ended = [(await job.info()).ended_at for job in jobs]
            assert ended == sorted(ended)  # pyright: ignore[reportArgumentType]

    simulated(main)


def test_so_many_of_an_operation_run_at_once() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process(running=5, per_operation={"errands/failing": 1}) as stage:
            for _ in range(3):
                await stage.client(Errands).failing(to=5)
            await stage.client(Errands).resuming(to=5)
            await asyncio.sleep(3)
            running = [info.operation for info in await all_of(stage) if info.state == "running"]
            assert sorted(running) == ["failing", "resuming"]

    simulated(main)


@pytest.mark.parametrize("running", [1, 2, 4])
def test_jobs_of_another_process_take_up_no_place(running: int) -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process(running=running) as one, cluster.process(running=running) as two:
            for _ in range(2 * running + 2):
                await one.client(Errands).resuming(to=1_000)
            await asyncio.sleep(120)
            assert [len({job_id for job_id, *_ in counted(stage)}) for stage in (one, two)] == [running, running]

    simulated(main)


def test_queued_jobs_that_do_not_fit_are_not_read_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process(running=5, per_operation={"errands/resuming": 1}) as stage:
            for _ in range(50):
                await stage.client(Errands).resuming(to=1_000)
            await asyncio.sleep(5)
            reads = list[object]()
            get = cluster.records.get

            async def counting(*args: Any, **options: Any) -> Any:
                reads.append(args)
                return await get(*args, **options)

            monkeypatch.setattr(cluster.records, "get", counting)
            await asyncio.sleep(10)
            assert len(reads) < 100

    simulated(main)


def test_a_process_that_runs_no_jobs_leaves_them_to_others() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process(running=0) as front, cluster.process() as back:
            job = await front.client(Errands).resuming(to=2)
            assert (await job.result()).numbers == [0, 1]
            assert (counted(front), len(counted(back))) == ([], 2)

    simulated(main)


@pytest.mark.parametrize("seed", range(10))
def test_of_several_processes_one_carries_a_job_out(seed: int) -> None:
    async def main(cluster: Cluster) -> None:
        async with (
            cluster.process(delay_s=0.05) as one,
            cluster.process(skew_s=1.5, delay_s=0.05) as two,
            cluster.process(skew_s=-1.5, delay_s=0.05) as three,
        ):
            jobs = [await one.client(Errands).resuming(to=3) for _ in range(6)]
            for job in jobs:
                await job.result()
            everything = [*counted(one), *counted(two), *counted(three)]
            assert sorted((job_id, number) for job_id, number, _ in everything) == sorted(
                (job.job_id, number) for job in jobs for number in range(3)
            )

    simulated(main, seed)


@pytest.mark.parametrize("seed", range(10))
def test_a_job_whose_process_dies_is_resumed_by_another(seed: int) -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process(delay_s=0.05) as one:
            job = await one.client(Errands).resuming(to=20)
            await asyncio.sleep(8)
            async with cluster.process(skew_s=0.5, delay_s=0.05) as two:
                await cluster.kill(one)
                again = await two.client(Jobs).get(job_id=job.job_id)
                assert again.state == "running"
                outcome = (
                    await two.client(Jobs).with_options(deadline=900.0).result(job_id=job.job_id, wait=_duration(600))
                )
                assert outcome.state == "succeeded"
                before = [number for _, number, _ in counted(one)]
                after = [number for _, number, _ in counted(two)]
                assert after == list(range(after[0], 20))
                # What was counted but not checkpointed when the process died is counted again.
                assert after[0] in (before[-1], before[-1] + 1)
                assert {fence for *_, fence in counted(two)} == {2}
                assert (await two.client(Jobs).get(job_id=job.job_id)).attempt == 2

    simulated(main, seed)


def test_one_that_restarts_begins_again() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process() as one:
            job = await one.client(Errands).restarting(to=10)
            await asyncio.sleep(6)
            async with cluster.process() as two:
                await cluster.kill(one)
                await _ended(two, job.job_id)
                assert [number for _, number, _ in counted(two)] == list(range(10))

    simulated(main)


def test_one_that_is_not_repeated_has_failed() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process() as one:
            job = await one.client(Errands).failing(to=100)
            await asyncio.sleep(6)
            async with cluster.process() as two:
                await cluster.kill(one)
                info = await _ended(two, job.job_id)
                assert (info.state, info.error["code"], counted(two)) == ("failed", "unavailable", [])

    simulated(main)


def test_a_job_whose_processes_keep_dying_has_failed() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process(attempts=2) as one:
            job = await one.client(Errands).resuming(to=1_000)
            await asyncio.sleep(5)
            await cluster.kill(one)
            async with cluster.process(attempts=2) as two:
                await asyncio.sleep(40)
                assert counted(two) != []
                await cluster.kill(two)
                async with cluster.process(attempts=2) as three:
                    info = await _ended(three, job.job_id)
                    assert (info.state, info.attempt, counted(three)) == ("failed", 2, [])

    simulated(main)


def test_a_process_that_slept_through_its_lease_writes_nothing_more() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process() as one:
            job = await one.client(Errands).resuming(to=60)
            await asyncio.sleep(8)
            cluster.links[one].cut = True
            async with cluster.process() as two:
                await asyncio.sleep(40)
                cluster.links[one].cut = False
                info = await _ended(two, job.job_id)
                assert (info.state, info.attempt) == ("succeeded", 2)
                fences = [fence for *_, fence in counted(one)] + [fence for *_, fence in counted(two)]
                assert set(fences) == {1, 2}
                assert [number for _, number, _ in counted(two)][-1] == 59

    simulated(main)


def test_a_process_that_stops_gives_its_jobs_back() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process(running=0) as front:
            async with cluster.process() as one:
                job = await front.client(Errands).resuming(to=20)
                await asyncio.sleep(8)
            info = await job.info()
            assert (info.state, info.attempt) == ("queued", 0)
            async with cluster.process() as two:
                began_s = cluster.loop.time()
                result = await job.result()
                # Nobody waits for the lease of one that stopped well.
                assert cluster.loop.time() - began_s < 20
                assert result.numbers[0] == len(counted(one))
                assert len(counted(two)) == len(result.numbers)

    simulated(main)


def test_one_that_is_not_repeated_fails_when_its_process_stops() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process(running=0) as front:
            async with cluster.process():
                job = await front.client(Errands).failing(to=20)
                await asyncio.sleep(8)
            with pytest.raises(Unavailable, match="stopped"):
                await job.result()

    simulated(main)


def test_what_a_process_that_died_left_half_started_is_cleared() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process() as stage:
            store = stage._parts.jobs.store  # pyright: ignore[reportPrivateUsage]
            job = await stage.client(Errands).resuming(to=1)
            await job.result()
            table = store._table  # pyright: ignore[reportPrivateUsage]
            ghost = job.job_id[:-1] + ("0" if job.job_id[-1] != "0" else "1")
            await table.write("open", {ghost: b"", job.job_id: b""}, {})
            await asyncio.sleep(200)
            assert await store.open() == []

    simulated(main)


def test_a_job_that_cannot_be_read_keeps_none_behind_it_waiting(caplog: pytest.LogCaptureFixture) -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process(running=0) as front:
            broken = await front.client(Errands).resuming(to=1)
            table = front._parts.jobs.store._table  # pyright: ignore[reportPrivateUsage]
            await table.write(f"job/{broken.job_id}", {"job": b"no job"}, {}, onward=True)
            await table.write("open", {"no-id": b""}, {})
            behind = await front.client(Errands).resuming(to=1)
            async with cluster.process():
                assert (await behind.result()).numbers == [0]
                await asyncio.sleep(200)
        told = [each.__dict__["job"] for each in caplog.records if "cannot be read" in each.message]
        assert sorted(told) == sorted([broken.job_id, "no-id"])

    simulated(main)


def test_nothing_is_left_of_the_lease_of_a_job_that_was_given_back_and_cancelled() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process(running=0) as front:
            async with cluster.process():
                job = await front.client(Errands).resuming(to=20)
                await asyncio.sleep(8)
            leases = front._parts.leases._table  # pyright: ignore[reportPrivateUsage]
            assert await leases.get(f"job/{job.job_id}", "lease") is not None
            assert (await job.cancel()).state == "cancelled"
            assert await leases.get(f"job/{job.job_id}", "lease") is None

    simulated(main)


def test_nothing_is_left_of_the_lease_of_a_job_whose_end_was_cut_off() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process(running=0) as front:
            job = await front.client(Errands).resuming(to=1)
            await job.cancel()
            parts = front._parts  # pyright: ignore[reportPrivateUsage]
            await parts.jobs.store._table.write("open", {job.job_id: b""}, {})  # pyright: ignore[reportPrivateUsage]
            await parts.leases.take(f"job/{job.job_id}", 1)
            async with cluster.process():
                await asyncio.sleep(20)
            leases = parts.leases._table  # pyright: ignore[reportPrivateUsage]
            assert await leases.get(f"job/{job.job_id}", "lease") is None
            assert await parts.jobs.store.open() == []

    simulated(main)


def test_the_code_of_a_job_knows_who_started_it() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process() as stage:
            job = await stage.client(Errands).resuming(to=1)
            await job.result()
            service: Any = stage.systems.service("errands")
            assert (service.calls[0].principal.name, service.calls[0].request_id) == ("local", job.job_id)

    simulated(main)


def test_jobs_are_measured() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process() as stage:
            await (await stage.client(Errands).resuming(to=1)).result()
            assert b'operation="errands/resuming",state="succeeded"' in stage.metrics_text()

    simulated(main)


async def _ended(stage: Stage, job_id: str) -> Any:
    jobs = stage.client(Jobs).with_options(deadline=4_000.0)
    await jobs.result(job_id=job_id, wait=_duration(3_600))
    return await jobs.get(job_id=job_id)


def _duration(seconds: int) -> Any:
    from soundstage.core.time import Duration

    return Duration(seconds * 1_000_000_000)
