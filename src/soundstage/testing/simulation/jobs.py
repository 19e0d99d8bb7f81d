"""Jobs under simulation: clients start, cancel and watch them, and processes that are killed and paused do them.

The host answers, two processes beside it carry jobs out. What the code of a job does is told to a book, at the
instant at which it does it: no attempt goes on once a later one has begun, none goes back behind a checkpoint, and
no more of an operation run at once than may. In the end every job has ended once, as its operation declares. Ended
jobs are remembered for an hour, and no live one is ever forgotten; files of those that are forgotten go too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from random import Random
from typing import Any, Literal, TypeAlias, get_args

import msgspec

from soundstage.core.call import CallOptions
from soundstage.core.errors import (
    DeadlineExceeded,
    Exhausted,
    InProgress,
    NotFound,
    SoundstageError,
    Unavailable,
)
from soundstage.core.job import ENDED, JobInfo
from soundstage.core.jobs import JobsCalls, WatchJob
from soundstage.core.system import System
from soundstage.core.time import Duration
from soundstage.runtime.jobs.api import Jobs
from soundstage.runtime.stage import Stage
from soundstage.testing.simulation.blobs import BlobWay
from soundstage.testing.simulation.chores.api import Chore, ChoresCalls
from soundstage.testing.simulation.chores.service import BOOK, content
from soundstage.testing.simulation.host import BLOBS, CONFIG, ENGINE
from soundstage.testing.simulation.jobs_book import (
    APART_S,
    ATTEMPTS,
    LIMITS,
    REMEMBERED_S,
    RUNNING_MAX,
    JobsBook,
    Story,
)
from soundstage.testing.simulation.process import Process
from soundstage.testing.simulation.scenario import SYSTEM_TABLES, Divergence, Play, Scenario, Site, Step

Act: TypeAlias = Literal["start", "repeat", "cancel", "get", "watch", "result", "list", "pause", "kill", "stop"]
_WEIGHTS = (26, 6, 8, 14, 8, 8, 6, 6, 4, 2)

Operation: TypeAlias = Literal["resuming", "restarting", "failing"]

CHORES = System("chores", "soundstage.testing.simulation.chores", "Does so many steps", stability="beta")
PROCESSES = 2
OPEN_MAX = 12
"""So many jobs, about, are under way at once."""

WORKER: Mapping[str, Any] = {
    **CONFIG,
    "jobs": {
        "running": 3,
        "running_in_all": RUNNING_MAX,
        "per_operation": LIMITS,
        "attempts": ATTEMPTS,
        "lease": "10s",
        "poll_interval": "2s",
        "history_ttl": "1h",
    },
}
FILES_KEPT_S = REMEMBERED_S + 86_400.0 + APART_S
"""After so long files of jobs are gone that have ended."""

PAUSES_S = (0.5, 5.0, 12.0, 30.0)
END_S = 900.0
"""Everything that was started has ended after so long without trouble."""

KNOWN = (Unavailable, DeadlineExceeded, Exhausted, InProgress)


class JobStep(Step, frozen=True, kw_only=True, tag="jobs"):
    """One call about the job that was started as the `choice`-th last, or what happens to a process."""

    act: Act
    operation: Operation = "resuming"
    steps: int = 0
    bytes: int = 0
    fails: bool = False
    choice: int = 0
    for_s: float = 0.0


class JobsPlay:
    """The host answers, two processes work."""

    def __init__(self, site: Site) -> None:
        self.book: JobsBook = JobsBook()
        self._site = site
        self._processes = [site.add_process() for _ in range(PROCESSES)]
        self._stopping: dict[int, asyncio.Event] = {}

    async def prepare(self) -> None:
        BOOK.set(self.book)
        for process in self._processes:
            self._begin(process)

    async def play(self, step: JobStep) -> None:
        try:
            await self._play(step)
        except KNOWN:
            self._site.note("unreachable")
        if self.book.failure is not None:
            raise self.book.failure

    async def settle(self) -> None:
        """Everything has ended, and its files are whole."""
        for process in self._processes:
            process.resume()
            if not process.is_up:
                self._begin(process)
        await self._site.environment.sleep(END_S)
        if self.book.failure is not None:
            raise self.book.failure
        jobs = self._site.host.stage.client(Jobs)
        listed: dict[str, JobInfo] = {}
        async for page in jobs.list.pages(page_size=100):
            listed |= {info.job_id: info for info in page.jobs}
        for info in listed.values():
            if info.state not in ENDED:
                raise Divergence(f"the job {info.job_id} has not ended: {info}")
        for story in self.book.stories.values():
            if story.job_id is None:
                continue
            if story.job_id not in listed:
                story.see_nothing(self._now_s(), story.ended)
                continue
            story.see(listed[story.job_id], story.ended)
            await self._check_outcome(jobs, story)
        await self._check_forgotten(jobs)

    async def _check_forgotten(self, jobs: Jobs) -> None:
        """An hour later no job is remembered, and when their files have expired nothing is left of those."""
        for process in self._processes:
            process.kill()
        await self._site.environment.sleep(REMEMBERED_S + APART_S)
        for story in self.book.stories.values():
            if story.job_id is not None:
                try:
                    info = await jobs.get(job_id=story.job_id)
                except NotFound:
                    story.see_nothing(self._now_s(), story.ended)
                else:
                    story.see_late(info, self._now_s())
        if remembered := (await jobs.list()).jobs:
            raise Divergence(f"these jobs are listed, and should be forgotten: {remembered}")
        await self._site.environment.sleep(FILES_KEPT_S)
        blobs = self._site.host.blobs
        await blobs.sweep(10_000)
        if (await blobs.usage()).blobs:
            raise Divergence(f"of forgotten jobs these files are left: {await blobs.list()}")

    def _now_s(self) -> float:
        return self._site.environment.now_us() / 1e6

    async def _check_outcome(self, jobs: Jobs, story: Story) -> None:
        assert story.job_id is not None
        outcome = await jobs.result(job_id=story.job_id)
        if outcome.state == "succeeded":
            if outcome.result != {"number": story.chore.number}:
                raise Divergence(f"{story.job_id} of {story.chore} came to {outcome.result}")
            for file in outcome.files:
                chunks = [chunk async for chunk in self._site.host.stage.files.open(file)]
                if b"".join(chunks) != content(story.chore):
                    raise Divergence(f"{story.job_id} left a file that is not whole")

    async def _play(self, step: JobStep) -> None:
        process = self._processes[step.choice % PROCESSES]
        match step.act:
            case "start":
                await self._start(step)
            case "pause":
                process.pause(step.for_s)
            case "kill":
                process.kill()
                await self._restart(process, step.for_s)
            case "stop":
                self._stopping[process.number].set()
            case "list":
                await self._list(step)
            case _:
                story = self._chosen(step)
                if story is not None:
                    await self._ask_if_remembered(step, story)

    async def _start(self, step: JobStep) -> None:
        if sum(story.ended is None and not story.forgotten for story in self.book.stories.values()) > OPEN_MAX:
            self._site.note("busy")
            for story in list(self.book.stories.values()):
                if story.ended is None and story.job_id is not None and not story.forgotten:
                    await self._ask_if_remembered(msgspec.structs.replace(step, act="get"), story)
                elif story.job_id is None:
                    await self._begin_job(step, story)
            return
        chore = Chore(number=step.number, steps=step.steps, bytes=step.bytes, fails=step.fails)
        story = self.book.stories[step.number] = Story(step.operation, chore)
        await self._begin_job(step, story)

    async def _begin_job(self, step: JobStep, story: Story) -> None:
        """Under one key there is one job."""
        operation = getattr(ChoresCalls, story.operation)
        options = CallOptions(idempotency_key=f"{story.chore.number}", retries=0)
        started = await self._site.machine(step.client).invoke(operation, story.chore, options)
        if story.job_id not in (None, started.job_id):
            raise Divergence(f"{story.chore} was started as {story.job_id} and as {started.job_id}")
        self._site.note("started" if story.job_id is None else "repeated")
        story.job_id = started.job_id

    async def _ask_if_remembered(self, step: JobStep, story: Story) -> None:
        """What is asked of a job that is forgotten is `NotFound`; no live one is."""
        before = story.ended
        try:
            await self._ask(step, story)
        except NotFound:
            if story.job_id is None or self.book.is_active(story.job_id):
                raise
            story.see_nothing(self._now_s(), before)
            self._site.note("forgotten")

    async def _ask(self, step: JobStep, story: Story) -> None:
        if step.act == "repeat" or story.job_id is None:
            await self._begin_job(step, story)
        elif step.act == "cancel":
            story.cancelled, before = True, story.ended
            info = await self._jobs(step).cancel(job_id=story.job_id)
            story.certainly_cancelled |= info.state == "cancelled"
            story.see(info, before)
            self._site.note("cancelled" if info.state not in ENDED else "cancelled_too_late")
        elif step.act == "watch":
            await self._watch(story)
        elif step.act == "result":
            before = story.ended
            outcome = await self._jobs(step).result(job_id=story.job_id, wait=Duration(500_000_000))
            if before is not None and outcome.state != before.state:
                raise Divergence(f"{story.job_id} ended as {before.state}, and then was {outcome.state}")
        else:
            await self._look(step, story)

    async def _look(self, step: JobStep, story: Story) -> None:
        assert story.job_id is not None
        before = story.ended
        info = await self._jobs(step).get(job_id=story.job_id)
        story.see(info, before)
        story.see_late(info, self._now_s())
        self._site.note(info.state)
        if info.attempt > 1:
            self._site.note("taken_over")

    async def _list(self, step: JobStep) -> None:
        before = {story.job_id: story.ended for story in self.book.stories.values()}
        reply = await self._jobs(step).list(page_size=20)
        ids = [info.job_id for info in reply.jobs]
        if ids != sorted(set(ids), reverse=True):
            raise Divergence(f"the list of jobs is {ids}")
        known = {story.job_id: story for story in self.book.stories.values() if story.job_id is not None}
        for info in reply.jobs:
            if info.job_id in known:
                known[info.job_id].see(info, before.get(info.job_id))

    async def _watch(self, story: Story) -> None:
        """Follows until the job has ended, from cursor to cursor."""
        assert story.job_id is not None
        cursor, last = 0, None
        for _ in range(10):
            request = WatchJob(job_id=story.job_id, cursor=f"{cursor}")
            options, before = CallOptions(deadline=3.0), story.ended
            try:
                feed = self._site.host.stage.follow(JobsCalls.watch, request, options)
                async with aclosing(feed) as events:
                    async for event in events:
                        if int(event.cursor) <= cursor:
                            raise Divergence(f"{story.job_id} was told at {event.cursor} after {cursor}")
                        cursor, last = int(event.cursor), event.job
                        story.see(last, before)
                if last is not None and last.state not in ENDED:
                    raise Divergence(f"the feed of {story.job_id} ended with {last}")
                self._site.note("watched")
                return
            except KNOWN:
                await self._site.environment.sleep(0.5)

    def _jobs(self, step: JobStep) -> Jobs:
        return self._site.client(step.client, Jobs)

    def _chosen(self, step: JobStep) -> Story | None:
        stories = list(self.book.stories.values())
        return stories[-1 - step.choice % min(20, len(stories))] if stories else None

    async def _restart(self, process: Process, down_s: float) -> None:
        await self._site.environment.sleep(down_s)
        if not process.is_up:
            self._begin(process)

    def _begin(self, process: Process) -> None:
        process.begin(0.0)
        self._stopping[process.number] = asyncio.Event()
        host = self._site.host
        blobs = BlobWay(host.blobs, process.is_cut, lambda: host.rates)
        process.serve(self._work(process, blobs, self._stopping[process.number]))

    async def _work(self, process: Process, blobs: BlobWay, stopping: asyncio.Event) -> None:
        """One stage after the other, each until it is told to stop."""
        while True:
            given: Any = {ENGINE: process.records, BLOBS: blobs}
            stage = Stage.open(
                config=WORKER,
                variables={},
                environment=process.environment,
                systems=self._site.host.systems,
                engines=given,
                background=False,
            )
            try:
                await stage.start()
                service: Any = await stage.systems.started("jobs")
                # The role alone: what else a process repeats would fill the time of a run.
                role = asyncio.ensure_future(service._runner.run())
                try:
                    await stopping.wait()
                finally:
                    role.cancel()
                    await asyncio.gather(role, return_exceptions=True)
            except SoundstageError:
                await process.environment.sleep(1.0)
            finally:
                stopping.clear()
                await stage.stop()


class JobsScenario:
    """See `soundstage.testing.simulation.scenario`."""

    system = "jobs"
    systems: tuple[System, ...] = (CHORES,)
    config: Mapping[str, Any] = {"jobs": {"history_ttl": WORKER["jobs"]["history_ttl"]}}
    spared: frozenset[str] = SYSTEM_TABLES - {"system/repetitions"}
    situations: Mapping[str, float] = {
        "started": 0.05,
        "repeated": 0.01,
        "cancelled": 0.005,
        "succeeded": 0.01,
        "failed": 0.005,
        "taken_over": 0.005,
        "watched": 0.005,
    }

    def draw(self, random: Random, number: int, client: int) -> JobStep:
        return JobStep(
            number=number,
            client=client,
            pause_s=random.choice((0.0, 0.1, 1.0, 4.0)),
            act=random.choices(get_args(Act), _WEIGHTS)[0],
            operation=random.choice(get_args(Operation)),
            steps=random.choice((0, 1, 3, 8, 20)),
            bytes=random.choice((0, 0, 10, 180_000)),
            fails=random.random() < 0.15,
            choice=random.randrange(1_000),
            for_s=random.choice(PAUSES_S),
        )

    def open(self, site: Site, random: Random) -> Play:
        return JobsPlay(site)


SCENARIO: Scenario = JobsScenario()
