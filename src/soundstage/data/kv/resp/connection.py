"""One connection: its commands in order, its replies in batches.

Commands that are there already run one after the other until one has to wait; most never do, and then no task is made
and all replies go out in one write. Writes to different keys that follow each other wait together, so that a pipeline
of them shares the flush that makes them durable. Order is kept all the same: they begin in their order, and which of
two writes wins is decided by the time at which each began.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Any, cast

from soundstage.core.errors import SoundstageError
from soundstage.core.steps import Begun, begin
from soundstage.data.kv.resp.client import NO_AUTHENTICATION, Client
from soundstage.data.kv.resp.commands import COMMANDS, Command, check_arity, unknown
from soundstage.data.kv.resp.faults import CommandError, line_of
from soundstage.data.kv.resp.replies import error
from soundstage.data.kv.resp.requests import FOREIGN, UNKNOWN, Requests
from soundstage.data.kv.resp.transactions import refuse
from soundstage.runtime.door_connection import DoorConnection

if TYPE_CHECKING:
    from soundstage.data.kv.resp.door import RespDoor

log: logging.Logger = logging.getLogger("soundstage.data.kv.resp")

READ_AHEAD = 256
"""Commands that wait for their turn before no more are read."""

READ_AHEAD_BYTES = 1 << 20
"""Bytes of commands that wait for their turn before no more are read; one command may be larger."""

SMALL_BYTES = 16 << 10
"""Up to so much of whole commands is not counted: what there can be of it is bounded by connections."""

BATCH_BYTES = 64 << 10
"""Replies that are gathered before they are written."""

TURN = 64
"""Commands that run before other connections get their turn."""

TOGETHER_MAX = 128
"""Writes that wait together."""


class Written:
    """What the writes that wait together write to: each key once, or of a hash each field once."""

    __slots__ = ("_fields", "_hashes", "_keys")

    def __init__(self) -> None:
        self._keys: set[bytes] = set()
        self._hashes: set[bytes] = set()
        self._fields: set[tuple[bytes, bytes]] = set()

    def takes(self, arguments: list[bytes]) -> bool:
        """Whether a write may wait with those before it; then it counts among them."""
        key = arguments[1]
        if key in self._keys:
            return False
        if len(arguments) == 4 and arguments[0] in (b"HSET", b"hset"):
            field = (key, arguments[2])
            if field in self._fields:
                return False
            self._fields.add(field)
            self._hashes.add(key)
            return True
        if key in self._hashes:
            return False
        self._keys.add(key)
        return True


class RespConnection(DoorConnection):
    """Reads commands and answers them."""

    def __init__(self, door: RespDoor, number: int) -> None:
        super().__init__(door.context)
        self._door = door
        self._number = number
        self._queue: deque[list[bytes]] = deque()
        self._requests = Requests(door.limits if not door.context.authenticates else UNKNOWN)
        self._running = False
        self._last = False
        self._paused = False
        self._come = 0
        self.client: Client | None = None

    @property
    def is_busy(self) -> bool:
        return self._running

    def opened(self) -> None:
        peer = self.transport.get_extra_info("peername")
        address = f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else "unix"
        self.client = Client(self._door, self._number, address)
        self._door.connections[self._number] = self

    def refusal(self, reason: str) -> bytes:
        return error(f"ERR max number of clients reached: {reason}")

    def received(self, data: bytes) -> None:
        if self._last:
            return
        if self._queue and self._requests.limits is UNKNOWN:
            # A command before it may say who this is, and so what may come.
            self._requests.keep(data)
        else:
            self._queue += self._requests.feed(data)
        # What has come and was not answered yet, whole or not.
        half = self._requests.held
        self._come = self._come + len(data) if self._queue else half
        if (half or self._held or self._come > SMALL_BYTES) and not self.hold(self._come):
            self._queue.clear()
            self._fail("ERR too much of what all connections sent waits for its turn, or for its end; retry")
        elif (len(self._queue) > READ_AHEAD or (self._queue and self._come > READ_AHEAD_BYTES)) and not self._paused:
            self._paused = True
            self.transport.pause_reading()
        self._go()

    def ended(self) -> None:
        """The peer says nothing more: what it asked is answered, then the connection closes."""
        self._last = True
        self._go()

    def drain(self) -> None:
        """What was asked in full is answered, then the connection closes."""
        self._last = True
        self._go()

    def lost(self) -> None:
        self._queue.clear()
        self._come = 0
        self._door.connections.pop(self._number, None)

    def _fail(self, line: str) -> None:
        """The reply after those that are owed is this error, and the last."""
        self._requests.failure = line
        self._last = True

    def _go(self) -> None:
        """The commands that wait are being answered."""
        if self._running:
            return
        self._running = True
        ended, rest = begin(self._answer())
        if not ended:
            rest.then(self._answered)

    async def _answer(self) -> None:
        """Every command that has come is answered. Fails never."""
        assert self.client is not None
        queue, share = self._queue, self.client.share
        replies: list[bytes] = []
        size = done = 0
        try:
            while queue and not self.closing:
                if self._writable is not None:
                    await self.writable()
                    continue
                reply = await self._reply(queue.popleft())
                if len(reply) > BATCH_BYTES or share.size:
                    share.keep(len(reply))
                replies.append(reply)
                size += len(reply)
                done += 1
                if size > BATCH_BYTES or done % TURN == 0:
                    self._send(replies)
                    size = 0
                    await self.context.environment.sleep(0)
                if not queue:
                    self._all_taken()
                if self._paused and len(queue) < READ_AHEAD and self._come <= READ_AHEAD_BYTES and not self.closing:
                    self._paused = False
                    self.transport.resume_reading()
            failure = self._requests.failure
            if failure is not None:
                if failure == FOREIGN:
                    self._tell_foreign()
                replies.append(error(failure if failure.startswith("ERR") else f"ERR {failure}"))
                self._last = True
            if replies:
                self._send(replies)
            if self._last and not self.closing:
                self.close()
        finally:
            self._running = False

    def _answered(self, _: None, failure: BaseException | None) -> None:
        if failure is not None:
            log.error("a connection failed by a defect", exc_info=failure)
            self.transport.abort()

    def _all_taken(self) -> None:
        """No command waits that was read; one that the last one kept from being read is."""
        self._come = self._requests.held
        if self._held:
            self.hold(self._come)
        if self._come and not self._ends:
            self._queue += self._requests.feed(b"")

    @property
    def _ends(self) -> bool:
        return self.client is not None and self.client.ends

    def _tell_foreign(self) -> None:
        self._statistics.failed("foreign")
        if self._door.tells_foreign():
            address = "" if self.client is None else self.client.address
            log.warning(
                "a connection spoke HTTP, as a browser does for a page that tries ports, and was closed",
                extra={"door": self.context.name, "address": address},
            )

    def _send(self, replies: list[bytes]) -> None:
        self.write(replies[0] if len(replies) == 1 else b"".join(replies))
        replies.clear()
        self._count_unsent()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._count_unsent()

    def _count_unsent(self) -> None:
        """What is held is what the peer has not taken, if that is much."""
        if self.client is not None:
            self.client.share.keep(self.transport.get_write_buffer_size() if self.is_slow else 0)

    async def _reply(self, arguments: list[bytes]) -> bytes:
        client = self.client
        assert client is not None
        command = COMMANDS.get(arguments[0])
        statistics = self._statistics
        statistics.requests += 1
        try:
            if command is None or client.discards:
                reply = refuse(client, arguments)
                if reply is not None:
                    return reply
                command = command or unknown(arguments)
            if len(arguments) != command.arity:
                check_arity(command, arguments)
            if client.session is None and not command.open:
                raise CommandError(NO_AUTHENTICATION)
            if command.spreads and self._queue:
                return await self._together(client, command, arguments)
            if command.waits:
                return await command.answer(client, arguments)  # type: ignore[misc]
            reply = cast("bytes", command.answer(client, arguments))
            self._after(client)
            return reply
        except Exception as failure:  # noqa: BLE001
            return self._refused(failure, arguments)

    async def _together(self, client: Client, command: Command, arguments: list[bytes]) -> bytes:
        """The replies to a write and to those that follow it and need not wait for it."""
        queue, run = self._queue, [(command, arguments)]
        written = Written()
        written.takes(arguments)
        while queue and len(run) < TOGETHER_MAX:
            upcoming = queue[0]
            following = COMMANDS.get(upcoming[0])
            if following is None or not following.spreads or not following.fits(upcoming):
                break
            if not written.takes(upcoming):
                break
            run.append((following, queue.popleft()))
        if len(run) == 1:
            return await command.answer(client, arguments)  # type: ignore[misc]
        self._statistics.requests += len(run) - 1
        begun = [self._begin(client, *each) for each in run]
        waiting = [
            self._finish(rest, given) for (_, given), (_, rest) in zip(run, begun, strict=True) if rest is not None
        ]
        if not waiting:
            return b"".join(reply for reply, _ in begun)
        finished = iter(await asyncio.gather(*waiting))
        return b"".join(reply if rest is None else next(finished) for reply, rest in begun)

    def _begin(self, client: Client, command: Command, arguments: list[bytes]) -> tuple[bytes, Begun | None]:
        """The reply to a command, or the rest of it when it has to wait."""
        answering: Any = command.answer(client, arguments)
        try:
            ended, found = begin(answering)
        except Exception as failure:  # noqa: BLE001
            return self._refused(failure, arguments), None
        return (found, None) if ended else (b"", found)

    async def _finish(self, rest: Begun, arguments: list[bytes]) -> bytes:
        try:
            return await rest
        except Exception as failure:  # noqa: BLE001
            return self._refused(failure, arguments)

    def _after(self, client: Client) -> None:
        """What a command that changes the connection leads to."""
        if client.ends:
            self._last = True
            self._queue.clear()
        self._requests.limits = UNKNOWN if client.session is None else self._door.limits

    def _refused(self, failure: Exception, arguments: list[bytes]) -> bytes:
        if isinstance(failure, CommandError):
            self._statistics.failed(failure.code)
            return error(failure.line)
        if isinstance(failure, SoundstageError):
            self._statistics.failed(failure.code)
            return error(line_of(failure))
        self._statistics.failed("internal")
        given = self.context.request_id()
        name = arguments[0][:32].decode("utf-8", "replace")
        log.error("a command failed by a defect", exc_info=failure, extra={"request_id": given, "command": name})
        return error(f"INTERNAL the command failed by a defect; the log has the details under the request id {given}")
