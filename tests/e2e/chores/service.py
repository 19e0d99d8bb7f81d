from __future__ import annotations

import os
import threading

from tests.e2e.chores.api import Count, Counted, Here, WhereAmI
from tests.e2e.chores.notes import note, there

from soundstage.core.call import Call
from soundstage.runtime.service import ServiceContext
from soundstage.runtime.work.context import JobContext

STEP_S = 0.01


class ChoresService:
    """Serves `ChoresCalls`. Every number counted is a line `job NUMBER PID FENCE` of the file `notes`."""

    def __init__(self, context: ServiceContext) -> None:
        self._environment = context.environment
        self._compute = context.compute

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def where(self, call: Call, request: WhereAmI) -> Here:
        return Here(pid=os.getpid())

    async def stuck(self, call: Call, request: WhereAmI) -> Here:
        await self._compute.thread(_hang)
        return Here(pid=os.getpid())

    async def resuming(self, call: Call, request: Count, job: JobContext) -> Counted:
        return await self._count(request, job)

    async def failing(self, call: Call, request: Count, job: JobContext) -> Counted:
        return await self._count(request, job)

    async def _count(self, request: Count, job: JobContext) -> Counted:
        begin = 0 if job.state is None else int(job.state)
        for number in range(begin, request.to):
            while number >= request.wait_at and not there("go"):
                await self._environment.sleep(STEP_S)
            job.check()
            await job.checkpoint(str(number + 1).encode())
            note("job", number, job.fence)
        return Counted(numbers=list(range(begin, request.to)))


def _hang() -> None:
    note("stuck", 0, 0)
    threading.Event().wait()


SERVICE = ChoresService
