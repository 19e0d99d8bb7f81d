"""Carries jobs out: takes queued ones and those whose process died, one lease each."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec

from soundstage.core.call import Call
from soundstage.core.codec import decoder, msgpack_encode
from soundstage.core.environment import Environment
from soundstage.core.errors import DeadlineExceeded, Internal, NotFound, SoundstageError, TooLarge, Unavailable
from soundstage.core.ids import uuid7_ms
from soundstage.core.job import ENDED, JobInfo, JobState
from soundstage.core.operation import Operation
from soundstage.runtime.leases import Lease, LeaseLost, Leases
from soundstage.runtime.patience import within
from soundstage.runtime.systems import Systems
from soundstage.runtime.work.context import EndedMeanwhile, JobContext, JobWriter
from soundstage.runtime.work.control import JobControl, lease_of
from soundstage.runtime.work.starter import Starters
from soundstage.runtime.work.store import RESULT_MAX_BYTES, Found

log: logging.Logger = logging.getLogger("soundstage.jobs")

ABANDONED_MS = 60_000
"""A job that is queued and not there after so long was never started: its process died."""


PAUSE_S = 0.02
"""Between two looks at the queue, however quickly it grows."""

LOOKING_SHARE = 0.1
"""Of the time goes by with looks at the queue, however much has left it lately."""


class JobRunner:
    """The jobs that this process carries out; `run` is a role of the stage."""

    def __init__(
        self, control: JobControl, leases: Leases, systems: Systems, starters: Starters, environment: Environment
    ) -> None:
        self.ended: Counter[tuple[str, JobState]] = Counter()
        self._control = control
        self._store = control.store
        self._leases = leases
        self._systems = systems
        self._starters = starters
        self._refused: dict[str, SoundstageError] = {}
        self._files = control.files
        self._environment = environment
        self._carrying: dict[str, asyncio.Task[bool]] = {}
        self._places = control.places
        self._known: dict[str, str] = {}
        self._working: dict[str, asyncio.Task[Any]] = {}
        self._unreadable: set[str] = set()
        self._stopping = False
        self._store.listeners.append(self._hear)

    @property
    def running(self) -> int:
        """Jobs under way in this process."""
        return len(self._working)

    async def run(self) -> None:
        """Jobs are carried out as they come, until cancelled; what is under way then is given back."""
        self._stopping = False
        try:
            await self._tidy_up()
            while True:
                seen = self._store.queue.count
                began_ns = self._environment.monotonic_ns()
                await self._look()
                took_s = (self._environment.monotonic_ns() - began_ns) / 1e9
                await self._environment.sleep(min(1.0, max(PAUSE_S, took_s / LOOKING_SHARE)))
                poll_s = self._control.config.poll_interval / 1e9
                await within(self._environment, poll_s, self._store.queue.wait(seen))
        finally:
            await self.stop()

    async def stop(self) -> None:
        """No job is under way here: those that can go on elsewhere wait for it, the others have failed."""
        self._stopping = True
        for task in self._working.values():
            task.cancel()
        await asyncio.gather(*self._carrying.values(), return_exceptions=True)

    async def _tidy_up(self) -> None:
        """What jobs put aside is gone whose process died between their end and their tidying up."""
        try:
            for job_id in await self._files.unfinished():
                if not await self._control.is_busy(job_id):
                    await self._files.clear_aside(job_id)
        except SoundstageError as error:
            log.warning("what ended jobs put aside cannot be removed", extra={"reason": str(error)})

    async def _look(self) -> None:
        """Every job that may begin, and fits, has begun."""
        if len(self._carrying) >= self._control.config.running:
            return
        try:
            waiting = await self._store.open()
            self._known = {job_id: self._known[job_id] for job_id in waiting if job_id in self._known}
            self._unreadable.intersection_update(waiting)
            await self._places.look()
            full = False
            for job_id in waiting:
                if len(self._carrying) >= self._control.config.running:
                    return
                if not self._fits(job_id):
                    full = True
                elif job_id not in self._carrying:
                    await self._considered(job_id)
            if full:
                await self._places.tidy_up()
        except SoundstageError as error:
            log.warning("jobs cannot be looked for", extra={"reason": str(error)})

    async def _considered(self, job_id: str) -> None:
        """As `_consider`, but that a job which cannot be read keeps none behind it waiting."""
        try:
            await self._consider(job_id)
        except (Unavailable, DeadlineExceeded):
            # The store would answer for the others no better.
            raise
        except Exception:
            if job_id not in self._unreadable:
                self._unreadable.add(job_id)
                log.exception("a job cannot be read, and is passed over", extra={"job": job_id})

    async def _consider(self, job_id: str) -> None:
        """The job is carried out here, or was found not to be: it has ended, does not fit, or is another's."""
        try:
            info = (await self._store.find(job_id)).stored.info
        except NotFound:
            if self._age_ms(job_id) > ABANDONED_MS:
                await self._store.leave_queue(job_id)
            return
        self._known[job_id] = _place(info)
        if info.state in ENDED:
            await self._clear_away(job_id)
        elif self._fits(job_id):
            await self._take(job_id)

    async def _clear_away(self, job_id: str) -> None:
        """A job that has ended is out of the queue, and its lease is forgotten; not while another is at it still."""
        lease = await self._leases.take(lease_of(job_id), self._control.config.lease / 1e9)
        if lease is not None:
            await self._store.leave_queue(job_id)
            await self._leases.forget(lease.name)

    async def _take(self, job_id: str) -> None:
        """The job has a place here for as long as its lease is held here: what others carry out takes up none."""
        settled: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def settle() -> None:
            if not settled.done():
                settled.set_result(None)

        def forget(carried: asyncio.Task[bool]) -> None:
            self._carrying.pop(job_id, None)
            if not carried.cancelled() and carried.result():
                self._store.queue.notify()
            settle()

        task = self._carrying[job_id] = asyncio.ensure_future(self._carry_out(job_id, settle))
        task.add_done_callback(forget)
        await settled

    def _fits(self, job_id: str) -> bool:
        """Whether the stage has a place for the job, as far as its operation is known without a read."""
        return self._places.fits(job_id, self._known.get(job_id))

    async def _carry_out(self, job_id: str, taken: Callable[[], None]) -> bool:
        """The job is carried out under its lease, unless another has that; `taken` is told once it has its place.

        Returns whether it has ended here.
        """
        lease_s = self._control.config.lease / 1e9
        try:
            lease = await self._leases.take(lease_of(job_id), lease_s)
            if lease is not None:
                return await self._leases.hold(lease, lease_s, lambda lease: self._begin(job_id, lease, taken))
        except LeaseLost:
            log.warning("a job was lost to another process", extra={"job": job_id})
        except SoundstageError as error:
            log.warning("a job is put off", extra={"job": job_id, "reason": str(error)})
        except Exception:
            log.exception("a job could not be carried out by a defect", extra={"job": job_id})
        return False

    async def _begin(self, job_id: str, lease: Lease, taken: Callable[[], None]) -> bool:
        writer = JobWriter(self._store, lease, await self._store.find(job_id))
        if not await self._places.take(job_id, _place(writer.info), lease.fence):
            return False
        taken()
        with suppress(EndedMeanwhile):
            await self._proceed(writer, lease)
        await self._places.give_back(job_id, lease.fence)
        ended = writer.info.state in ENDED
        if ended:
            # No one takes it again, so that its fencing number need not be remembered.
            await self._leases.forget(lease.name)
        return ended

    async def _proceed(self, writer: JobWriter, lease: Lease) -> None:
        """The job is carried out, or ends for one of the reasons not to begin it."""
        info, restart = writer.info, writer.found.stored.restart
        if info.cancelling and info.state not in ENDED:
            await self._end(writer, "cancelled")
        elif info.state == "running" and (restart == "fail" or info.attempt >= self._control.config.attempts):
            await self._end(writer, "failed", _died(info))
        elif info.state not in ENDED:
            await self._attempt(writer, lease)

    async def _attempt(self, writer: JobWriter, lease: Lease) -> None:
        job_id, restart = writer.info.job_id, writer.found.stored.restart
        state = await self._store.state(job_id) if restart == "resume" else None
        began = self._control.now()
        earlier = writer.info
        files = earlier.files if restart == "resume" else []
        await writer.change(
            lambda info: msgspec.structs.replace(
                info, state="running", attempt=info.attempt + 1, started_at=info.started_at or began, files=files
            )
        )
        if not files:
            await self._files.forget(earlier)
        if self._stopping:
            await self._give_up(writer)
        else:
            await self._work(writer, JobContext(writer, lease, state, self._files))

    async def _work(self, writer: JobWriter, context: JobContext) -> None:
        job_id = context.job_id
        working = self._working[job_id] = asyncio.ensure_future(self._done(writer, context))
        watching = asyncio.ensure_future(self._watch(writer, context, working))
        try:
            await asyncio.wait({working})
        finally:
            watching.cancel()
            working.cancel()
            await asyncio.gather(watching, working, return_exceptions=True)
            self._working.pop(job_id, None)
        try:
            await self._conclude(writer, context, working)
        finally:
            self._refused.pop(job_id, None)

    async def _done(self, writer: JobWriter, context: JobContext) -> bytes:
        """The result of the job's own code, encoded."""
        info = writer.info
        operation: Operation[..., Any] = self._systems.operations(info.system)[info.operation]
        request = decoder(operation.request, "application/msgpack", strict=False).decode(writer.found.stored.request)
        service = await self._systems.started(info.system)
        call = Call(principal=await self._starters.found(writer.found.stored), request_id=info.job_id)
        result = msgpack_encode(await getattr(service, operation.attribute)(call, request, context))
        if len(result) > RESULT_MAX_BYTES:
            raise TooLarge(f"the result has more than {RESULT_MAX_BYTES} bytes", hint="give large results as files")
        return result

    async def _watch(self, writer: JobWriter, context: JobContext, working: asyncio.Task[bytes]) -> None:
        """Writes progress, and looks whether the job was cancelled; ends with it."""
        while True:
            await self._environment.sleep(min(1.0, self._control.config.poll_interval / 1e9))
            try:
                await context.flush()
                await writer.refresh()
            except LeaseLost:
                working.cancel()
                return
            except SoundstageError:
                continue
            if writer.info.cancelling or self._is_refused(writer):
                working.cancel()
                return

    def _is_refused(self, writer: JobWriter) -> bool:
        """Whether who started the job may not do what it does any more."""
        try:
            self._starters.of(writer.found.stored)
        except SoundstageError as error:
            self._refused[writer.info.job_id] = error
            return True
        return False

    def _hear(self, found: Found) -> None:
        """What this process writes of a job that a caller wants to end is heard of at once."""
        working = self._working.get(found.stored.info.job_id)
        if working is not None and found.stored.info.cancelling and not working.cancelling():
            working.cancel()

    async def _conclude(self, writer: JobWriter, context: JobContext, working: asyncio.Task[bytes]) -> None:
        """What became of the job's code is written. Raises `LeaseLost` when the job is another process's."""
        context.check()
        await context.flush()
        if working.cancelled():
            await writer.refresh()
            await self._give_up(writer)
            return
        error = working.exception()
        if error is None:
            await self._end(writer, "succeeded", result=working.result())
        else:
            await self._end(writer, "failed", self._told(error, writer.info))

    async def _give_up(self, writer: JobWriter) -> None:
        """The code of the job was cancelled: by a caller, or because this process stops."""
        refused = self._refused.pop(writer.info.job_id, None)
        if writer.info.cancelling:
            await self._end(writer, "cancelled")
        elif refused is not None:
            await self._end(writer, "failed", refused)
        elif not self._stopping:
            await self._end(writer, "failed", self._told(asyncio.CancelledError(), writer.info))
        elif writer.found.stored.restart == "fail":
            await self._end(writer, "failed", Unavailable("the stage stopped during the job", retryable=False))
        else:
            # The attempt was none of the job's fault.
            await writer.change(
                lambda info: msgspec.structs.replace(info, state="queued", attempt=max(0, info.attempt - 1))
            )

    async def _end(
        self, writer: JobWriter, state: JobState, error: SoundstageError | None = None, *, result: bytes | None = None
    ) -> None:
        problem = None if error is None else error.problem(writer.info.job_id)
        ended = self._control.now()
        left = writer.info
        files = left.files if state == "succeeded" else []
        await writer.change(
            lambda info: msgspec.structs.replace(info, state=state, ended_at=ended, error=problem, files=files),
            result=result,
        )
        self.ended[_place(writer.info), state] += 1
        await self._files.clear(left, keeping=files)

    def _told(self, error: BaseException, info: JobInfo) -> SoundstageError:
        if isinstance(error, SoundstageError):
            return error
        log.error("a job failed by a defect", exc_info=error, extra={"job": info.job_id, "operation": _place(info)})
        return Internal("the job failed by a defect", hint=f"the log has the details under the job {info.job_id}")

    def _age_ms(self, job_id: str) -> int:
        return self._environment.now_us() // 1_000 - uuid7_ms(job_id)


def _place(info: JobInfo) -> str:
    return f"{info.system}/{info.operation}"


def _died(info: JobInfo) -> Unavailable:
    return Unavailable(
        f"the process that carried out the job died, in attempt {info.attempt}",
        hint="see its log; start the job again once the reason is gone",
        outcome="unknown",
        retryable=False,
    )


class Administered(msgspec.Struct, frozen=True):
    """The part of the stage that this system makes reachable."""

    control: JobControl
    runner: JobRunner
    systems: Systems
