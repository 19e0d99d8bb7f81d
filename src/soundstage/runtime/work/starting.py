"""Job operations on their way from a door to the queue."""

from __future__ import annotations

from typing import Any, cast

from soundstage.core.call import Call
from soundstage.core.job import JobOperation, JobStarted
from soundstage.core.operation import Operation
from soundstage.runtime.dispatch import BoundOperation, Handler, Interceptors
from soundstage.runtime.work.control import JobControl


class BoundJob(BoundOperation):
    """One job operation of one stage: `run` is answered with `JobStarted` once the job is queued.

    Under an `Idempotency-Key` a repeated start gives the same job, whatever became of the first one's answer.
    """

    __slots__ = ("_job", "_jobs")

    def __init__(self, operation: Operation[..., Any], interceptors: Interceptors, jobs: JobControl) -> None:
        super().__init__(operation, interceptors)
        self.handler: Handler = self._start
        # What is started is one job under one key, whether or not it writes.
        self._keyed = True
        self._job = cast("JobOperation[..., Any]", operation)
        self._jobs = jobs

    async def _start(self, call: Call, request: Any) -> Any:
        if call.job_id and await self._jobs.is_known(call.job_id):
            return JobStarted(job_id=call.job_id)
        service = await self._on.systems.started(self.operation.system)
        check = getattr(service, f"check_{self.operation.name}", None)
        if check is not None:
            # What can be seen to be wrong is refused now, and not found hours later among the failed.
            await check(call, request)
        return await self._jobs.start(self._job, call, request, await self._named(request))
