"""Plain calls, answered without taking the same head apart again.

Programs send head after head that are alike to the byte. What one says depends on its bytes alone, so that those of
plain calls are remembered once the parser and the application have read them: a request that begins with one of them,
and has come whole, goes from its connection to its operation. Everything else goes the way of ASGI.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, NamedTuple

from soundstage.core.call import Call
from soundstage.core.codec import ContentType
from soundstage.core.steps import Begun
from soundstage.runtime.dispatch import BoundOperation
from soundstage.runtime.outbox import Outbox
from soundstage.surface.http.exchange import head_of
from soundstage.surface.http.head import Head
from soundstage.surface.http.reply import Reply

if TYPE_CHECKING:
    from soundstage.surface.http.app import Application
    from soundstage.surface.http.asgi import Scope
    from soundstage.surface.http.protocol import LimitedProtocol

log: logging.Logger = logging.getLogger("soundstage.surface.http")

HEADS_MAX = 2_048
HEAD_MAX_BYTES = 1_024
"""So many heads of at most so many bytes are remembered, those that came first forgotten first."""

_PLAIN = frozenset(
    (
        b"accept",
        b"accept-encoding",
        b"authorization",
        b"content-length",
        b"content-type",
        b"host",
        b"soundstage-timeout",
        b"user-agent",
    )
)

_END = b"\r\n\r\n"
_OK = b"HTTP/1.1 200 OK\r\n%bcontent-type: %b\r\ncontent-length: %d\r\nx-request-id: %b\r\n\r\n%b"


class PlainCall(NamedTuple):
    """A call of an operation of which all is known but the `size` bytes of its body, and what it is answered with.

    One that is `prompt` needs no task.
    """

    bound: BoundOperation
    decode: Callable[[bytes, Call], Any]
    head: Head
    out: ContentType
    size: int
    prompt: bool


class Shortcuts:
    """What is remembered for one listener, whose calls `application` answers once it is there."""

    def __init__(self) -> None:
        self.application: Application | None = None
        self.outbox: Outbox = Outbox()
        self._heads: dict[bytes, PlainCall] = {}

    def find(self, data: bytes) -> PlainCall | None:
        """The call that `data`, which begins a request, is, if that is known and all of it has come."""
        at = data.find(_END, 0, HEAD_MAX_BYTES) + len(_END)
        asked = self._heads.get(data[:at])
        return asked if asked is not None and len(data) == at + asked.size else None

    def learn(self, data: bytes, scope: Scope) -> None:
        """`data` was read as the request of `scope`, and maybe as others before it."""
        at = data.find(_END, 0, HEAD_MAX_BYTES) + len(_END)
        if self.application is None or at < len(_END):
            return
        asked = self.application.plain(scope)
        # Where there was more than one request the first head is not the one that `scope` tells of.
        if asked is None or len(data) != at + asked.size:
            return
        if len(self._heads) >= HEADS_MAX:
            del self._heads[next(iter(self._heads))]
        self._heads[data[:at]] = asked


class _Answered(asyncio.Future[None]):
    """Done once a call is that has no task; cancelling it cancels the call, which then ends in its own time."""

    begun: Begun

    def cancel(self, msg: Any = None) -> bool:
        """The call is told so, if it has not ended."""
        if self.done():
            return False
        self.begun.cancel()
        return True


class PlainExchange:
    """A plain call that has to wait, as its connection sees it: an `Exchange` of which nothing more comes."""

    __slots__ = ("_answered", "_disconnected", "_given", "_protocol", "keep_alive")

    follows: bytes = b""
    more_body: bool = False
    is_streamed: bool = False
    started: bool = False

    def __init__(self, protocol: LimitedProtocol, given: str) -> None:
        self.keep_alive: bool = True
        self._disconnected = False
        self._protocol = protocol
        self._given = given
        # Whoever stops the server waits for it, and cancels it in the end.
        self._answered: asyncio.Future[None]

    def hang_up(self) -> None:
        """Nobody waits for an answer."""
        self._disconnected = True

    def go_on(self, begun: Begun) -> None:
        """The call, which needs no task, is answered once it has ended."""
        answered = self._answered = _Answered(loop=self._protocol.loop)
        answered.begun = begun
        self._protocol.tasks.add(answered)  # type: ignore[arg-type]
        begun.then(self._end)

    def run(self, answering: Coroutine[Any, Any, Reply]) -> None:
        """The call is answered by a task."""
        task = self._answered = self._protocol.loop.create_task(self._run(answering))
        self._protocol.tasks.add(task)

    async def _run(self, answering: Coroutine[Any, Any, Reply]) -> None:
        try:
            reply = await answering
        except BaseException as error:
            self._end(None, error)
            raise
        self._end(reply, None)

    def _end(self, reply: Reply | None, error: BaseException | None) -> None:
        """The answer is on its way, or the connection is broken off."""
        protocol = self._protocol
        protocol.tasks.discard(self._answered)  # type: ignore[arg-type]
        if not isinstance(self._answered, asyncio.Task) and not self._answered.done():
            self._answered.set_result(None)
        if reply is None:
            if not isinstance(error, asyncio.CancelledError):
                log.error("a request failed by a defect while it was answered", exc_info=error)
            protocol.transport.abort()
        elif not self._disconnected:
            protocol.write(response(reply, protocol.clock.date, self._given, keep_alive=self.keep_alive))
            protocol.answered(self)


def is_plain(version: str, headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether a head says nothing but what many others of its sender will say, to the byte."""
    if version != "1.1":
        return False
    return all(name in _PLAIN or (name == b"connection" and value.lower() == b"keep-alive") for name, value in headers)


def response(reply: Reply, date: bytes, given: str, *, keep_alive: bool = True) -> bytes:
    """A whole response. Raises `ValueError` for a header that holds a line break."""
    status, headers, body = reply
    if status == 200 and len(headers) == 1 and keep_alive:
        return _OK % (date, headers[0][1], len(body), given.encode(), body)
    told = [*headers, (b"content-length", b"%d" % len(body)), (b"x-request-id", given.encode("ascii"))]
    return head_of(status, date, told, keep_alive=keep_alive) + body
