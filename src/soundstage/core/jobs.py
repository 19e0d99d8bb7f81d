"""The operations by which jobs are asked about, and jobs as clients see them.

They are declared here, and served by the system `jobs`, because every client gives handles of jobs, whatever
system the job is of.
"""

# pyright: reportReturnType=false
# The body of a declared operation never runs.

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from msgspec import Meta

from soundstage.core.codec import convert
from soundstage.core.errors import NotFound, PreconditionFailed, from_problem
from soundstage.core.feed import feed
from soundstage.core.files import File
from soundstage.core.job import JobInfo, JobState
from soundstage.core.message import Cursor, Duration, PageSize, PageToken
from soundstage.core.operation import AsyncFace, Invoker, operation
from soundstage.core.time import NS_PER_S

R = TypeVar("R")


class GetJob(msgspec.Struct, frozen=True, kw_only=True):
    job_id: Annotated[str, Meta(description="of the job")]


class ListJobs(msgspec.Struct, frozen=True, kw_only=True):
    """`operation` is written `<system>/<operation>`."""

    state: Annotated[JobState | None, Meta(description="only those in this state")] = None
    operation: Annotated[str | None, Meta(description="only those of this operation, such as backups/create")] = None
    page_size: PageSize = 100
    page_token: PageToken = None


class ListJobsReply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The newest first. A page may be short, or empty, and still have a token: many jobs were looked at for it."""

    jobs: list[JobInfo]
    next_page_token: str | None = None


class CancelJob(msgspec.Struct, frozen=True, kw_only=True):
    job_id: Annotated[str, Meta(description="of the job")]


class JobResult(msgspec.Struct, frozen=True, kw_only=True):
    """With `wait` the answer comes when the job has ended, or when that time (up to 1 h) has passed."""

    job_id: Annotated[str, Meta(description="of the job")]
    wait: Annotated[Duration, Meta(description="how long to wait for its end, up to 1h")] = Duration(0)


class JobOutcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`result` is the result message of a job that succeeded, `error` the problem of one that failed."""

    state: JobState
    result: Any = None
    error: dict[str, Any] | None = None
    files: list[File] = []


class WatchJob(msgspec.Struct, frozen=True, kw_only=True):
    job_id: Annotated[str, Meta(description="of the job")]
    cursor: Cursor = None


class JobEvent(msgspec.Struct, frozen=True, kw_only=True):
    """The job as it was after a change; changes that follow each other closely may be told as one."""

    cursor: str
    job: JobInfo


class JobsCalls:
    """Work that outlives the call that started it."""

    system = "jobs"

    @operation(GetJob, access="read", idempotent=True, errors=(NotFound,))
    def get(self) -> JobInfo:
        """A job as it is now. Who started it may ask, and who may read one of its namespaces."""

    @operation(ListJobs, access="read", idempotent=True)
    def list(self) -> ListJobsReply:
        """The jobs that the caller may see, the newest first; ended ones for as long as history is kept."""

    @operation(CancelJob, access="read", idempotent=True, errors=(NotFound,))
    def cancel(self) -> JobInfo:
        """The job ends soon, as `cancelled`; one that has ended stays as it is.

        It takes the access with which the job was started. What the job did so far is not undone.
        """

    @operation(JobResult, access="read", idempotent=True, errors=(NotFound,), waits=True)
    def result(self) -> JobOutcome:
        """What the job came to, or, while it has not ended, its state alone."""

    @feed(WatchJob, access="read", errors=(NotFound,))
    def watch(self) -> JobEvent:
        """The job as it is, and again whenever it changes; the feed ends once the job has."""


class _Jobs(AsyncFace, JobsCalls):
    """What handles ask with."""


WAIT = Duration(20 * NS_PER_S)
"""How long one question for the result waits; it is asked again until the job has ended."""


class StartedJob(Generic[R]):
    """See `soundstage.core.job.Job`; `result_type` is what the operation's declared method returns."""

    def __init__(self, invoker: Invoker, job_id: str, result_type: type[R]) -> None:
        self.job_id = job_id
        self._jobs = _Jobs(invoker)
        self._result_type = result_type

    async def info(self) -> JobInfo:
        return await self._jobs.get(job_id=self.job_id)

    async def watch(self) -> AsyncGenerator[JobInfo]:
        async for event in self._jobs.watch(job_id=self.job_id):
            yield event.job

    async def result(self) -> R:
        while True:
            outcome = await self._jobs.with_options(deadline=2 * WAIT.seconds).result(job_id=self.job_id, wait=WAIT)
            if outcome.state not in ("queued", "running"):
                return self._came_to(outcome)

    async def cancel(self) -> JobInfo:
        return await self._jobs.cancel(job_id=self.job_id)

    def _came_to(self, outcome: JobOutcome) -> R:
        if outcome.state == "cancelled":
            raise PreconditionFailed(f"the job {self.job_id} was cancelled", hint="start it again")
        if outcome.error is not None:
            raise from_problem(outcome.error)
        return convert(outcome.result, self._result_type)


class SyncStartedJob(Generic[R]):
    """The same for synchronous clients; `run` and `iterate` are those of the client's thread."""

    def __init__(
        self,
        job: StartedJob[R],
        run: Callable[[Coroutine[Any, Any, Any]], Any],
        iterate: Callable[[AsyncGenerator[Any]], Generator[Any]],
    ) -> None:
        self.job_id: str = job.job_id
        self._job = job
        self._run = run
        self._iterate = iterate

    def info(self) -> JobInfo:
        return self._run(self._job.info())

    def watch(self) -> Generator[JobInfo]:
        return self._iterate(self._job.watch())

    def result(self) -> R:
        return self._run(self._job.result())

    def cancel(self) -> JobInfo:
        return self._run(self._job.cancel())
