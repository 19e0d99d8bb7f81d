"""The system `jobs`: what callers may see and do of jobs that were started."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from typing import Any, cast

from soundstage.core.call import Call
from soundstage.core.errors import InvalidArgument
from soundstage.core.feed import Position
from soundstage.core.job import JobInfo, JobOperation
from soundstage.core.pages import PageTokens
from soundstage.core.plain import plain
from soundstage.core.time import NS_PER_S
from soundstage.runtime.jobs.api import (
    CancelJob,
    GetJob,
    JobEvent,
    JobOutcome,
    JobResult,
    ListJobs,
    ListJobsReply,
    WatchJob,
)
from soundstage.runtime.measurement import Measurement
from soundstage.runtime.service import ServiceContext
from soundstage.runtime.work.runner import Administered

WAIT_MAX_S = 3_600
_LIST = "jobs/list"


class JobsService:
    """Serves `JobsCalls`."""

    def __init__(self, context: ServiceContext) -> None:
        administered: Administered = context.administers
        self._jobs = administered.control
        self._runner = administered.runner
        self._systems = administered.systems
        self._page_tokens: PageTokens = context.page_tokens

    async def start(self) -> None:
        """There is nothing to start: jobs belong to the stage."""

    async def stop(self) -> None:
        """There is nothing to stop."""

    async def get(self, call: Call, request: GetJob) -> JobInfo:
        return (await self._jobs.visible(call.principal, request.job_id)).stored.info

    async def list(self, call: Call, request: ListJobs) -> ListJobsReply:
        before = self._page_tokens.open_place(_LIST, request)
        page, last = await self._jobs.listed(
            call.principal, request.state, request.operation, before, request.page_size
        )
        token = None if last is None else self._page_tokens.seal_place(_LIST, request, last)
        return ListJobsReply(jobs=page, next_page_token=token)

    async def cancel(self, call: Call, request: CancelJob) -> JobInfo:
        return await self._jobs.cancel(call.principal, request.job_id)

    async def result(self, call: Call, request: JobResult) -> JobOutcome:
        if not 0 <= request.wait <= WAIT_MAX_S * NS_PER_S:
            raise InvalidArgument(
                f"wait is {request.wait}", field="wait", hint=f"use 0s to {WAIT_MAX_S}s, and ask again"
            )
        info = await self._jobs.ended(call.principal, request.job_id, request.wait.seconds)
        result = None
        if info.state == "succeeded":
            operation = cast("JobOperation[..., Any]", self._systems.operations(info.system)[info.operation])
            result = plain(await self._jobs.result(operation, info.job_id))
        return JobOutcome(state=info.state, result=result, error=info.error, files=info.files)

    async def watch(self, call: Call, request: WatchJob) -> AsyncGenerator[JobEvent | Position]:
        cursor = request.cursor or "0"
        if not (cursor.isascii() and cursor.isdecimal() and len(cursor) <= 18):
            raise InvalidArgument(
                f"the cursor {cursor[:40]!r} is none of this feed", field="cursor", hint="send one as it came, or none"
            )
        await self._jobs.visible(call.principal, request.job_id)
        yield Position(cursor)
        async for revision, info in self._jobs.changes(call.principal, request.job_id, int(cursor)):
            yield JobEvent(cursor=str(revision), job=info)

    def measurements(self) -> Iterable[Measurement]:
        """Jobs under way and ended in this process."""
        yield Measurement("jobs_running", "jobs under way in this process", self._runner.running, "gauge", {})
        for (operation, state), count in self._runner.ended.items():
            labels = {"operation": operation, "state": state}
            yield Measurement("jobs_ended", "jobs that ended in this process", count, "counter", labels)


SERVICE = JobsService
