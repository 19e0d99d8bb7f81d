"""One connection to a memcached: requests are sent as they come, replies are theirs in the same order.

No request has a timer of its own: one watches over the earliest deadline of all. A request that is out of time is
given up, and its replies are read and dropped when they come; when nothing at all has come for a while since it was
sent, the connection is given up too.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import NamedTuple

from soundstage.core.errors import Exhausted

IN_FLIGHT_MAX = 10_000
UNSENT_MAX_BYTES = 64 << 20
LINE_MAX_BYTES = 2_048

_END = b"\r\n"


class Reply(NamedTuple):
    """One reply: its code, its flags, and its value if it has one."""

    code: bytes
    flags: list[bytes]
    value: bytes = b""

    def number(self, flag: bytes) -> int:
        """The number that a flag returns; 0 without it."""
        for word in self.flags:
            if word[:1] == flag:
                return int(word[1:])
        return 0

    def has(self, flag: bytes) -> bool:
        """Whether the flag, which returns nothing more, is there."""
        return flag in self.flags


class Silent(Exception):
    """No answer came in time, or the connection ended; `sent` says whether the request may have arrived."""

    def __init__(self, sent: bool) -> None:
        super().__init__("no answer")
        self.sent = sent


class _Exchange:
    __slots__ = ("deadline", "future", "left", "replies", "sent_at")

    def __init__(self, future: asyncio.Future[list[Reply]], left: int, sent_at: float, deadline: float) -> None:
        self.future = future
        self.left = left
        self.sent_at = sent_at
        self.deadline = deadline
        self.replies: list[Reply] = []


class Connection(asyncio.Protocol):
    """A connection, made by the loop's `create_connection`. Times are the loop's.

    After `hang_s` without a byte it counts as dead, if something is waited for.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, hang_s: float) -> None:
        self._loop = loop
        self._hang_s = hang_s
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[_Exchange] = deque()
        self._parts: list[bytes] = []
        self._held = 0
        self._needed = 0
        self._heard_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.closed: bool = False

    def ask(self, request: bytes, replies: int, deadline: float) -> asyncio.Future[list[Reply]]:
        """The next `replies` replies, or `Silent`. Raises `Exhausted` when too much is under way."""
        transport = self._transport
        future: asyncio.Future[list[Reply]] = self._loop.create_future()
        if transport is None or self.closed:
            future.set_exception(Silent(sent=False))
            return future
        if len(self._waiting) >= IN_FLIGHT_MAX or transport.get_write_buffer_size() > UNSENT_MAX_BYTES:
            raise Exhausted("too many requests to this memcached are under way", retry_after_ms=10)
        self._waiting.append(_Exchange(future, replies, self._loop.time(), deadline))
        if self._timer is None or deadline < self._timer.when():
            self._watch(deadline)
        transport.write(request)
        return future

    def close(self) -> None:
        """It is closed at once; what waits hears that no answer came."""
        if self._transport is not None:
            self._transport.abort()
        self._end()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._end()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._heard_at = self._loop.time()
        if self._held:
            # A value of a megabyte comes in many parts: they are put together once it is there.
            self._parts.append(data)
            self._held += len(data)
            if self._held < self._needed:
                return
            data = b"".join(self._parts)
        try:
            rest = self._read(data)
        except (ValueError, IndexError):
            # Whatever listens there, or wherever the stream lost its step: nothing that follows can be trusted.
            self.close()
            return
        self._parts, self._held = ([rest], len(rest)) if rest else ([], 0)

    def _read(self, data: bytes) -> bytes:
        """What is left after all whole replies in `data`; `_needed` is then how much it takes to go on."""
        at = 0
        while at < len(data):
            end = data.find(_END, at)
            if end < 0:
                if len(data) - at > LINE_MAX_BYTES:
                    raise ValueError("a line that does not end")
                self._needed = 0
                break
            words = data[at:end].split(b" ")
            if words[0] == b"VA":
                start = end + 2
                stop = start + int(words[1])
                if len(data) < stop + 2:
                    self._needed = stop + 2 - at
                    break
                reply = Reply(b"VA", words[2:], data[start:stop])
                at = stop + 2
            else:
                reply = Reply(words[0], words[1:])
                at = end + 2
            self._deliver(reply)
        return data[at:]

    def _deliver(self, reply: Reply) -> None:
        exchange = self._waiting[0]
        exchange.replies.append(reply)
        exchange.left -= 1
        if not exchange.left:
            self._waiting.popleft()
            if not exchange.future.done():
                exchange.future.set_result(exchange.replies)

    def _watch(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(deadline, self._look)

    def _look(self) -> None:
        self._timer = None
        now = self._loop.time()
        ahead: list[float] = []
        for exchange in self._waiting:
            if exchange.deadline > now:
                ahead.append(exchange.deadline)
            elif not exchange.future.done():
                exchange.future.set_exception(Silent(sent=True))
        if not self._waiting:
            return
        first = self._waiting[0]
        dead_at = max(first.deadline, self._heard_at + self._hang_s, first.sent_at + self._hang_s)
        if dead_at <= now:
            self.close()
        else:
            self._watch(min(ahead, default=dead_at))

    def _end(self) -> None:
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting:
            exchange = self._waiting.popleft()
            if not exchange.future.done():
                exchange.future.set_exception(Silent(sent=True))
        self._parts, self._held = [], 0
