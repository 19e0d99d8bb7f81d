"""The side that uses an engine: one connection to the process that has it, and the calls under way on it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from contextlib import suppress
from typing import Any

import msgspec

from soundstage.core.errors import SoundstageError, from_problem
from soundstage.engines.host import refusals
from soundstage.engines.host.contract import encode
from soundstage.engines.host.frames import (
    CALL,
    CANCEL,
    CHUNK,
    CREDIT,
    END,
    FRAME_MAX_BYTES,
    HELLO,
    PING,
    PROBLEM,
    RESULT,
    WELCOME,
    Broken,
    Frame,
    FramedProtocol,
    Hello,
    Welcome,
)
from soundstage.engines.host.streams import Incoming, Outgoing

CALLS_MAX = 1_024
"""Under way at a time; more wait for their turn."""

BYTES_MAX = 64 << 20
"""Of arguments under way; a call with more goes alone."""

WAITING_MAX = 16_384

PING_S = 5.0
SILENT_PINGS_MAX = 3
"""So often the other side may leave unanswered that it is asked for a sign of life."""


class Link(FramedProtocol):
    """A connection for the engine called `engine`. `lost` is told once, when it is closed and was not by us."""

    def __init__(self, engine: str, lost: Callable[[], None]) -> None:
        super().__init__()
        self._engine = engine
        self._lost = lost
        self._answers: dict[int, asyncio.Future[bytes]] = {}
        self._uploads: dict[int, Outgoing] = {}
        self._downloads: dict[int, Incoming] = {}
        self._waiting: deque[asyncio.Event] = deque()
        self._calls = 0
        self._bytes = 0
        self._last = 0
        self._welcome: asyncio.Future[Welcome] = self._loop.create_future()
        self._closed = False
        self._silent = 0
        self._watch: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._watch = self._loop.call_later(PING_S, self._listen)

    def connection_lost(self, exc: Exception | None) -> None:
        was_closed = self._closed
        self._end()
        if not was_closed:
            self._lost()

    def data_received(self, data: bytes) -> None:
        self._silent = 0
        try:
            for frame in self._inbox.feed(data):
                self._take(frame)
        except (Broken, msgspec.MsgspecError):
            self._transport.abort()

    async def greet(self, hello: Hello) -> Welcome:
        """What the other side says of the engine. Raises its refusal, or `Unavailable`."""
        self._send(HELLO, 0, 0, encode(hello))
        return await self._welcome

    async def call(self, method: int, body: bytes) -> bytes:
        """The result of a call. Raises the engine's error; `Unavailable` when the connection is lost meanwhile."""
        number, answer = await self._enter(method, body)
        try:
            return await answer
        except asyncio.CancelledError:
            self._send(CANCEL, 0, number)
            raise
        finally:
            self._leave(number, body)

    async def upload(self, method: int, body: bytes, chunks: AsyncIterable[bytes]) -> bytes:
        """The result of a call that takes a stream. What `chunks` raises goes through, and nothing was done then."""
        number, answer = await self._enter(method, body)
        outgoing = self._uploads[number] = Outgoing(lambda chunk: self._send(CHUNK, 0, number, chunk))
        answer.add_done_callback(lambda _: outgoing.close())
        try:
            if await outgoing.write(chunks):
                self._send(END, 0, number)
            return await answer
        except BaseException:
            if not answer.done():
                self._send(CANCEL, 0, number)
                # What was begun is undone before the caller hears of it.
                with suppress(SoundstageError):
                    await answer
            raise
        finally:
            del self._uploads[number]
            self._leave(number, body)

    async def download(self, method: int, body: bytes) -> AsyncGenerator[bytes]:
        """The stream that a call gives; closing it early ends it on the other side too."""
        number, answer = await self._enter(method, body)
        incoming = self._downloads[number] = Incoming(
            lambda size: self._send(CREDIT, 0, number, size.to_bytes(8, "big"))
        )
        answer.add_done_callback(lambda _: incoming.end(None if answer.cancelled() else answer.exception()))
        try:
            async for chunk in incoming.chunks():
                yield chunk
        finally:
            if not answer.done():
                self._send(CANCEL, 0, number)
                answer.cancel()
            del self._downloads[number]
            self._leave(number, body)

    def close(self) -> None:
        """The connection is closed; calls under way end with `Unavailable`. Idempotent."""
        self._end()
        self._transport.abort()

    async def _enter(self, method: int, body: bytes) -> tuple[int, asyncio.Future[bytes]]:
        """The call was sent, in its turn; its number and its answer."""
        size = len(body)
        if size > FRAME_MAX_BYTES:
            raise refusals.too_large("the call", size)
        if self._waiting or not self._fits(size):
            await self._turn(size)
        if self._closed:
            raise refusals.absent(self._engine, "the connection is closed")
        self._calls += 1
        self._bytes += size
        self._last += 1
        answer = self._answers[self._last] = self._loop.create_future()
        self._send(CALL, method, self._last, body)
        return self._last, answer

    def _fits(self, size: int) -> bool:
        return not self._calls or (self._calls < CALLS_MAX and self._bytes + size <= BYTES_MAX)

    async def _turn(self, size: int) -> None:
        if len(self._waiting) >= WAITING_MAX:
            raise refusals.full(len(self._waiting))
        turn = asyncio.Event()
        self._waiting.append(turn)
        try:
            while not self._closed and (self._waiting[0] is not turn or not self._fits(size)):
                turn.clear()
                await turn.wait()
        finally:
            self._waiting.remove(turn)
            self._next()

    def _leave(self, number: int, body: bytes) -> None:
        self._answers.pop(number, None)
        self._calls -= 1
        self._bytes -= len(body)
        self._next()

    def _next(self) -> None:
        """Whoever waits first looks again whether there is room."""
        if self._waiting:
            self._waiting[0].set()

    def _take(self, frame: Frame) -> None:
        kind, _, number, body = frame
        if kind == RESULT:
            self._answered(number, body)
        elif kind == PROBLEM:
            self._refused(number, from_problem(msgspec.msgpack.decode(body, type=dict[str, Any])))
        elif kind == CHUNK:
            if number in self._downloads:
                self._downloads[number].put(body)
        elif kind == END:
            self._answered(number, b"")
        elif kind == CREDIT:
            if number in self._uploads:
                self._uploads[number].credit(int.from_bytes(body, "big"))
        elif kind == WELCOME and not self._welcome.done():
            self._welcome.set_result(msgspec.msgpack.decode(body, type=Welcome))

    def _answered(self, number: int, body: bytes) -> None:
        answer = self._answers.get(number)
        if answer is not None and not answer.done():
            answer.set_result(body)

    def _refused(self, number: int, error: SoundstageError) -> None:
        answer = self._answers.get(number) if number else self._welcome
        if answer is not None and not answer.done():
            answer.set_exception(error)

    def _listen(self) -> None:
        """A process that hangs is one that is lost: it has to give a sign of life while it is waited for."""
        self._watch = self._loop.call_later(PING_S, self._listen)
        if not self._answers and self._welcome.done():
            self._silent = 0
            return
        if self._silent >= SILENT_PINGS_MAX:
            self._transport.abort()
            return
        self._silent += 1
        self._send(PING, 0, 0)

    def _end(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._watch is not None:
            self._watch.cancel()
        for answer in (*self._answers.values(), self._welcome):
            if not answer.done():
                answer.set_exception(refusals.lost(self._engine))
                # Nobody need be waiting for it.
                answer.exception()
        self._next()
