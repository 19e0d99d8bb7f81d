from __future__ import annotations

import asyncio

from tests.runtime.errands.api import Count, Counted

from soundstage.core.call import Call
from soundstage.core.errors import InvalidArgument, NotFound
from soundstage.core.time import Instant
from soundstage.runtime.service import ServiceContext
from soundstage.runtime.work.context import JobContext


class ErrandsService:
    """Serves `ErrandsCalls`. `counted` is what this process counted, with the fence it had."""

    def __init__(self, context: ServiceContext) -> None:
        self.context = context
        self.counted: list[tuple[str, int, int]] = []
        self.calls: list[Call] = []

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def check_resuming(self, call: Call, request: Count) -> None:
        if request.to < 0:
            raise InvalidArgument("nobody counts so far", field="to")

    async def resuming(self, call: Call, request: Count, job: JobContext) -> Counted:
        return await self._count(call, request, job)

    async def restarting(self, call: Call, request: Count, job: JobContext) -> Counted:
        return await self._count(call, request, job)

    async def failing(self, call: Call, request: Count, job: JobContext) -> Counted:
        return await self._count(call, request, job)

    async def _count(self, call: Call, request: Count, job: JobContext) -> Counted:
        self.calls.append(call)
        begin = 0 if job.state is None else int(job.state)
        for number in range(begin, request.to):
            await self.context.environment.sleep(1)
            self._disturb(request, number)
            job.check()
            self.counted.append((job.job_id, number, job.fence))
            job.progress(number + 1, request.to, "numbers", f"at {number}")
            await job.checkpoint(str(number + 1).encode())
        return Counted(numbers=list(range(begin, request.to)), at=Instant(5))

    def _disturb(self, request: Count, number: int) -> None:
        if number != request.at:
            return
        if request.how == "refuse":
            raise NotFound("there is no such number", field="to", hint="count lower")
        if request.how == "defect":
            raise KeyError("secret detail")
        if request.how == "cancel itself":
            raise asyncio.CancelledError


SERVICE = ErrandsService
