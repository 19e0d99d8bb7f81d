"""An object as it was when it was looked at, and its bytes, each block of them proven before any of it is given."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any, NamedTuple

from xxhash import xxh3_64_digest

from soundstage.core.errors import Unavailable
from soundstage.engines.blobs import refusals
from soundstage.engines.blobs.port import CHUNK_MAX_BYTES
from soundstage.engines.blobs.s3 import driver
from soundstage.engines.blobs.s3.failures import Changed, Missing, OutOfRange, failure
from soundstage.engines.blobs.s3.layout import BLOCK_BYTES, SEAL_BYTES, SUM_BYTES, Foreign, Seal, blocks, unsealed
from soundstage.engines.blobs.s3.link import Link

TAIL_BYTES = 64 << 10
"""What a read asks for first: a small blob whole, or the sums of one of up to 7 GiB."""

RESUMES_MAX = 5
"""How often in a row, without a block between, a stream that broke off is taken up again."""


class Look(NamedTuple):
    """What the end of an object tells; `tail` is its last bytes."""

    name: str
    etag: str
    size: int
    tail: bytes
    seal: Seal


async def look(link: Link, name: str, tail_bytes: int = SEAL_BYTES, *, apart: bool = False) -> Look:
    """The object called `name`; `apart`: the bytes of the blob are not in it.

    Raises `Missing`, `Foreign`, and what `Link.ask` raises.
    """
    try:
        answer = await link.ask("get_object", reading=True, whole=True, Key=name, Range=f"bytes=-{tail_bytes}")
    except OutOfRange:
        raise Foreign("it is empty") from None
    tail: bytes = answer["Body"]
    size = _whole_size(answer)
    size = len(tail) if size is None else size
    return Look(name, answer["ETag"], size, tail, unsealed(tail, size, apart=apart))


def _whole_size(answer: Any) -> int | None:
    """How long the object is of which there is a range in an answer; None where that is not told."""
    said = str(answer.get("ContentRange") or "").rpartition("/")[2]
    return int(said) if said.isdecimal() else None


class Replaced(Exception):
    """The object is not the one that was looked at, and none of it was given; never leaves the engine."""


class Stream:
    """The bytes of an object that was looked at, from `start` to before `end`; `apart` is the one that has them."""

    def __init__(self, link: Link, seen: Look, start: int, end: int, apart: str | None = None) -> None:
        self._link = link
        self._seen = seen
        self._apart = apart
        self._key = seen.seal.info.key
        self._size = seen.seal.info.size
        self._start, self._end = start, end
        self._first = start // BLOCK_BYTES
        self._after = blocks(end)
        self._sums = b""
        self._given = False

    async def chunks(self) -> AsyncGenerator[bytes]:
        """Chunks of bounded size. Raises `Replaced` before the first of them, `DataLoss`, `Unavailable`."""
        if self._start >= self._end:
            return
        sums = self._size if self._apart is None else 0
        self._sums = await self._part(sums + SUM_BYTES * self._first, sums + SUM_BYTES * self._after)
        block, resumes = self._first, 0
        while block < self._after:
            begun = block
            stream = self._blocks(block)
            try:
                async for data in stream:
                    for chunk in self._wanted(block, data):
                        self._given = True
                        yield chunk
                    block += 1
            except driver.ERRORS as error:
                resumes = resumes + 1 if block == begun else 0
                if resumes >= RESUMES_MAX:
                    raise failure(error, self._link.bucket, reading=True).error from None
            finally:
                await stream.aclose()

    async def _blocks(self, first: int) -> AsyncGenerator[bytes]:
        """The blocks from `first` on, proven, of one request; what the driver raises goes through."""
        begin, end = first * BLOCK_BYTES, min(self._after * BLOCK_BYTES, self._size)
        if self._apart is None and begin >= self._seen.size - len(self._seen.tail):
            data = await self._part(begin, end)
            for at in range(0, len(data), BLOCK_BYTES):
                yield self._proven(first + at // BLOCK_BYTES, data[at : at + BLOCK_BYTES])
            return
        if self._apart is None:
            body = await self._of_object(begin, end, whole=False)
        else:
            body = await self._of(self._apart, begin, end)
        try:
            for block in range(first, self._after):
                wanted = min(BLOCK_BYTES, end - block * BLOCK_BYTES)
                yield self._proven(block, await _exactly(body, wanted))
            # To the end, so that the connection is free for others.
            await body.read(1)
        finally:
            body.close()

    async def _part(self, begin: int, end: int) -> bytes:
        """The bytes of the object from `begin` to before `end`: those of its tail that is there, or asked for."""
        before = self._seen.size - len(self._seen.tail)
        if begin >= before:
            return self._seen.tail[begin - before : end - before]
        return await self._of_object(begin, end, whole=True)

    async def _of_object(self, begin: int, end: int, *, whole: bool) -> Any:
        """Bytes of the object that was looked at."""
        wanted: dict[str, Any] = {"Range": f"bytes={begin}-{end - 1}", "IfMatch": self._seen.etag}
        try:
            answer = await self._link.ask("get_object", reading=True, whole=whole, Key=self._seen.name, **wanted)
        except (Changed, Missing, OutOfRange):
            raise self._replaced() from None
        return answer["Body"]

    async def _of(self, apart: str, begin: int, end: int) -> Any:
        """Bytes of the object that has them, which no put changes."""
        wanted = f"bytes={begin}-{end - 1}"
        try:
            answer = await self._link.ask("get_object", reading=True, Key=apart, Range=wanted)
        except (Missing, OutOfRange):
            raise self._replaced() from None
        if _whole_size(answer) not in (None, self._size):
            answer["Body"].close()
            raise self._replaced()
        return answer["Body"]

    def _replaced(self) -> Exception:
        if not self._given:
            return Replaced()
        return Unavailable(
            f"the blob {self._key!r} was replaced or deleted after the stream of it broke off",
            hint="read it again",
            outcome="not_applied",
        )

    def _proven(self, block: int, data: bytes) -> bytes:
        at = SUM_BYTES * (block - self._first)
        if xxh3_64_digest(data) != self._sums[at : at + SUM_BYTES]:
            raise refusals.damaged(self._key)
        return data

    def _wanted(self, block: int, data: bytes) -> list[bytes]:
        """What was asked for of a block, in chunks."""
        begin = max(0, self._start - block * BLOCK_BYTES)
        end = min(len(data), self._end - block * BLOCK_BYTES)
        return [data[at : min(at + CHUNK_MAX_BYTES, end)] for at in range(begin, end, CHUNK_MAX_BYTES)]


async def _exactly(body: Any, size: int) -> bytes:
    """`size` bytes of a stream; an error of the driver's when it ends before."""
    parts: list[bytes] = []
    left = size
    while left:
        try:
            part = await body.read(left)
        except asyncio.CancelledError:
            with suppress(*driver.ERRORS):
                body.close()
            raise
        if not part:
            raise ConnectionResetError("the server ended the stream before its end")
        parts.append(part)
        left -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)
