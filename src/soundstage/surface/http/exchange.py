"""One request and its response, written to the connection in one piece where it can be."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

if TYPE_CHECKING:
    from soundstage.surface.http.protocol import LimitedProtocol

log = logging.getLogger("soundstage.surface.http")

_BODILESS = frozenset((204, 304))


class Exchange(RequestResponseCycle):
    """A request on its way through the application.

    uvicorn writes head and body of a response apart, which costs a second system call and wakes the caller
    twice; here the head waits for the first part of the body.
    """

    def __init__(self, protocol: LimitedProtocol, keep_alive: bool) -> None:
        super().__init__(
            scope=protocol.scope,
            transport=protocol.transport,
            flow=protocol.flow,
            logger=log,
            access_logger=log,
            access_log=False,
            default_headers=[],
            message_event=asyncio.Event(),
            expect_100_continue=protocol.expect_100_continue,
            keep_alive=keep_alive,
            on_response=_nothing,
        )
        self._protocol = protocol
        self._head = b""
        self._left: int | None = None

    def hang_up(self) -> None:
        """The application is told that nobody waits for an answer."""
        self.disconnected = True
        self.message_event.set()

    async def run_asgi(self, app: Any) -> None:
        """The application has answered, or the connection is broken off."""
        try:
            await app(self.scope, self.receive, self.send)
        except asyncio.CancelledError:
            self.transport.abort()
            raise
        except Exception as error:
            log.error("a request failed by a defect while it was answered", exc_info=error)
            self.transport.abort()
        else:
            if not self.response_complete and not self.disconnected:
                log.error("a request was left without an answer")
                self.transport.abort()

    async def send(self, message: Any) -> None:
        """Take one message of the application; waits while the peer does not read."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if not self.response_started:
            self._begin(message["status"], message["headers"])
        else:
            self._go_on(message.get("body", b""), message.get("more_body", False))

    def _begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        # Who announced a body and was not told to send it may send either that or its next request.
        keep_alive = self.keep_alive and not self.waiting_for_100_continue
        self.response_started, self.waiting_for_100_continue = True, False
        left: int | None = None
        lines = [STATUS_LINE[status], self._protocol.clock.date]
        for name, value in headers:
            if name == b"content-length":
                left = int(value)
            elif name == b"connection" and value == b"close":
                keep_alive = False
                continue
            lines.append(b"%b: %b\r\n" % (name, value))
        if left is None and status not in _BODILESS:
            if self.scope["http_version"] == "1.1":
                lines.append(b"transfer-encoding: chunked\r\n")
            else:
                keep_alive = False
        if not keep_alive:
            lines.append(b"connection: close\r\n")
        head = b"".join(lines)
        if head.count(b"\n") != len(lines) or head.count(b"\r") != len(lines):
            raise ValueError("a header of the response holds a line break")
        self.keep_alive, self._left, self._head = keep_alive, left, head + b"\r\n"

    def _go_on(self, body: bytes, more_body: bool) -> None:
        if self.scope["method"] == "HEAD":
            body = b""
        elif self._left is not None:
            self._left -= len(body)
            if self._left < 0 or (self._left and not more_body):
                raise ValueError("the response is not as long as its Content-Length says")
        elif self.scope["http_version"] == "1.1":
            body = _chunk(body, last=not more_body)
        self.transport.write(self._head + body)
        self._head = b""
        if not more_body:
            self.response_complete = True
            self.message_event.set()
            self._protocol.answered(self)


def _chunk(body: bytes, *, last: bool) -> bytes:
    chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
    return chunk + b"0\r\n\r\n" if last else chunk


def _nothing() -> None:
    """What uvicorn would call where `answered` is called here."""
