"""Calls of the blobs port as tests make them, and what came of them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Coroutine

from soundstage.core.errors import NotFound, Unavailable
from soundstage.engines.blobs.port import BlobInfo, Blobs, Expectation
from soundstage.testing.blobs.disk import Held


def content_of(size: int, seed: int = 1) -> bytes:
    """Bytes that look like nothing, and are the same every time."""
    return hashlib.shake_128(seed.to_bytes(4, "big")).digest(size)


async def in_chunks(content: bytes, size: int = 100_000) -> AsyncIterator[bytes]:
    """The content as an upload brings it."""
    for at in range(0, len(content), size):
        yield content[at : at + size]


async def put(blobs: Blobs, key: str, content: bytes = b"x", expires_us: int = 0, **expect: object) -> BlobInfo:
    """The blob stored in one go."""
    return await blobs.put(key, in_chunks(content), expect=Expectation(**expect), expires_us=expires_us)  # pyright: ignore[reportArgumentType]


async def read(blobs: Blobs, key: str, start: int = 0, end: int | None = None) -> bytes:
    """The blob, or a range of it, in one piece."""
    return b"".join([chunk async for chunk in blobs.open(key, start, end)])


async def keys(blobs: Blobs, prefix: str = "", after: str = "", limit: int = 1_000) -> list[str]:
    return [info.key for info in await blobs.list(prefix, after, limit)]


async def state(blobs: Blobs, key: str) -> bytes | None:
    """The blob as `head`, `list` and `open` have it, which agree; None where there is none."""
    try:
        content = await read(blobs, key)
    except NotFound:
        content = None
    assert (key in await keys(blobs)) == (content is not None)
    return content


async def attempted(change: Coroutine[None, None, object]) -> str:
    """The outcome of a change: `applied`, or as its error tells."""
    try:
        await change
    except Unavailable as error:
        return error.outcome or "unknown"
    return "applied"


async def cancelled(change: Coroutine[None, None, object], held: Held) -> None:
    """The change was cancelled, several times, while the disk was at work; or had ended before."""
    changing = asyncio.ensure_future(change)
    reaching = asyncio.ensure_future(held.reached.wait())
    await asyncio.wait((changing, reaching), return_when=asyncio.FIRST_COMPLETED)
    for _ in range(3):
        changing.cancel()
        await asyncio.sleep(0)
    held.release()
    await asyncio.gather(changing, return_exceptions=True)
    reaching.cancel()
