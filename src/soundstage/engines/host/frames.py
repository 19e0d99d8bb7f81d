"""What travels between a process that has engines and one that uses them: framed messages, many at a time.

A frame is a head of 15 bytes (length of the body, kind, number of the method, number of the call) and a body:
MessagePack for all kinds but `CHUNK`, whose body is bytes of a stream. What is sent in one turn of the event
loop leaves in one write.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import Final, TypeAlias, cast

import msgspec

PROTOCOL = 1
"""Two processes that say different numbers do not talk."""

FRAME_MAX_BYTES = 64 << 20

WINDOW_BYTES = 1 << 20
"""Of a stream so much may be under way: sent and not yet taken by whoever reads it."""

CALL: Final = 1
RESULT: Final = 2
PROBLEM: Final = 3
CHUNK: Final = 4
END: Final = 5
CREDIT: Final = 6
CANCEL: Final = 7
HELLO: Final = 8
WELCOME: Final = 9
PING: Final = 10
PONG: Final = 11

_HEAD = struct.Struct(">IBHQ")
_HEAD_BYTES = _HEAD.size


Frame: TypeAlias = tuple[int, int, int, bytes]
"""Kind, method, call, body. `method` is the number of a call's, else 0; `call` the number that the caller gave it."""


class Broken(Exception):
    """The other side does not keep to the protocol; nothing more can be read from it."""


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """The first frame of a connection: what the caller is, and what it wants.

    `fingerprint` is of the port's calls as the caller knows them; `now_ns` is its monotonic clock.
    """

    protocol: int
    release: str
    fingerprint: str
    port: str
    engine: str
    now_ns: int


class Welcome(msgspec.Struct, frozen=True, kw_only=True):
    """The answer: what the engine announces of itself, as MessagePack, and the other side's clock."""

    attributes: bytes
    now_ns: int


class Inbox:
    """Cuts what comes in into frames."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that `data` completes. Raises `Broken` for one that is over 64 MiB."""
        whole: bytes | bytearray = data
        if self._pending:
            self._pending += data
            whole = self._pending
        frames: list[Frame] = []
        at, size = 0, len(whole)
        with memoryview(whole) as view:
            while size - at >= _HEAD_BYTES:
                length, kind, method, call = _HEAD.unpack_from(view, at)
                if length > FRAME_MAX_BYTES:
                    raise Broken(f"a frame of {length} bytes")
                end = at + _HEAD_BYTES + length
                if end > size:
                    break
                frames.append((kind, method, call, bytes(view[at + _HEAD_BYTES : end])))
                at = end
        if whole is self._pending:
            del self._pending[:at]
        elif at < size:
            self._pending += data[at:]
        return frames


class Outbox:
    """Sends frames over `transport`, those of one turn of the event loop together."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._parts: list[bytes] = []
        self.paused: bool = False
        """Whether the other side does not read as fast as it is sent to."""
        self._resumed: asyncio.Event = asyncio.Event()
        self._resumed.set()

    def send(self, kind: int, method: int, call: int, body: bytes = b"") -> None:
        """The frame leaves at the end of this turn; none leaves once the transport is closing."""
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts += (_HEAD.pack(len(body), kind, method, call), body)

    async def room(self) -> None:
        """Returns once the other side reads what it was sent."""
        await self._resumed.wait()

    def pause(self) -> None:
        """The other side does not read as fast as it is sent to."""
        self.paused = True
        self._resumed.clear()

    def resume(self) -> None:
        """It does again."""
        self.paused = False
        self._resumed.set()

    def _flush(self) -> None:
        parts, self._parts = self._parts, []
        if not self._transport.is_closing():
            self._transport.write(b"".join(parts))


class FramedProtocol(asyncio.Protocol):
    """What both ends of a connection have: an inbox, an outbox, and `_send`, which puts a frame into it."""

    _transport: asyncio.Transport
    _outbox: Outbox
    _send: Callable[..., None]

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self._inbox: Inbox = Inbox()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._outbox = Outbox(self._transport)
        self._send = self._outbox.send

    def pause_writing(self) -> None:
        self._outbox.pause()

    def resume_writing(self) -> None:
        self._outbox.resume()
