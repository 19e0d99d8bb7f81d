"""One connection of a door that listens by itself: its limits on time and memory, and its end.

A door's own class derives from `DoorConnection` and says what happens with bytes that arrive. The listener counts
connections, looks at each of them now and then, and drains them.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from soundstage.runtime.door import DoorContext
    from soundstage.runtime.door_listener import DoorListener

SMALL_BYTES = 4 << 10
"""Of what is written up to so much waits for what others are told in the same turn; see `Outbox`."""


class DoorConnection(asyncio.Protocol):
    """One connection. `transport` is there from `opened` to `lost`.

    A door overrides `opened`, `received`, `ended`, `drain`, `lost` and `refusal`; the other names are the stage's.
    """

    listener: DoorListener
    transport: asyncio.Transport

    def __init__(self, context: DoorContext) -> None:
        self.context: DoorContext = context
        self.closing: bool = False
        self._statistics = context.statistics
        self._writable: asyncio.Future[None] | None = None
        self._heard = True
        self._silent_since = 0.0
        self._unsent_bytes = 0
        self._unsent_since = 0.0
        self._held = 0
        self._owed = b""

    # The door's part

    def opened(self) -> None:
        """The connection was let in."""

    def received(self, data: bytes) -> None:
        """Bytes arrived."""

    def ended(self) -> None:
        """The peer says nothing more, and may still read: answer what it asked, then close."""
        self.close()

    def drain(self) -> None:
        """The door is closing: answer what was asked in full, then close."""
        self.close()

    def lost(self) -> None:
        """The connection is no more; nothing can be written."""

    def refusal(self, reason: str) -> bytes:
        """What a peer is told that is not let in."""
        return b""

    # What a door calls

    def write(self, data: bytes) -> None:
        """`data` is on its way, by the end of this turn if it is small, unless the connection is closing."""
        if self.transport.is_closing():
            return
        self._statistics.sent += len(data)
        if self._owed or len(data) > SMALL_BYTES or self._writable is not None:
            self._owed += data
            self.let_out()
        else:
            self._owed = data
            self.listener.outbox.owe(self)

    def let_out(self) -> None:
        """What was written is with the transport."""
        data, self._owed = self._owed, b""
        if data and not self.transport.is_closing():
            self.transport.write(data)

    @property
    def is_slow(self) -> bool:
        """Whether the peer takes its replies so slowly that no more should be made: await `writable`."""
        return self._writable is not None

    async def writable(self) -> None:
        """The peer has taken most of what was written, or is gone."""
        if self._writable is not None:
            await self._writable

    def hold(self, size: int) -> bool:
        """Count `size` bytes of requests that are half there, instead of what was held; false: too many."""
        statistics = self._statistics
        statistics.buffered += size - self._held
        self._held = size
        return statistics.buffered <= self.context.config.max_buffered

    def close(self) -> None:
        """Closed, once what was written has been taken."""
        self.closing = True
        self.let_out()
        self.transport.close()

    # The transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._silent_since = asyncio.get_running_loop().time()
        reason = self.listener.let_in(self)
        if reason is None:
            self.opened()
            return
        self.closing = True
        self.transport.write(self.refusal(reason))
        self.transport.close()

    def data_received(self, data: bytes) -> None:
        self._heard = True
        self._statistics.received += len(data)
        if not self.closing:
            self.received(data)

    def eof_received(self) -> bool:
        if self.closing:
            return False
        self.ended()
        # Closing by halves is not for TLS.
        return not self.closing and self.transport.get_extra_info("sslcontext") is None

    def pause_writing(self) -> None:
        loop = asyncio.get_running_loop()
        self._writable = loop.create_future()
        self._unsent_since = loop.time()
        self._unsent_bytes = self.transport.get_write_buffer_size()

    def resume_writing(self) -> None:
        waiting, self._writable = self._writable, None
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closing = True
        self.hold(0)
        self.resume_writing()
        self.listener.let_out(self)
        self.lost()

    def check_time(self, now: float) -> None:
        """End the connection if it has said nothing, or taken nothing, for too long."""
        config = self.context.config
        if self._writable is not None or self.transport.is_closing():
            unsent = self.transport.get_write_buffer_size()
            if unsent != self._unsent_bytes:
                self._unsent_bytes, self._unsent_since = unsent, now
            elif now - self._unsent_since > config.write_timeout / 1e9:
                self.transport.abort()
        elif self._heard:
            self._heard, self._silent_since = False, now
        elif now - self._silent_since > config.idle_timeout / 1e9 and not self.is_busy:
            self.close()

    @property
    def is_busy(self) -> bool:
        """Whether the peer waits for something, so that its silence means nothing."""
        return False
