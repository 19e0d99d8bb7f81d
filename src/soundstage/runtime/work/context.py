"""What the code of a job is given, and the one way in which its runner writes to the job."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from soundstage.core.errors import TooLarge
from soundstage.core.job import JobInfo, Progress
from soundstage.runtime.leases import Lease, LeaseLost
from soundstage.runtime.work.store import STATE_MAX_BYTES, Found, JobStore, Raced, Stored


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
        """The job is as `change` makes it of what it is. Raises `LeaseLost` when another process has it."""
        async with self._writing:
            while True:
                self._lease.check()
                stored = self._owned(change(self.info))
                try:
                    self.found = await self._store.put(self.found, stored, result=result)
                    return
                except Raced:
                    await self._read_again()

    async def checkpoint(self, state: bytes) -> None:
        """`state` is kept. Raises `LeaseLost`."""
        async with self._writing:
            while True:
                self._lease.check()
                try:
                    self.found = await self._store.checkpoint(Found(self._owned(self.info), self.found.stamp), state)
                    return
                except Raced:
                    await self._read_again()

    async def refresh(self) -> None:
        """`info` shows what others changed."""
        async with self._writing:
            await self._read_again()

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

    def __init__(self, writer: JobWriter, lease: Lease, state: bytes | None) -> None:
        self.job_id: str = writer.info.job_id
        self.attempt: int = writer.info.attempt
        self.fence: int = lease.fence
        self.state = state
        self._writer = writer
        self._lease = lease
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

    def check(self) -> None:
        """Raise `LeaseLost` unless nobody else can have the job: before what cannot be taken back."""
        self._lease.check()

    async def flush(self) -> None:
        """The progress told so far is written."""
        progress = self._progress
        if progress != self._writer.info.progress:
            await self._writer.change(lambda info: msgspec.structs.replace(info, progress=progress))
