"""What the code of a job is given, and the one way in which its runner writes to the job."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable

import msgspec

from soundstage.core.errors import TooLarge
from soundstage.core.files import DEFAULT_MEDIA_TYPE, File
from soundstage.core.job import ENDED, JobInfo, Progress
from soundstage.runtime.leases import Lease, LeaseLost
from soundstage.runtime.work.outputs import JobFiles, Output
from soundstage.runtime.work.store import STATE_MAX_BYTES, Found, JobStore, Raced, Stored


class EndedMeanwhile(LeaseLost):
    """The job has ended by another's hand, as of who cancelled it before it began; nothing more is written to it."""


class JobWriter:
    """Changes one job under a lease; what others change meanwhile, as who cancels does, is kept."""

    def __init__(self, store: JobStore, lease: Lease, found: Found) -> None:
        self.found: Found = found
        self._store = store
        self._lease = lease
        self._writing = asyncio.Lock()

    @property
    def info(self) -> JobInfo:
        """The job as last read or written here."""
        return self.found.stored.info

    async def change(self, change: Callable[[JobInfo], JobInfo], *, result: bytes | None = None) -> None:
        """The job is as `change` makes it of what it is.

        Raises `LeaseLost` when another process has it, `EndedMeanwhile` when it has ended already.
        """
        async with self._writing:
            while True:
                self._check()
                stored = self._owned(change(self.info))
                try:
                    self.found = await self._store.put(self.found, stored, result=result)
                    return
                except Raced:
                    await self._read_again()

    async def checkpoint(self, state: bytes) -> None:
        """`state` is kept. Raises `LeaseLost`, `EndedMeanwhile`."""
        async with self._writing:
            while True:
                self._check()
                try:
                    self.found = await self._store.checkpoint(Found(self._owned(self.info), self.found.stamp), state)
                    return
                except Raced:
                    await self._read_again()

    async def refresh(self) -> None:
        """`info` shows what others changed."""
        async with self._writing:
            await self._read_again()

    def _check(self) -> None:
        self._lease.check()
        if self.info.state in ENDED:
            raise EndedMeanwhile(f"the job {self.info.job_id} has ended", outcome="not_applied", retryable=False)

    def _owned(self, info: JobInfo) -> Stored:
        return msgspec.structs.replace(self.found.stored, info=info, fence=self._lease.fence)

    async def _read_again(self) -> None:
        self.found = await self._store.find(self.info.job_id)
        if self.found.stored.fence > self._lease.fence:
            raise LeaseLost(f"another process has the job {self.info.job_id}", outcome="not_applied", retryable=False)


class JobContext:
    """A job as its own code sees it.

    `state` is the last checkpoint of an earlier attempt, None in the first one and where the operation restarts
    from nothing. `fence` grows with every attempt: put it in what the job writes elsewhere, and refuse a lesser
    one there. Cancelling the job cancels the task that runs it, as does the loss of its lease.
    """

    def __init__(self, writer: JobWriter, lease: Lease, state: bytes | None, files: JobFiles) -> None:
        self.job_id: str = writer.info.job_id
        self.attempt: int = writer.info.attempt
        self.fence: int = lease.fence
        self.state = state
        self._writer = writer
        self._lease = lease
        self._files = files
        self._progress = writer.info.progress

    def progress(self, done: int, total: int | None = None, unit: str = "", note: str = "") -> None:
        """Tell how far the job is; costs nothing, and is written about once a second."""
        self._progress = Progress(done=done, total=total, unit=unit, note=note)

    async def checkpoint(self, state: bytes) -> None:
        """The job goes on from `state` should its process die; at most 256 KiB, else `TooLarge`.

        Raises `LeaseLost` when another process has the job: stop then, and undo nothing.
        """
        if len(state) > STATE_MAX_BYTES:
            raise TooLarge(f"a checkpoint has at most {STATE_MAX_BYTES} bytes, not {len(state)}", field="state")
        await self.flush()
        await self._writer.checkpoint(state)

    def output(self, name: str, media_type: str = DEFAULT_MEDIA_TYPE) -> Output:
        """A file of the job, to be written within `async with`; kept whole, in place of an earlier one of its name.

        It is deleted when the job does not succeed, and forgotten with the job.
        """
        return self._files.output(self._writer.found.stored, name, media_type, self._keep)

    async def put_aside(self, name: str, data: bytes) -> None:
        """`data` is kept for a later attempt of this job, durably, until the job ends. Put `fence` into the name."""
        self._lease.check()
        await self._files.put_aside(self.job_id, name, data)

    def read_aside(self, name: str) -> AsyncGenerator[bytes]:
        """What was put aside under `name`, in chunks; `NotFound`."""
        return self._files.read_aside(self.job_id, name)

    async def _keep(self, file: File) -> None:
        replaced = [each for each in self._writer.info.files if each.name == file.name]
        await self._writer.change(
            lambda info: msgspec.structs.replace(
                info, files=[*(each for each in info.files if each.name != file.name), file]
            )
        )
        await self._files.forget(msgspec.structs.replace(self._writer.info, files=replaced))

    def check(self) -> None:
        """Raise `LeaseLost` unless nobody else can have the job: before what cannot be taken back."""
        self._lease.check()

    async def flush(self) -> None:
        """The progress told so far is written."""
        progress = self._progress
        if progress != self._writer.info.progress:
            await self._writer.change(lambda info: msgspec.structs.replace(info, progress=progress))
