"""uvicorn's protocol with the limits it lacks: on time for headers and bodies, and on their size.

A connection is always in one of four phases: idle, headers, body or answer. One clock per server looks at
all connections now and then and ends those that have been too long in theirs, which costs a request nothing.
"""

from __future__ import annotations

import asyncio
from typing import Any, Literal, TypeAlias, cast

import msgspec
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from soundstage.core.errors import Exhausted, InvalidArgument, SoundstageError, TooLarge
from soundstage.runtime.config import HttpConfig

Phase: TypeAlias = Literal["idle", "headers", "body", "answer"]

STATUS_TEXT = {400: "Bad Request", 408: "Request Timeout", 431: "Request Header Fields Too Large", 503: "Busy"}


class LimitedProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, config: Config, state: ServerState, limits: HttpConfig) -> None:
        super().__init__(config=config, server_state=state, app_state={})
        self.phase: Phase = "idle"
        self.since = 0.0
        self._limits = limits
        self._header_bytes = 0
        self._max_headers = int(limits.max_headers)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._enter("idle")
        if len(self.connections) > self._limits.max_connections:
            self._refuse(Exhausted("too many connections", hint="wait, or use fewer"), 503)

    def data_received(self, data: bytes) -> None:
        if self.phase == "idle":
            self._enter("headers")
            self._header_bytes = 0
        if self.phase == "headers":
            # Counted before parsing, so that one endless header line is seen too.
            self._header_bytes += len(data)
            if self._header_bytes > self._max_headers and b"\r\n\r\n" not in data[: self._max_headers]:
                self._refuse(_headers_too_large(self._max_headers), 431)
                return
        super().data_received(data)

    def on_headers_complete(self) -> None:
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > self._max_headers:
            self._refuse(_headers_too_large(self._max_headers), 431)
            return
        self._enter("body")
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if not self.transport.is_closing():
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self.transport.is_closing():
            return
        self._enter("answer")
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """As in uvicorn, but for its timer: the server's clock watches idle connections."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
        elif self.phase == "answer":
            self._enter("idle")

    def send_400_response(self, msg: str) -> None:
        self._refuse(InvalidArgument("this is not HTTP/1.1", hint="send a well-formed request"), 400)

    def check_time(self, now: float) -> None:
        """End the connection if it has been in its phase for too long."""
        spent_s = now - self.since
        if self.phase == "idle" and spent_s > self._limits.idle_timeout / 1e9:
            self.transport.close()
        elif self.phase == "headers" and spent_s > self._limits.header_timeout / 1e9:
            self._refuse(_too_slow("headers"), 408)
        elif self.phase == "body" and spent_s > self._limits.body_timeout / 1e9:
            self._refuse(_too_slow("body"), 408)

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        self.since = self.loop.time()

    def _refuse(self, error: SoundstageError, status: int) -> None:
        """Answer what could not become a request, and close."""
        # uvicorn declares the cycle as always there; before the first request it is None.
        cycle = cast("Any", self.cycle)
        started = cycle is not None and cycle.response_started and not cycle.response_complete
        if not self.transport.is_closing() and not started:
            problem = {**error.problem(), "status": status}
            body = msgspec.json.encode(problem)
            head = (
                f"HTTP/1.1 {status} {STATUS_TEXT[status]}\r\ncontent-type: application/problem+json\r\n"
                f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
        self.transport.close()


def connections_of(state: ServerState) -> list[LimitedProtocol]:
    """The open connections."""
    return [cast("Any", connection) for connection in state.connections]


def _headers_too_large(limit: int) -> TooLarge:
    return TooLarge(f"the headers are over {limit} bytes", hint="send fewer or shorter ones")


def _too_slow(what: str) -> InvalidArgument:
    return InvalidArgument(f"the {what} took too long to arrive", hint="send it faster, or in smaller requests")
