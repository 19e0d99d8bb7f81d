"""uvicorn's protocol with the limits it lacks: on time for headers, bodies and replies, and on their sizes.

A connection reads in one of three phases: idle, headers, body. One clock per server looks at all
connections now and then and ends those that take too long, which costs a request nothing.

Whatever ends a connection early closes it by halves, that is stops writing and throws away what still
arrives, because closing at once would make the peer's system drop the answer before it is read.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Literal, TypeAlias, cast
from urllib.parse import unquote_to_bytes

import httptools
import msgspec
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from soundstage.core.errors import Exhausted, InvalidArgument, SoundstageError, TooLarge
from soundstage.core.steps import begin
from soundstage.runtime.config import HttpConfig
from soundstage.surface.http.asgi import WHOLE, Scope
from soundstage.surface.http.clock import ServerClock
from soundstage.surface.http.exchange import Exchange
from soundstage.surface.http.shortcut import PlainCall, PlainExchange, Shortcuts, response

Phase: TypeAlias = Literal["idle", "headers", "body"]

_ASGI = {"version": "3.0", "spec_version": "2.3"}
_EXTENSIONS: dict[str, dict[str, Any]] = {WHOLE: {}}

LINGER_S = 2.0
"""How long a connection that is being closed waits for its peer."""

LINGER_MAX_S = 60.0
"""The same for one that goes on sending a file, since most clients read no answer before they have sent all."""

LINGER_MAX_BYTES = 64 << 20
"""What such a connection takes meanwhile, to no effect, of a peer that sends anything but a file."""

PIPELINE_MAX = 64
"""Requests of one connection that wait for the answer to the one before them."""

FRAMING_PER_BYTE = 16
"""Bytes around each byte of a chunked body that are let pass; trailers and chunk extensions are bounded so."""


class LimitedProtocol(HttpToolsProtocol):
    """One connection."""

    _parser: Any

    def __init__(
        self,
        config: Config,
        state: ServerState,
        limits: HttpConfig,
        connections_max: int,
        clock: ServerClock,
        new_id: Callable[[], str],
        shortcuts: Shortcuts | None = None,
    ) -> None:
        super().__init__(config=config, server_state=state, app_state={})
        self.clock = clock
        self.phase: Phase = "idle"
        self._application = cast("Any", config).loaded_app
        self._parser = self.parser
        self._limits = limits
        self._connections_max = connections_max
        self._new_id = new_id
        self._shortcuts = shortcuts or Shortcuts()
        self._max_headers = int(limits.max_headers)
        self._since = 0.0
        self._head_bytes = 0
        self._hosts = 0
        self._framing_bytes = 0
        self._waiting: deque[Exchange] = deque()
        self._owed = b""
        self._read: Exchange | PlainExchange | None = None
        self._running: Exchange | PlainExchange | None = None
        self._refusal: bytes | None = None
        self._deaf = False
        self._closing_since: float | None = None
        self._closing_until = 0.0
        self._goes_on = False
        self._dropped_bytes = 0
        self.written: int = 0
        self._came_bytes = 0
        self._taken_bytes = 0
        self._taken_since: float | None = None
        self._least_bytes = max(1, int(limits.rate_min) * limits.body_timeout // 1_000_000_000)

    # The transport's side

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._since = self.loop.time()
        if len(self.connections) > self._connections_max:
            self.refuse(
                Exhausted(
                    f"{self._connections_max} connections are open, the limit",
                    hint="wait, or use fewer",
                    retry_after_ms=1_000,
                )
            )

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            self._drop(data)
            return
        begins = False
        if self._owed:
            self.let_out()
        if self.phase == "body":
            self._framing_bytes += len(data)
        else:
            if self.phase == "idle":
                if self._running is None and not self.flow.write_paused:
                    asked = self._shortcuts.find(data)
                    if asked is not None:
                        self._answer(asked, data[-asked.size :] if asked.size else b"")
                        return
                    begins = True
                self._begin_head()
            self._head_bytes += len(data)
        self._feed(data)
        if begins and self.phase == "idle" and type(self._read) is Exchange and not self._deaf:
            self._shortcuts.learn(data, self._read.scope)
        if self._head_bytes > self._max_headers or self._framing_bytes > self._max_headers:
            self._check_sizes()

    def _answer(self, asked: PlainCall, body: bytes) -> None:
        """A plain call is answered, or on its way."""
        application, given = self._shortcuts.application, self._new_id()
        assert application is not None
        answering = application.answer(asked, body, given)
        if not asked.prompt:
            exchange = self._running = self._read = PlainExchange(self, given)
            exchange.run(answering)
            return
        try:
            ended, found = begin(answering)
        except asyncio.CancelledError:
            self.transport.abort()
            return
        if not ended:
            exchange = self._running = self._read = PlainExchange(self, given)
            exchange.go_on(found)
            return
        self.write(response(found, self.clock.date, given))
        self.server_state.total_requests += 1
        self._since = self.loop.time()

    def write(self, data: bytes) -> None:
        """`data` is sent at the end of this turn, or before anything else is."""
        self._owed = data
        self._shortcuts.outbox.owe(self)

    def let_out(self) -> None:
        """See `Owing`."""
        data, self._owed = self._owed, b""
        if data and not self.transport.is_closing():
            self.transport.write(data)

    def _drop(self, data: bytes) -> None:
        self._goes_on = True
        self._dropped_bytes += len(data)
        if self._dropped_bytes > LINGER_MAX_BYTES and not self._sends_a_file:
            self.transport.abort()

    def eof_received(self) -> bool:  # type: ignore[override]
        """The peer has nothing more to say; what it asked before is answered."""
        # With TLS the end may come in the turn of the last request, and what is said after it goes nowhere.
        self.let_out()
        if self.scheme == "https" or self._closing_since is not None or self._running is None or self._read is None:
            return False
        if self._running.follows:
            return False
        if not self._deaf:
            if self.phase != "idle":
                return False
            self._deaf = True
            self._read.keep_alive = False
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._deaf = True
        self._parser = None
        self._waiting.clear()
        super().connection_lost(exc)
        if self._running is not None:
            self._running.hang_up()

    # The parser's side

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.expect_100_continue: bool = False
        self._hosts = 0
        if self.phase == "idle":
            self._begin_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        # Trailers come while the body is read, and nothing here wants them.
        if self.phase == "headers":
            name = name.lower()
            if name == b"host":
                self._hosts += 1
            elif name == b"expect" and value.lower() == b"100-continue":
                self.expect_100_continue = True
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        if self._deaf:
            return
        if self._head_bytes > self._max_headers and self._head_size() > self._max_headers:
            self.refuse(_headers_too_large(self._max_headers), 431)
            return
        if self._hosts != 1 and (self._hosts or self._parser.get_http_version() == "1.1"):
            self.refuse(_not_one_host(self._hosts))
            return
        if len(self._waiting) >= PIPELINE_MAX:
            self.phase = "idle"
            self.refuse(_too_many_at_once())
            return
        exchange = self._read = self._exchange()
        self.phase = "body"
        self._since, self._came_bytes = self.loop.time(), 0
        self._framing_bytes = 0
        if self._running is None:
            self._start(exchange)
        else:
            self.flow.pause_reading()
            self._waiting.append(exchange)

    def on_body(self, body: bytes) -> None:
        self._framing_bytes = max(0, self._framing_bytes - FRAMING_PER_BYTE * len(body))
        exchange = self._read
        if type(exchange) is Exchange and not exchange.complete and not self._deaf:
            self._came_bytes += len(body)
            if exchange.is_streamed and self._came_bytes >= self._least_bytes:
                self._since, self._came_bytes = self.loop.time(), 0
            exchange.take(body)

    def on_message_complete(self) -> None:
        if self._deaf:
            return
        self.phase = "idle"
        self._since = self.loop.time()
        exchange = self._read
        if type(exchange) is Exchange:
            exchange.end_body()

    # The application's side

    def answered(self, exchange: Exchange | PlainExchange) -> None:
        """`exchange` is over: the next one of the pipeline has its turn, or the peer."""
        self._running = None
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.phase != "body":
            self._since = self.loop.time()
        if not exchange.keep_alive:
            self._close(unread=exchange.more_body)
        elif self._waiting:
            self._start(self._waiting.popleft())
        elif self._refusal is not None:
            self._write_refusal(self._refusal)
        else:
            self.flow.resume_reading()

    def refuse(self, error: SoundstageError, status: int | None = None) -> None:
        """Answer what cannot become a request, after what came before it, and close."""
        self._deaf = True
        reply = _refusal(error, status or error.status, self._new_id(), self.clock.date)
        running, in_body = self._running, self.phase == "body"
        if running is None:
            # What is read has its answer; a second one would be taken for that to the next request.
            self._write_refusal(b"" if in_body else reply)
        elif in_body and running is self._read:
            running.hang_up()
            self._write_refusal(b"" if running.started else reply)
        else:
            if in_body:
                self._waiting.pop()
            self._refusal = reply

    def shutdown(self) -> None:
        """No other request is answered; those that are being answered will be."""
        if self._running is None or self._read is None:
            self._close(unread=self.phase != "idle")
        else:
            self._read.keep_alive = False

    def check_time(self, now: float) -> None:
        """End the connection if it has taken too long over what it does."""
        if not self.flow.write_paused and self._closing_since is None:
            self._taken_since = None
        if self._closing_since is not None:
            self._check_closing(now, self._closing_since)
        elif self.flow.write_paused:
            self._check_reader(now)
        elif self.flow.read_paused and self._sends_a_file:
            # What is not taken cannot come.
            self._since, self._came_bytes = now, 0
        elif self._running is None or self.phase == "body":
            self._check_sender(now - self._since)

    def _check_closing(self, now: float, since: float) -> None:
        if self.transport.get_write_buffer_size():
            self._closing_since = now
            self._check_reader(now)
        elif self._goes_on and now < self._closing_until and self._sends_a_file:
            self._closing_since, self._goes_on = now, False
        elif now - since > LINGER_S:
            self.transport.abort()

    @property
    def _sends_a_file(self) -> bool:
        return self._read is not None and self._read.is_streamed

    def _check_reader(self, now: float) -> None:
        """A peer that takes nothing of its reply, or hardly any, is left.

        One that follows a feed may take as little as it likes. If that is nothing it is told so behind what waits for
        it, and has as much time again to take that.
        """
        taken = self.written - self.transport.get_write_buffer_size()
        follows = type(self._running) is Exchange and bool(self._running.follows)
        if self._taken_since is None or taken - self._taken_bytes >= (1 if follows else self._least_bytes):
            self._taken_bytes, self._taken_since = taken, now
        elif now - self._taken_since <= self._limits.body_timeout / 1e9:
            return
        elif self._closing_since is None and type(self._running) is Exchange and self._running.follows:
            self._running.cut_off()
            self._close(unread=False)
        else:
            self.transport.abort()

    def _check_sender(self, spent_s: float) -> None:
        if self.phase == "idle" and spent_s > self._limits.idle_timeout / 1e9:
            self._close(unread=False)
        elif self.phase == "headers" and spent_s > self._limits.header_timeout / 1e9:
            self.refuse(_too_slow("headers"), 408)
        elif self.phase == "body" and spent_s > self._limits.body_timeout / 1e9 and not self.flow.read_paused:
            self.refuse(_too_slow("body"), 408)

    def _check_sizes(self) -> None:
        if self._deaf:
            return
        if self.phase == "headers" and self._head_bytes > self._max_headers:
            self.refuse(_headers_too_large(self._max_headers), 431)
        elif self.phase == "body" and self._framing_bytes > self._max_headers:
            self.refuse(TooLarge("the body has too many chunk extensions or trailers", hint="send it plainly"))

    def _begin_head(self) -> None:
        self.phase = "headers"
        self._since = self.loop.time()
        self._head_bytes = 0

    def _feed(self, data: bytes) -> None:
        """Parse; an offer to change the protocol is not taken up, so that HTTP goes on after it."""
        while data:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = data[upgrade.args[0] :]
                continue
            except httptools.HttpParserError as error:
                if not self._deaf:
                    self.refuse(_malformed(error))
            return

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _exchange(self) -> Exchange:
        version: str = self._parser.get_http_version()
        raw_path, _, query = _target(self.url).partition(b"?")
        path = unquote_to_bytes(raw_path) if b"%" in raw_path else raw_path
        scope: Scope = {
            "type": "http",
            "asgi": _ASGI,
            "http_version": version,
            "method": self._parser.get_method().decode("ascii"),
            "scheme": self.scheme,
            "path": path.decode("utf-8", "replace"),
            "raw_path": raw_path,
            "query_string": query,
            "root_path": "",
            "headers": self.headers,
            "client": self.client,
            "server": self.server,
            "extensions": _EXTENSIONS,
        }
        return Exchange(
            self,
            scope,
            keep_alive=version == "1.1" and self._parser.should_keep_alive(),
            waits_to_continue=self.expect_100_continue,
        )

    def _start(self, exchange: Exchange) -> None:
        self.let_out()
        self._running = exchange
        # Held here, because the loop itself forgets tasks that wait.
        exchange.task = self.loop.create_task(exchange.run(self._application))
        self.tasks.add(exchange.task)

    def _write_refusal(self, reply: bytes) -> None:
        if not self.transport.is_closing():
            self.let_out()
            self.transport.write(reply)
            self._close(unread=True)

    def _close(self, unread: bool) -> None:
        """Close once all is written, by halves where the peer may still be sending."""
        self.let_out()
        self._deaf = True
        self._closing_since = self.loop.time()
        self._closing_until = self._closing_since + LINGER_MAX_S
        if unread and self.transport.can_write_eof():
            self.flow.resume_reading()
            self.transport.write_eof()
        else:
            self.transport.close()


def connections_of(state: ServerState) -> list[LimitedProtocol]:
    """The open connections."""
    return [cast("Any", connection) for connection in state.connections]


def _target(url: bytes) -> bytes:
    """Path and query of a request target in any of its forms."""
    if url[:1] == b"/":
        return url.partition(b"#")[0]
    parsed = httptools.parse_url(url)
    return (parsed.path or b"/") + (b"?" + parsed.query if parsed.query else b"")


def _refusal(error: SoundstageError, status: int, request_id: str, date: bytes) -> bytes:
    body = msgspec.json.encode({**error.problem(request_id), "status": status})
    wait = b"" if error.retry_after_ms is None else b"retry-after: %d\r\n" % -(-error.retry_after_ms // 1_000)
    return (
        b"%b%bcontent-type: application/problem+json\r\ncontent-length: %d\r\nx-request-id: %b\r\n"
        b"%bconnection: close\r\n\r\n%b"
    ) % (STATUS_LINE[status], date, len(body), request_id.encode(), wait, body)


def _malformed(error: httptools.HttpParserError) -> InvalidArgument:
    # A target that cannot be read fails in a callback, and the parser wraps that.
    reason = str(error.__context__ or error)
    return InvalidArgument(
        f"this is no HTTP/1.1: {reason[:1].lower()}{reason[1:100]}",
        hint="send a well-formed request, by http or https as the address says",
    )


def _headers_too_large(limit: int) -> TooLarge:
    return TooLarge(f"the headers are over {limit} bytes", hint="send fewer or shorter ones")


def _not_one_host(count: int) -> InvalidArgument:
    # RFC 9112, section 3.2: what is asked of two hosts, or of none, is answered by neither.
    return InvalidArgument(
        f"the request has {count} `Host` headers" if count else "the request has no `Host` header",
        field="Host",
        hint="send the one that names this server",
    )


def _too_slow(what: str) -> InvalidArgument:
    return InvalidArgument(f"the {what} took too long to arrive", hint="send it faster, or in smaller requests")


def _too_many_at_once() -> Exhausted:
    return Exhausted(
        f"{PIPELINE_MAX} requests of this connection wait for their answers, the limit",
        hint="read answers before sending more, or use another connection",
        retry_after_ms=1_000,
    )
