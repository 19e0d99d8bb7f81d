"""Starting a job and waiting for it, with a bar on a terminal; Ctrl-C asks, then cancels."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from soundstage.core.job import Job, JobInfo, JobStarted
from soundstage.core.operation import Operation
from soundstage.surface.cli.attachments import fetched, sent
from soundstage.surface.cli.failure import DONE, INTERRUPTED
from soundstage.surface.cli.options import Target
from soundstage.surface.cli.output import Format, show
from soundstage.surface.cli.progress import Report, bar
from soundstage.surface.cli.target import reached, told


def carry_out(
    operation: Operation[..., Any],
    request: Any,
    target: Target,
    output: Format,
    detach: bool,
    out: str | None = None,
) -> int:
    """The job has ended and its result is printed; with `detach` it was only started, and its id is printed.

    Its files are written to the folder `out`.
    """
    try:
        return asyncio.run(_carried_out(operation, request, target, output, detach, out))
    except asyncio.CancelledError:
        return INTERRUPTED


async def _carried_out(
    operation: Operation[..., Any], request: Any, target: Target, output: Format, detach: bool, out: str | None
) -> int:
    async with reached(target, reads=operation.reads, background=not detach) as stage:
        with told():
            request = await sent(request, stage.files)
        if detach:
            show(JobStarted(job_id=(await stage.start_job(operation, request)).job_id), output)
            return DONE
        # Who presses Ctrl-C while the job is being started means that job.
        with _interrupts() as interrupted:
            job: Job[Any] = await stage.start_job(operation, request)
            with told():
                ended = await _watched(job, f"{operation.system} {operation.name}", interrupted)
        if not ended:
            return INTERRUPTED
        with told():
            result = await job.result()
            show(result, output)
            if out is not None:
                await fetched([result, await job.info()], stage.files, out)
            return DONE


async def _watched(job: Job[Any], what: str, interrupted: asyncio.Event) -> bool:
    """Whether the job has ended; false when whoever watched it left it to itself."""
    with bar(what, "steps") as report:
        watching = asyncio.ensure_future(_follow(job, report))
        try:
            while not watching.done():
                asked = asyncio.ensure_future(interrupted.wait())
                await asyncio.wait({watching, asked}, return_when=asyncio.FIRST_COMPLETED)
                asked.cancel()
                if not watching.done():
                    if not await _wants_to_cancel(job.job_id):
                        return False
                    interrupted.clear()
                    await job.cancel()
            watching.result()
            return True
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)


async def _follow(job: Job[Any], report: Report) -> None:
    info: JobInfo
    async for info in job.watch():
        note = info.state if info.state == "queued" else info.progress.note
        report(info.progress.done, info.progress.total, note)


async def _wants_to_cancel(job_id: str) -> bool:
    """What whoever pressed Ctrl-C wants; where nobody can be asked, that is to cancel."""
    if not sys.stdin.isatty():
        return True
    print(f"\nsoundstage: cancel the job {job_id}? [y/N] ", end="", file=sys.stderr, flush=True)
    answer = await _line()
    if answer.strip().lower() in ("y", "yes"):
        return True
    print(f"soundstage: see soundstage jobs get --job-id {job_id}", file=sys.stderr)
    return False


async def _line() -> str:
    """What is typed, once Enter is. A thread that reads could not be ended, and the command not before it."""
    typed, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_reader(sys.stdin, typed.set)
    try:
        await typed.wait()
    finally:
        loop.remove_reader(sys.stdin)
    return sys.stdin.readline()


@contextmanager
def _interrupts() -> Generator[asyncio.Event]:
    """Set by the first Ctrl-C; a second one before it was cleared ends the command at once."""
    interrupted, loop = asyncio.Event(), asyncio.get_running_loop()
    main = asyncio.current_task()

    def on_signal() -> None:
        if interrupted.is_set() and main is not None:
            main.cancel()
        interrupted.set()

    loop.add_signal_handler(signal.SIGINT, on_signal)
    try:
        yield interrupted
    finally:
        loop.remove_signal_handler(signal.SIGINT)
