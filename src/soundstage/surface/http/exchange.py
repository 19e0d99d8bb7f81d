"""One request and its response, written to the connection in one piece where it can be.

It speaks ASGI with the application, as uvicorn's own cycle does. That writes head and body of a response
apart, which costs a second system call and wakes the caller twice; here the head waits for the first part of
the body. And what only long requests need, an event to wait on, is made when it is waited on.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from soundstage.surface.http.asgi import BODILESS, WHOLE

if TYPE_CHECKING:
    from soundstage.surface.http.asgi import Scope
    from soundstage.surface.http.protocol import LimitedProtocol

log: logging.Logger = logging.getLogger("soundstage.surface.http")

STREAMED = "soundstage.streamed"
"""What the scope of a request says once its body is read as it comes."""


class Exchange:
    """A request on its way through the application.

    `follows` is said by a response that goes on until its reader leaves: one that says no more has left. It is what a
    reader is told who takes nothing for so long that it is left.
    """

    __slots__ = (
        "_body",
        "_event",
        "_flow",
        "_head",
        "_left",
        "_news",
        "_protocol",
        "_transport",
        "_waits_to_continue",
        "complete",
        "disconnected",
        "follows",
        "keep_alive",
        "more_body",
        "scope",
        "started",
        "task",
    )

    def __init__(self, protocol: LimitedProtocol, scope: Scope, *, keep_alive: bool, waits_to_continue: bool) -> None:
        self.scope: Scope = scope
        self.keep_alive: bool = keep_alive
        self.disconnected: bool = False
        self.started: bool = False
        self.complete: bool = False
        self.follows: bytes = b""
        self.more_body: bool = True
        self.task: asyncio.Task[None] | None = None
        self._protocol = protocol
        self._transport = protocol.transport
        self._flow = protocol.flow
        self._waits_to_continue = waits_to_continue
        self._body: bytes | bytearray = b""
        self._news = False
        self._event: asyncio.Event | None = None
        self._head = b""
        self._left: int | None = None

    # The connection's side

    @property
    def is_streamed(self) -> bool:
        """Whether the body is read as it comes, and has all the time it needs while it does come."""
        return STREAMED in self.scope

    def take(self, part: bytes) -> None:
        """The next part of the body has come; reading pauses while too much of it waits."""
        if not self._body:
            self._body = part
        else:
            if type(self._body) is bytes:
                self._body = bytearray(self._body)
            self._body += part
        if len(self._body) > HIGH_WATER_LIMIT:
            self._flow.pause_reading()
        self._wake()

    def end_body(self) -> None:
        """The whole body has come."""
        self.more_body = False
        self._wake()

    def hang_up(self) -> None:
        """The application is told that nobody waits for an answer."""
        self.disconnected = True
        self._wake()

    def cut_off(self) -> None:
        """The last word of a response that goes on stands behind what its reader has not taken yet."""
        self._transport.write(self._head + (_chunk(self.follows, last=True) if self._chunked else self.follows))
        self._head = b""
        self.hang_up()
        # Whoever waits for room finds that nobody is left to write to.
        self._flow.resume_writing()

    @property
    def _chunked(self) -> bool:
        return self.scope["http_version"] == "1.1" and self._left is None

    # The application's side

    async def run(self, app: Any) -> None:
        """The application has answered, or the connection is broken off."""
        try:
            await app(self.scope, self.receive, self.send)
        except asyncio.CancelledError:
            self._transport.abort()
            raise
        except Exception as error:
            # Who has hung up may be owed a last word by the connection, which ends it.
            if not self.disconnected:
                log.error("a request failed by a defect while it was answered", exc_info=error)
                self._transport.abort()
        else:
            if not self.complete and not self.disconnected:
                log.error("a request was left without an answer")
                self._transport.abort()
        finally:
            self._protocol.tasks.discard(self.task)  # type: ignore[arg-type]

    async def receive(self) -> dict[str, Any]:
        """What has come of the body since the last time; waits until there is news."""
        if self._waits_to_continue:
            self._waits_to_continue = False
            if not self._transport.is_closing():
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if not self._news:
            await self._wait()
        if self.disconnected or self.complete:
            return {"type": "http.disconnect"}
        self._news = False
        body, self._body = bytes(self._body), b""
        return {"type": "http.request", "body": body, "more_body": self.more_body}

    async def send(self, message: dict[str, Any]) -> None:
        """Take one message of the application; waits while the peer does not read."""
        if self._flow.write_paused and not self.disconnected:
            await self._flow.drain()
        if self.disconnected:
            return
        if not self.started:
            self.follows = message.get("follows", b"")
            self._begin(message["status"], message["headers"])
            if message["type"] == WHOLE:
                self._go_on(message["body"], False)
        elif self.complete:
            raise ValueError("the response was complete already")
        else:
            self._go_on(message.get("body", b""), message.get("more_body", False))

    def _wake(self) -> None:
        self._news = True
        if self._event is not None:
            self._event.set()

    async def _wait(self) -> None:
        self._flow.resume_reading()
        if self._event is None:
            self._event = asyncio.Event()
        self._event.clear()
        while not (self._news or self.complete):
            await self._event.wait()

    def _begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        # Who announced a body and was not told to send it may send either that or its next request.
        keep_alive = self.keep_alive and not self._waits_to_continue
        self.started, self._waits_to_continue = True, False
        left: int | None = None
        told: list[tuple[bytes, bytes]] = []
        for name, value in headers:
            if name == b"content-length":
                left = int(value)
            elif name == b"connection" and value == b"close":
                keep_alive = False
                continue
            told.append((name, value))
        if left is None:
            if status in BODILESS:
                left = 0
            elif self.scope["http_version"] == "1.1":
                told.append((b"transfer-encoding", b"chunked"))
            else:
                keep_alive = False
        head = head_of(status, self._protocol.clock.date, told, keep_alive=keep_alive)
        self.keep_alive, self._left, self._head = keep_alive, left, head

    def _go_on(self, body: bytes, more_body: bool) -> None:
        if self.scope["method"] == "HEAD":
            body = b""
        elif self._left is not None:
            self._left -= len(body)
            if self._left < 0 or (self._left and not more_body):
                raise ValueError("the response is not as long as its Content-Length says")
        elif self.scope["http_version"] == "1.1":
            body = _chunk(body, last=not more_body)
        body = self._head + body
        self._transport.write(body)
        self._protocol.written += len(body)
        self._head = b""
        if not more_body:
            self.complete = True
            if self._event is not None:
                self._event.set()
            self._protocol.answered(self)


def head_of(status: int, date: bytes, headers: list[tuple[bytes, bytes]], *, keep_alive: bool) -> bytes:
    """The head of a response; `date` is a whole line. Raises `ValueError` for a header that holds a line break."""
    parts = [STATUS_LINE[status], date]
    for name, value in headers:
        parts += (name, b": ", value, b"\r\n")
    parts.append(b"\r\n" if keep_alive else b"connection: close\r\n\r\n")
    head, lines = b"".join(parts), len(headers) + (3 if keep_alive else 4)
    if head.count(b"\n") != lines or head.count(b"\r") != lines:
        raise ValueError("a header of the response holds a line break")
    return head


def _chunk(body: bytes, *, last: bool) -> bytes:
    chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
    return chunk + b"0\r\n\r\n" if last else chunk
