"""What a job leaves besides its result: files for whoever asks, and pieces that it puts aside for itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import suppress
from types import TracebackType

from soundstage.core.errors import SoundstageError
from soundstage.core.files import DEFAULT_MEDIA_TYPE, File
from soundstage.core.job import JobInfo
from soundstage.core.transfers import CHUNK_BYTES
from soundstage.runtime.files import Files
from soundstage.runtime.leases import LeaseLost
from soundstage.runtime.work.store import Stored

WAITING_MAX = 4
"""Chunks of an output that wait to be kept; who writes more waits."""


class Output:
    """A file that a job writes: whole once the `async with` block ends, gone when that fails.

    async with job.output("ratings.csv", "text/csv") as output:
        await output.write(b"user,film,stars")
    print(output.file)
    """

    def __init__(
        self,
        keep: Callable[[AsyncGenerator[bytes]], Awaitable[File]],
        kept: Callable[[File], Awaitable[None]],
        drop: Callable[[File], Awaitable[object]],
    ) -> None:
        self._keep = keep
        self._kept = kept
        self._drop = drop
        self._waiting: asyncio.Queue[bytes | None] = asyncio.Queue(WAITING_MAX)
        self._keeping: asyncio.Future[File] | None = None
        self._file: File | None = None

    @property
    def file(self) -> File:
        """The file, once it is whole."""
        if self._file is None:
            raise RuntimeError("the file is whole after the `async with` block")
        return self._file

    async def write(self, data: bytes) -> None:
        """`data` comes next; waits while too much does. Raises why the file cannot be kept."""
        for at in range(0, len(data), CHUNK_BYTES):
            await self._put(data[at : at + CHUNK_BYTES])

    async def __aenter__(self) -> Output:
        self._keeping = asyncio.ensure_future(self._keep(self._chunks()))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._keeping is not None
        try:
            if error is None:
                await self._put(None)
                self._file = await self._keeping
        finally:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        if self._file is not None:
            await self._tell(self._file)

    async def _tell(self, file: File) -> None:
        """The job has the file. What became of a write that failed is unknown, and left to the end of the job."""
        try:
            await self._kept(file)
        except LeaseLost:
            # The job may have ended elsewhere, and nobody would look for its files again.
            with suppress(SoundstageError):
                await self._drop(file)
            raise

    async def _put(self, chunk: bytes | None) -> None:
        assert self._keeping is not None
        putting = asyncio.ensure_future(self._waiting.put(chunk))
        try:
            await asyncio.wait({putting, self._keeping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            putting.cancel()
        if self._keeping.done() and chunk is not None:
            self._keeping.result()

    async def _chunks(self) -> AsyncGenerator[bytes]:
        while (chunk := await self._waiting.get()) is not None:
            yield chunk


class JobFiles:
    """The files of one job, kept for as long as the job is remembered."""

    def __init__(self, files: Files, ttl_us: int) -> None:
        self._files = files
        self._ttl_us = ttl_us

    def output(self, job: Stored, name: str, media_type: str, kept: Callable[[File], Awaitable[None]]) -> Output:
        """A file that whoever started the job may read, and who may read its namespaces."""

        async def keep(chunks: AsyncGenerator[bytes]) -> File:
            return await self._files.put(
                chunks,
                job.owner_of_files,
                name=name,
                media_type=media_type or DEFAULT_MEDIA_TYPE,
                namespaces=job.info.namespaces,
                ttl_us=self._ttl_us,
                job=job.info.job_id,
            )

        return Output(keep, kept, self._files.delete)

    async def put_aside(self, job_id: str, name: str, data: bytes) -> None:
        """`data` is kept for the job itself until it ends."""
        await self._files.put_aside(f"{job_id}/{name}", data, self._ttl_us)

    def read_aside(self, job_id: str, name: str) -> AsyncGenerator[bytes]:
        """What was put aside; `NotFound`."""
        return self._files.read_aside(f"{job_id}/{name}")

    async def forget(self, info: JobInfo) -> None:
        """The files that the job left are gone."""
        for file in info.files:
            await self._files.delete(file)

    async def unfinished(self) -> set[str]:
        """The ids of jobs that put something aside which is still there."""
        return {place.partition("/")[0] for place in await self._files.aside()}

    async def clear(self, info: JobInfo, keeping: Sequence[File] = ()) -> None:
        """The files of the job but those of `keeping`, and what it put aside, are gone.

        Files that the job was cut off from telling of are found too; what cannot be removed now expires.
        """
        kept = {file.blob for file in keeping}
        with suppress(SoundstageError):
            await self.clear_aside(info.job_id)
            told = [file.blob for file in info.files]
            for blob in sorted({*told, *await self._files.of_job(info.job_id)} - kept):
                await self._files.delete(blob)

    async def clear_aside(self, job_id: str) -> None:
        """What the job put aside is gone."""
        await self._files.clear_aside(f"{job_id}/")
