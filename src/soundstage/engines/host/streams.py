"""Streams of bytes over a connection, each with no more under way than its reader has asked for."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterator

from soundstage.engines.host.frames import WINDOW_BYTES, Broken

CHUNK_BYTES = 256 << 10
"""Longer chunks travel in parts."""


class Incoming:
    """The reading end. `credit` tells the other side how many more bytes it may send."""

    def __init__(self, credit: Callable[[int], None]) -> None:
        self._credit = credit
        self._chunks: deque[bytes] = deque()
        self._granted = 0
        self._ended: BaseException | bool = False
        self._news = asyncio.Event()

    def put(self, chunk: bytes) -> None:
        """A chunk has come. Raises `Broken` when more come than were asked for."""
        self._granted -= len(chunk)
        if self._granted < 0 or not chunk:
            raise Broken("more of a stream than was asked for")
        self._chunks.append(chunk)
        self._news.set()

    def end(self, error: BaseException | None = None) -> None:
        """Nothing more comes: all has, or `error` is why not."""
        self._ended = error or True
        self._news.set()

    async def chunks(self) -> AsyncGenerator[bytes]:
        """What comes, to its end; the first bytes are asked for with the first step."""
        self._grant(WINDOW_BYTES)
        while True:
            while self._chunks:
                chunk = self._chunks.popleft()
                yield chunk
                self._grant(len(chunk))
            if isinstance(self._ended, BaseException):
                raise self._ended
            if self._ended:
                return
            self._news.clear()
            await self._news.wait()

    def _grant(self, size: int) -> None:
        self._granted += size
        if not self._ended:
            self._credit(size)


class Outgoing:
    """The writing end: sends no more than was asked for."""

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send
        self._credit = 0
        self._closed = False
        self._news = asyncio.Event()

    def credit(self, size: int) -> None:
        """The reader takes so many more bytes."""
        self._credit += size
        self._news.set()

    def close(self) -> None:
        """Nobody reads any more; what is written from now on is dropped."""
        self._closed = True
        self._news.set()

    async def asked(self) -> bool:
        """Whether the reader wants more, once that is known."""
        while not self._closed and self._credit <= 0:
            self._news.clear()
            await self._news.wait()
        return not self._closed

    async def write(self, chunks: AsyncIterable[bytes]) -> bool:
        """All of `chunks` was sent; false when the reader went away before. What `chunks` raises goes through.

        `chunks` is not touched before the reader asks for the first byte.
        """
        if not await self.asked():
            return False
        async for chunk in chunks:
            for part in _parts(chunk):
                if not await self._fits(part):
                    return False
                self._credit -= len(part)
                self._send(part)
        return True

    async def _fits(self, part: bytes) -> bool:
        while not self._closed and self._credit < len(part):
            self._news.clear()
            await self._news.wait()
        return not self._closed


def _parts(chunk: bytes) -> Iterator[bytes]:
    if len(chunk) <= CHUNK_BYTES:
        if chunk:
            yield bytes(chunk)
        return
    with memoryview(chunk) as view:
        for at in range(0, len(chunk), CHUNK_BYTES):
            yield bytes(view[at : at + CHUNK_BYTES])
