"""One connection to a memcached: requests are sent as they come, replies are theirs in the same order.

No request has a timer of its own: one watches over the earliest deadline of all. A request that is out of time is
given up, and its replies are read and dropped when they come; when nothing at all has come for a while since it was
sent, the connection is given up too.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from soundstage.core.errors import Exhausted, Internal
from soundstage.engines.cache.port import MISS, UNAVAILABLE, Found, Outcome

IN_FLIGHT_MAX = 10_000
UNSENT_MAX_BYTES = 64 << 20
LINE_MAX_BYTES = 2_048

PLAIN = 1
"""The client flag of a value."""
VERSIONED = 2
"""The client flag of a value behind a `v` and its version in 8 bytes. Counters and leases have 0."""
VERSION_BYTES = 9

_END = b"\r\n"
_HIT = Outcome.HIT
_PLAIN = b"f%d" % PLAIN
_VERSIONED = b"f%d" % VERSIONED
_plain_hit = re.compile(rb"VA (\d+) f%d c(\d+)\r\n" % PLAIN).match
_made: Callable[[type[Found], tuple[Outcome, bytes, int, int]], Found] = tuple[Any, ...].__new__


class Reply(NamedTuple):
    """One reply: its code, its flags, and its value if it has one."""

    code: bytes
    flags: list[bytes]
    value: bytes = b""

    def number(self, flag: bytes) -> int:
        """The number that a flag returns; 0 without it. Raises `Internal` where it returns none."""
        for word in self.flags:
            if word[:1] == flag:
                return _number(word)
        return 0

    def has(self, flag: bytes) -> bool:
        """Whether the flag, which returns nothing more, is there."""
        return flag in self.flags


class Silent(Exception):
    """No answer came in time, or the connection ended; `sent` says whether the request may have arrived."""

    def __init__(self, sent: bool) -> None:
        super().__init__("no answer")
        self.sent: bool = sent


class _Exchange:
    __slots__ = ("deadline", "future", "gets", "left", "replies", "sent_at")

    def __init__(self, future: asyncio.Future[Any], left: int, sent_at: float, deadline: float, gets: bool) -> None:
        self.future = future
        self.left = left
        self.sent_at = sent_at
        self.deadline = deadline
        self.gets = gets
        self.replies: list[Any] = []


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
        self._needed: int = 0
        self._unsent: list[bytes] = []
        self._unsent_bytes = 0
        self.heard_at: float = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.closed: bool = False
        self.lost: Exception | None = None
        """What it broke by, if it did not just end."""

    def ask(self, request: bytes, replies: int, within_s: float) -> asyncio.Future[list[Reply]]:
        """The next `replies` replies, or `Silent` after `within_s`. Raises `Exhausted` when too much is under way."""
        return self._asked(request, replies, within_s, False)

    def get(self, request: bytes, keys: int, within_s: float) -> asyncio.Future[list[Found]]:
        """What was found of so many keys, by a request that asks for value, client flags and number of each."""
        return self._asked(request, keys, within_s, True)

    def _asked(self, request: bytes, replies: int, within_s: float, gets: bool) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self._loop.create_future()
        transport, waiting = self._transport, self._waiting
        if transport is None or self.closed:
            future.set_exception(Silent(sent=False))
            return future
        self._check_room(transport)
        now = self._loop.time()
        deadline = now + within_s
        # While others wait for the server, requests of one turn of the loop go out together.
        if self._unsent:
            self._unsent.append(request)
            self._unsent_bytes += len(request)
        elif waiting:
            self._unsent.append(request)
            self._unsent_bytes = len(request)
            self._loop.call_soon(self._send)
        else:
            transport.write(request)
        waiting.append(_Exchange(future, replies, now, deadline, gets))
        if self._timer is None or deadline < self._timer.when():
            self._watch(deadline)
        return future

    def _check_room(self, transport: asyncio.Transport) -> None:
        if (
            len(self._waiting) >= IN_FLIGHT_MAX
            or transport.get_write_buffer_size() + self._unsent_bytes > UNSENT_MAX_BYTES
        ):
            raise Exhausted("too many requests to this memcached are under way", retry_after_ms=10)

    def _send(self) -> None:
        if self._unsent and self._transport is not None:
            self._transport.write(b"".join(self._unsent))
        self._unsent.clear()
        self._unsent_bytes = 0

    def close(self) -> None:
        """It is closed at once; what waits hears that no answer came."""
        if self._transport is not None:
            self._transport.abort()
        self._end()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See `asyncio.Protocol`. Those of uvloop are of no class of asyncio's."""
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self.lost = exc
        self._end()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self.heard_at = self._loop.time()
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
        waiting = self._waiting
        size: int = len(data)
        at: int = 0
        while at < size:
            exchange = waiting[0]
            if exchange.gets:
                at = _read_plain(data, at, exchange)
            if exchange.left:
                end = data.find(_END, at)
                if end < 0:
                    if size - at > LINE_MAX_BYTES:
                        raise ValueError("a line that does not end")
                    self._needed = 0
                    break
                words = data[at:end].split(b" ")
                start = end + 2
                if words[0] == b"VA":
                    stop: int = start + int(words[1])
                    if stop < start:
                        raise ValueError("a value of less than nothing")
                    if size < stop + 2:
                        self._needed = stop + 2 - at
                        break
                    value, at = data[start:stop], stop + 2
                else:
                    value, at = b"", start
                exchange.replies.append(
                    found(words, value)
                    if exchange.gets
                    else Reply(words[0], words[2 if words[0] == b"VA" else 1 :], value)
                )
                exchange.left -= 1
            if not exchange.left:
                waiting.popleft()
                if not exchange.future.done():
                    exchange.future.set_result(exchange.replies)
        return data[at:]

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
        dead_at = max(first.deadline, self.heard_at + self._hang_s, first.sent_at + self._hang_s)
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
        self._unsent.clear()


def _read_plain(data: bytes, at: int, exchange: _Exchange) -> int:
    """Where the misses and the plain values that `data` has whole from `at` on end; what they say is in the exchange.

    Most of a batch is read here, in half the time; the first reply that is anything else is left to be looked at.
    """
    replies, left, size = exchange.replies, exchange.left, len(data)
    said, length = b"", 0
    while left:
        hit = _plain_hit(data, at)
        if hit is None:
            if not data.startswith(b"EN\r\n", at):
                break
            replies.append(MISS)
            at += 4
        else:
            bytes_said, number = hit.groups()
            if bytes_said != said:
                said, length = bytes_said, int(bytes_said)
            start = hit.end()
            stop = start + length
            if stop + 2 > size:
                break
            replies.append(_made(Found, (_HIT, data[start:stop], int(number), 0)))
            at = stop + 2
        left -= 1
    exchange.left = left
    return at


def _number(word: bytes) -> int:
    try:
        return int(word[1:])
    except ValueError:
        raise Internal(f"the memcached answered {word!r}, where it had been asked for a number") from None


def found(words: list[bytes], value: bytes) -> Found:
    """What the reply to a get says: its words, of which the flags are those of `v f c`, and its value."""
    code = words[0]
    if code == b"VA":
        kind = words[2]
        if kind == _PLAIN:
            return Found(_HIT, value, int(words[3][1:]))
        if kind == _VERSIONED:
            version = int.from_bytes(value[1:VERSION_BYTES], "big")
            return Found(_HIT, value[VERSION_BYTES:], int(words[3][1:]), version)
        # A counter that got shorter keeps its room, filled with spaces.
        return Found(_HIT, value.rstrip(b" "), int(words[3][1:])) if value else MISS
    if code == b"EN":
        return MISS
    if code == b"SERVER_ERROR":
        return UNAVAILABLE
    raise ValueError(f"{code!r} is no answer to a get")
