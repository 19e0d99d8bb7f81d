"""The book of the jobs of a simulation: what is known of each, and what its attempts and its callers may see."""

from __future__ import annotations

from typing import Any

from soundstage.core.errors import SoundstageError
from soundstage.core.ids import uuid7_ms
from soundstage.core.job import ENDED, JobInfo
from soundstage.runtime.work.context import JobContext
from soundstage.testing.simulation.chores.api import Chore
from soundstage.testing.simulation.loop import PROCESS
from soundstage.testing.simulation.scenario import Divergence

ATTEMPTS = 3
RUNNING_MAX = 4
"""So many jobs run at once, in all processes together."""

LIMITS = {"chores/restarting": 1, "chores/failing": 2}
"""So many of an operation."""

REMEMBERED_S = 3_600.0
"""How long jobs are remembered that have ended."""

APART_S = 60.0
"""So far apart, at most, are the clock of who ended a job and that of who is asked for it, and what was on its way."""


class Story:
    """What is known of one job."""

    def __init__(self, operation: str, chore: Chore) -> None:
        self.operation = operation
        self.chore = chore
        self.job_id: str | None = None
        self.cancelled: bool = False
        self.certainly_cancelled: bool = False
        self.ended: JobInfo | None = None
        self.kept: int = 0
        self.fence: int = 0
        self.begun: int = 0
        self.failed: bool = False
        self.forgotten: bool = False
        self.done: set[int] = set()

    def see(self, info: JobInfo, before: JobInfo | None) -> None:
        """The job was shown so: once it has ended, it stays as it is. `before` is its end as known to who asked."""
        known = before or (self.ended if info.state in ENDED else None)
        if known is not None and info != known:
            raise Divergence(f"the job {info.job_id} has ended as {known}, and then was {info}")
        if info.state in ENDED:
            self.ended = info
            self._check(info)

    def see_nothing(self, now_s: float, known: JobInfo | None) -> None:
        """The job is forgotten; `known` is its end as known to who asked. One that may be live is remembered."""
        assert self.job_id is not None
        ended = known or self.ended
        since_s = uuid7_ms(self.job_id) / 1e3 if ended is None else _ended_s(ended)
        if now_s < since_s + REMEMBERED_S - APART_S:
            raise Divergence(
                f"the job {self.job_id} is forgotten, {now_s - since_s:.1f} s after {ended or 'its start'}"
            )
        self.forgotten = True

    def see_late(self, info: JobInfo, now_s: float) -> None:
        """The job was shown so, which is not to be when it has ended long ago."""
        if self.forgotten or (info.state in ENDED and now_s > _ended_s(info) + REMEMBERED_S + APART_S):
            raise Divergence(f"the job {info.job_id} is remembered for too long: {info}")

    def _check(self, info: JobInfo) -> None:
        code = None if info.error is None else info.error["code"]
        died = self.operation == "failing" or info.attempt >= ATTEMPTS or self.failed
        if info.state == "cancelled":
            right = self.cancelled
        elif info.state == "failed":
            right = (died and code in ("unavailable", "deadline")) or (
                self.chore.fails and code == "not_found" and self._is_done()
            )
        else:
            right = not self.chore.fails and self._is_done() and code is None
        if not right:
            raise Divergence(f"the job {info.job_id} of {self.operation} {self.chore} ended as {info}")
        if len(info.files) != (1 if self.chore.bytes and info.state == "succeeded" else 0):
            raise Divergence(f"the job {info.job_id}, which has {info.state}, left {info.files}")
        if self.certainly_cancelled and info.state != "cancelled":
            raise Divergence(f"the job {info.job_id} was told as cancelled, and is {info.state}")

    def _is_done(self) -> bool:
        return self.done >= set(range(self.chore.steps))


class JobsBook:
    """Every attempt of every job. What the code of a dead process does counts for nothing."""

    def __init__(self) -> None:
        self.stories: dict[int, Story] = {}
        self.failure: Divergence | None = None
        self._active: dict[tuple[str, int], tuple[str, JobContext, Any]] = {}

    def began(self, operation: str, chore: Chore, job: JobContext, at: int) -> None:
        if self._is_dead():
            return
        story = self.stories[chore.number]
        story.begun += 1
        expected = story.kept if operation == "resuming" else 0
        if at < expected or (operation != "resuming" and at):
            self._fail(f"{job.job_id} of {operation} goes on from {at}, and had kept {story.kept}")
        if operation == "failing" and story.begun > 1:
            self._fail(f"{job.job_id} of failing was begun again")
        if operation != "resuming":
            story.done.clear()
        self._go_on(story, job)
        self._active[job.job_id, job.fence] = operation, job, PROCESS.get()
        self._count(operation)

    def did(self, chore: Chore, job: JobContext, step: int) -> None:
        if not self._is_dead():
            self._go_on(self.stories[chore.number], job)
            self.stories[chore.number].done.add(step)

    def kept(self, chore: Chore, job: JobContext, step: int) -> None:
        if not self._is_dead():
            self.stories[chore.number].kept = max(self.stories[chore.number].kept, step)

    def failed(self, chore: Chore, job: JobContext) -> None:
        if not self._is_dead():
            self.stories[chore.number].failed = True

    def is_active(self, job_id: str) -> bool:
        """Whether a process that is alive is at it."""
        return any(known == job_id and not _is_cut(process) for (known, _), (_, _, process) in self._active.items())

    def over(self, chore: Chore, job: JobContext) -> None:
        self._active.pop((job.job_id, job.fence), None)

    def _go_on(self, story: Story, job: JobContext) -> None:
        if job.fence < story.fence:
            self._fail(f"{job.job_id} goes on under the fence {job.fence}, and was begun under {story.fence}")
        story.fence = job.fence

    def _count(self, operation: str) -> None:
        running = [each for each, job, process in self._active.values() if not _is_cut(process) and _holds(job)]
        if running.count(operation) > LIMITS.get(f"chores/{operation}", RUNNING_MAX) or len(running) > RUNNING_MAX:
            self._fail(f"{running} run at once")

    def _is_dead(self) -> bool:
        return _is_cut(PROCESS.get())

    def _fail(self, reason: str) -> None:
        self.failure = self.failure or Divergence(reason)


def _ended_s(info: JobInfo) -> float:
    assert info.ended_at is not None
    return info.ended_at.us / 1e6


def _is_cut(process: Any) -> bool:
    return process is not None and process.cut


def _holds(job: JobContext) -> bool:
    try:
        job.check()
    except SoundstageError:
        return False
    return True
