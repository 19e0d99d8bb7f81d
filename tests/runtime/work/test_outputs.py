"""Files that jobs write, on a stage in memory, and what becomes of them with their jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest
from tests.runtime.cluster import ERRANDS, Cluster, simulated
from tests.runtime.errands.api import Count, Counted, Errands
from tests.runtime.errands.service import ErrandsService

from soundstage.catalogue import SYSTEMS
from soundstage.core.call import Call, Principal
from soundstage.core.errors import Exhausted, Forbidden, NotFound, SoundstageError
from soundstage.core.files import File
from soundstage.core.time import Duration, Instant
from soundstage.runtime.jobs import Jobs
from soundstage.runtime.leases import LeaseLost
from soundstage.runtime.stage import Stage
from soundstage.runtime.tokens import Tokens
from soundstage.runtime.work.context import JobContext
from soundstage.runtime.work.outputs import Output

Work = Callable[[JobContext], Coroutine[Any, Any, None]]

DONE = Counted(numbers=[], at=Instant(0))


def sets_to_work(stage: Stage, work: Work) -> None:
    """Jobs of `errands` do `work`."""
    service = stage.systems.service("errands")
    assert isinstance(service, ErrandsService)

    async def handler(call: Call, request: Count, job: JobContext) -> Counted:
        await work(job)
        return DONE

    for name in ("resuming", "restarting", "failing"):
        setattr(service, name, handler)


async def writes_two(job: JobContext) -> None:
    for name in ("a.txt", "b.txt"):
        async with job.output(name, "text/plain") as output:
            await output.write(b"hello ")
            await output.write(name.encode())


async def read(stage: Stage, blob: str) -> bytes:
    return b"".join([chunk async for chunk in stage.files.open(blob)])


async def kept(stage: Stage) -> int:
    """How many blobs there are, files and others."""
    return (await stage.engines.blobs("blobs", "").usage()).blobs


async def ended(job: Any) -> Any:
    """The job once it has ended, however."""
    with suppress(SoundstageError):
        await job.result()
    return await job.info()


def test_a_job_that_succeeded_has_its_files() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process() as stage:
            sets_to_work(stage, writes_two)
            info = await ended(await stage.client(Errands).resuming(to=0))
            assert [(file.name, file.media_type) for file in info.files] == [
                ("a.txt", "text/plain"),
                ("b.txt", "text/plain"),
            ]
            assert await read(stage, info.files[1].blob) == b"hello b.txt"

    simulated(main)


def test_a_job_writes_more_than_waits_at_once() -> None:
    async def main(cluster: Cluster) -> None:
        async def work(job: JobContext) -> None:
            async with job.output("much") as output:
                await output.write(bytes(3 << 20))
            assert output.file.size == 3 << 20

        async with cluster.process() as stage:
            sets_to_work(stage, work)
            assert (await ended(await stage.client(Errands).resuming(to=0))).state == "succeeded"

    simulated(main)


def test_a_file_is_none_before_it_is_whole() -> None:
    async def main(cluster: Cluster) -> None:
        async def work(job: JobContext) -> None:
            output = job.output("a.txt")
            async with output:
                await output.write(b"hello")
                assert await kept(stage) == 0
                with pytest.raises(RuntimeError, match="after the `async with`"):
                    _ = output.file
            assert await kept(stage) == 1

        async with cluster.process() as stage:
            sets_to_work(stage, work)
            assert (await ended(await stage.client(Errands).resuming(to=0))).state == "succeeded"

    simulated(main)


def test_a_file_whose_writing_fails_is_none() -> None:
    async def main(cluster: Cluster) -> None:
        async def work(job: JobContext) -> None:
            async with job.output("a.txt") as output:
                await output.write(b"hello")
                raise NotFound("the rest")

        async with cluster.process() as stage:
            sets_to_work(stage, work)
            info = await ended(await stage.client(Errands).resuming(to=0))
            assert (info.state, info.files, await kept(stage)) == ("failed", [], 0)

    simulated(main)


def test_files_of_a_job_that_fails_later_are_gone() -> None:
    async def main(cluster: Cluster) -> None:
        async def work(job: JobContext) -> None:
            await writes_two(job)
            await job.put_aside("piece", b"hello")
            raise NotFound("the rest")

        async with cluster.process() as stage:
            sets_to_work(stage, work)
            info = await ended(await stage.client(Errands).resuming(to=0))
            assert (info.state, info.files, await kept(stage)) == ("failed", [], 0)

    simulated(main)


def test_files_of_a_job_that_is_cancelled_are_gone() -> None:
    async def main(cluster: Cluster) -> None:
        async def work(job: JobContext) -> None:
            await writes_two(job)
            await asyncio.Event().wait()

        async with cluster.process() as stage:
            sets_to_work(stage, work)
            job = await stage.client(Errands).resuming(to=0)
            while await kept(stage) < 2:  # noqa: ASYNC110
                await asyncio.sleep(1)
            await job.cancel()
            info = await ended(job)
            assert (info.state, info.files, await kept(stage)) == ("cancelled", [], 0)

    simulated(main)


@pytest.mark.parametrize("fails", [False, True])
def test_a_file_that_was_kept_and_never_told_of_is_gone_with_the_end_of_its_job(fails: bool) -> None:
    async def main(cluster: Cluster) -> None:
        async def work(job: JobContext) -> None:
            await writes_two(job)
            output = job.output("lost")
            output._kept = never  # type: ignore[assignment]  # pyright: ignore[reportPrivateUsage]
            writing = asyncio.ensure_future(writes(output))
            while await kept(stage) < 3:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            writing.cancel()
            await asyncio.wait([writing])
            if fails:
                raise NotFound("the rest")

        async def writes(output: Output) -> None:
            async with output:
                await output.write(b"hello")

        async def never(file: File) -> None:
            await asyncio.Event().wait()

        async with cluster.process() as stage:
            sets_to_work(stage, work)
            info = await ended(await stage.client(Errands).resuming(to=0))
            assert [file.name for file in info.files] == ([] if fails else ["a.txt", "b.txt"])
            assert await kept(stage) == len(info.files)

    simulated(main)


def test_a_file_of_a_job_that_another_process_has_is_gone_at_once() -> None:
    async def main(cluster: Cluster) -> None:
        async def work(job: JobContext) -> None:
            async def lost(file: File) -> None:
                raise LeaseLost("another process has it", outcome="not_applied", retryable=False)

            output = job.output("late")
            output._kept = lost  # type: ignore[assignment]  # pyright: ignore[reportPrivateUsage]
            with pytest.raises(LeaseLost):
                async with output:
                    await output.write(b"hello")
            assert await kept(stage) == 0

        async with cluster.process() as stage:
            sets_to_work(stage, work)
            assert (await ended(await stage.client(Errands).resuming(to=0))).state == "succeeded"

    simulated(main)


def test_a_file_of_the_same_name_takes_the_place_of_the_earlier_one() -> None:
    async def main(cluster: Cluster) -> None:
        async def work(job: JobContext) -> None:
            await writes_two(job)
            await writes_two(job)

        async with cluster.process() as stage:
            sets_to_work(stage, work)
            info = await ended(await stage.client(Errands).resuming(to=0))
            assert [file.name for file in info.files] == ["a.txt", "b.txt"]
            assert await kept(stage) == 2

    simulated(main)


@pytest.mark.parametrize("delay_s", [0.0, 0.01])
@pytest.mark.parametrize(("operation", "names"), [("resuming", ["1", "2"]), ("restarting", ["2"])])
def test_another_attempt_finds_what_the_operation_promises(operation: str, names: list[str], delay_s: float) -> None:
    async def main(cluster: Cluster) -> None:
        killed = asyncio.Event()

        async def work(job: JobContext) -> None:
            async with job.output(str(job.attempt)) as output:
                await output.write(b"hello")
            if job.attempt == 1:
                await cluster.kill(stage)
                killed.set()
                await asyncio.Event().wait()

        async with cluster.process(delay_s=delay_s) as stage:
            sets_to_work(stage, work)
            job = await getattr(stage.client(Errands), operation)(to=0)
            # Whichever process begins the job waits for ever: it has to be the one that is killed.
            await killed.wait()
            async with cluster.process(delay_s=delay_s) as other:
                sets_to_work(other, work)
                while (info := await other.client(Jobs).get(job_id=job.job_id)).state != "succeeded":  # noqa: ASYNC110
                    await asyncio.sleep(1)
                assert [file.name for file in info.files] == names

    simulated(main)


def test_files_of_a_job_that_is_cancelled_while_it_waits_for_another_process_are_gone() -> None:
    async def main(cluster: Cluster) -> None:
        async def work(job: JobContext) -> None:
            await writes_two(job)
            await job.put_aside("piece", b"hello")
            await asyncio.Event().wait()

        async with cluster.process() as stage:
            sets_to_work(stage, work)
            job = await stage.client(Errands).resuming(to=0)
            while await kept(stage) < 3:  # noqa: ASYNC110
                await asyncio.sleep(1)
            await stage._parts.job_runner.stop()  # pyright: ignore[reportPrivateUsage]
            assert (await job.info()).state == "queued"
            info = await job.cancel()
            assert (info.state, info.files, await kept(stage)) == ("cancelled", [], 0)

    simulated(main)


def test_what_is_put_aside_is_read_until_the_job_ends() -> None:
    async def main(cluster: Cluster) -> None:
        async def work(job: JobContext) -> None:
            await job.put_aside("one", b"hello")
            await job.put_aside("one", b"hello again")
            assert [chunk async for chunk in job.read_aside("one")] == [b"hello again"]
            with pytest.raises(NotFound):
                _ = [chunk async for chunk in job.read_aside("other")]

        async with cluster.process() as stage:
            sets_to_work(stage, work)
            info = await ended(await stage.client(Errands).resuming(to=0))
            assert (info.state, await kept(stage)) == ("succeeded", 0)

    simulated(main)


def test_what_an_ended_job_left_aside_is_gone_once_a_process_starts_again() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process(background=False) as stage:
            job = await stage.client(Errands).resuming(to=0)
            for job_id in (job.job_id, "018bcfe5-6800-7000-bd3d-23f6d0c846b5"):
                await stage.files.put_aside(f"{job_id}/1-000000", b"piece", Duration.parse("1h").us)
            runner = stage._parts.job_runner  # pyright: ignore[reportPrivateUsage]
            await runner._tidy_up()  # pyright: ignore[reportPrivateUsage]
            assert await stage.files.aside() == [f"{job.job_id}/1-000000"]

    simulated(main)


def test_files_are_for_who_started_the_job_and_for_nobody_else() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process() as stage:
            sets_to_work(stage, writes_two)
            bearer = (await stage.client(Tokens).create(name="ada", grants={"*": ["write"]})).bearer
            ada = stage._parts.tokens.recognise(bearer)  # pyright: ignore[reportPrivateUsage]
            started = await stage.dispatch("errands", "resuming", Call(principal=ada), Count(to=0))
            outcome = await stage.client(Jobs).result(job_id=started.job_id, wait=Duration.parse("60s"))
            blob = outcome.files[0].blob
            assert (await stage.files.find(blob, ada)).size == 11
            for other in (Principal("eve", {"other": ("read",)}), Principal("ada", {"other": ("read",)}, "another's")):
                with pytest.raises(Forbidden):
                    await stage.files.find(blob, other)

    simulated(main)


def test_files_are_forgotten_a_day_after_their_job_at_the_latest() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process(history_ttl="1h") as stage:
            sets_to_work(stage, writes_two)
            info = await ended(await stage.client(Errands).resuming(to=0))
            found = await stage.files.find(info.files[0].blob)
            assert found.expires_us - found.created_us == Duration.parse("25h").us

    simulated(main)


def test_the_quota_of_files_holds_for_jobs_too() -> None:
    async def main(cluster: Cluster) -> None:
        async def work(job: JobContext) -> None:
            async with job.output("much") as output:
                for _ in range(100):
                    await output.write(bytes(1 << 20))

        async with Stage.open(
            data="memory:",
            environment=cluster.environment,
            systems=(*SYSTEMS, ERRANDS),
            background=True,
            config={"files": {"quota": "1MiB"}},
        ) as stage:
            sets_to_work(stage, work)
            job = await stage.client(Errands).resuming(to=0)
            with pytest.raises(Exhausted):
                await job.result()
            assert await kept(stage) == 0

    simulated(main)
