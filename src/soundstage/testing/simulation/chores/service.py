"""Does chores, and writes everything into the book of the run."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Protocol

from soundstage.core.call import Call
from soundstage.core.errors import NotFound, SoundstageError
from soundstage.runtime.service import ServiceContext
from soundstage.runtime.work.context import JobContext
from soundstage.testing.simulation.chores.api import Chore, Done

STEP_S = 0.7
PART_BYTES = 50_000


class Book(Protocol):
    """Told of what jobs do, at the instant at which they do it."""

    def began(self, operation: str, chore: Chore, job: JobContext, at: int) -> None: ...

    def did(self, chore: Chore, job: JobContext, step: int) -> None: ...

    def kept(self, chore: Chore, job: JobContext, step: int) -> None: ...

    def failed(self, chore: Chore, job: JobContext) -> None: ...

    def over(self, chore: Chore, job: JobContext) -> None: ...


BOOK: ContextVar[Book] = ContextVar("book")
"""That of the run, in every process of it."""


def content(chore: Chore) -> bytes:
    """What the file of a chore holds."""
    return (b"%d " % chore.number * chore.bytes)[: chore.bytes]


class ChoresService:
    """Serves `ChoresCalls`."""

    def __init__(self, context: ServiceContext) -> None:
        self._environment = context.environment

    async def start(self) -> None:
        """There is nothing to start."""

    async def stop(self) -> None:
        """There is nothing to stop."""

    async def resuming(self, call: Call, request: Chore, job: JobContext) -> Done:
        return await self._do("resuming", request, job)

    async def restarting(self, call: Call, request: Chore, job: JobContext) -> Done:
        return await self._do("restarting", request, job)

    async def failing(self, call: Call, request: Chore, job: JobContext) -> Done:
        return await self._do("failing", request, job)

    async def _do(self, operation: str, chore: Chore, job: JobContext) -> Done:
        book = BOOK.get()
        begin = 0 if job.state is None else int(job.state)
        job.check()
        book.began(operation, chore, job, begin)
        try:
            for step in range(begin, chore.steps):
                await self._environment.sleep(STEP_S)
                job.check()
                book.did(chore, job, step)
                job.progress(step + 1, chore.steps, "steps")
                await job.checkpoint(b"%d" % (step + 1))
                book.kept(chore, job, step + 1)
            if chore.bytes:
                await self._leave(chore, job)
        except SoundstageError:
            book.failed(chore, job)
            raise
        finally:
            book.over(chore, job)
        if chore.fails:
            raise NotFound("there is no end to it", field="number")
        return Done(number=chore.number)

    async def _leave(self, chore: Chore, job: JobContext) -> None:
        whole = content(chore)
        async with job.output("made", "text/plain") as output:
            for at in range(0, len(whole), PART_BYTES):
                await output.write(whole[at : at + PART_BYTES])
                await self._environment.sleep(0.1)


SERVICE = ChoresService
