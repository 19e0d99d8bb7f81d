"""Uploads and downloads on the command line: files, standard input and output, and a bar while they pass."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import AbstractContextManager, aclosing, nullcontext, suppress
from typing import Any, BinaryIO, cast

from soundstage.core.errors import InvalidArgument
from soundstage.core.operation import Operation
from soundstage.core.streaming import Reading
from soundstage.core.transfers import save
from soundstage.surface.cli.failure import DONE, usage
from soundstage.surface.cli.options import Target
from soundstage.surface.cli.output import Format, show
from soundstage.surface.cli.progress import Report, bar
from soundstage.surface.cli.target import reached

STANDARD = "-"
"""In place of a path: standard input, or standard output."""


def send_file(operation: Operation[..., Any], request: Any, target: Target, output: Format, file: str | None) -> int:
    """The bytes of `file` are sent with `request`, and the reply is printed."""
    if file is None and sys.stdin.isatty():
        raise usage("there is nothing to send", hint="give --file, or pipe something in", field="file")
    chosen = file or STANDARD

    async def send() -> None:
        async with reached(target, reads=False) as stage:
            with _opened(chosen) as stream, bar(os.path.basename(chosen)) as report:
                reply = await stage.upload(operation, request, cast("BinaryIO", Watched(stream, report)))
            show(reply, output)

    asyncio.run(send())
    return DONE


def write_file(operation: Operation[..., Any], request: Any, target: Target, out: str | None) -> int:
    """What `request` names is in the file `out`, whole, or on standard output."""
    if out is None and sys.stdout.isatty():
        raise usage("bytes are not for a terminal", hint="give --out FILE, or pipe them on", field="out")
    to = sys.stdout.buffer if out in (None, STANDARD) else str(out)

    async def write() -> None:
        async with reached(target, reads=True) as stage, stage.download(operation, request) as reading:
            with bar(out or STANDARD) as report:
                async with aclosing(_watched(reading, report)) as chunks:
                    await save(chunks, to)

    asyncio.run(write())
    if to is sys.stdout.buffer:
        sys.stdout.buffer.flush()
    return DONE


class Watched:
    """A binary stream whose reading is reported; it may be read again where that one may."""

    def __init__(self, stream: BinaryIO, report: Report) -> None:
        self._stream = stream
        self._report = report
        self._done = 0
        self._total: int | None = None
        with suppress(OSError):
            self._total = os.fstat(stream.fileno()).st_size if stream.seekable() else None

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        data = self._stream.read(size)
        self._done += len(data)
        self._report(self._done, self._total, "")
        return data

    def seekable(self) -> bool:
        """As the stream."""
        return self._stream.seekable()

    def tell(self) -> int:
        """As the stream."""
        return self._stream.tell()

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As the stream."""
        self._done = self._stream.seek(offset, whence)
        return self._done


def _opened(path: str) -> AbstractContextManager[BinaryIO]:
    if path == STANDARD:
        return nullcontext(sys.stdin.buffer)
    try:
        return open(path, "rb")
    except OSError as error:
        raise InvalidArgument(f"{path} cannot be read: {error.strerror or error}", field="file") from None


async def _watched(reading: Reading[Any], report: Report) -> AsyncGenerator[bytes]:
    done = 0
    async with aclosing(reading.__aiter__()) as chunks:
        async for chunk in chunks:
            done += len(chunk)
            report(done, reading.end - reading.start, "")
            yield chunk
