"""Messages between a parent process and its child: each side tells, asks and answers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import msgspec

from soundstage.core.errors import Unavailable

MESSAGE_MAX_BYTES = 64 << 20

_ANSWER = "answer"


class Message(msgspec.Struct, array_like=True):
    """`number` is that of a question, repeated by its answer; 0 for what is only told."""

    kind: str
    number: int = 0
    body: bytes = b""


class Channel:
    """One end. `answer` is asked for what the other side asks; `told` gets what it tells."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        answer: Callable[[str], Awaitable[bytes]],
        told: Callable[[str, bytes], None],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._answer = answer
        self._told = told
        self._last = 0
        self._asked: dict[int, asyncio.Future[bytes]] = {}
        self._answering: set[asyncio.Task[None]] = set()
        self._closed = False

    @classmethod
    async def over(
        cls,
        connection: socket.socket,
        answer: Callable[[str], Awaitable[bytes]],
        told: Callable[[str, bytes], None],
    ) -> Channel:
        """A channel over one end of a socket pair."""
        connection.setblocking(False)
        reader, writer = await asyncio.open_unix_connection(sock=connection)
        return cls(reader, writer, answer, told)

    def tell(self, kind: str, body: bytes = b"") -> None:
        """The other side is told; nothing happens when it is gone."""
        self._send(Message(kind, 0, body))

    async def ask(self, kind: str) -> bytes:
        """What the other side answers. Raises `Unavailable` when it goes away before."""
        if self._closed:
            raise _gone()
        self._last += 1
        number = self._last
        answer = self._asked[number] = asyncio.get_running_loop().create_future()
        self._send(Message(kind, number))
        try:
            return await answer
        finally:
            self._asked.pop(number, None)

    async def run(self) -> None:
        """Messages are taken until the other side is gone."""
        try:
            while True:
                size = int.from_bytes(await self._reader.readexactly(4), "big")
                if size > MESSAGE_MAX_BYTES:
                    return
                self._take(msgspec.msgpack.decode(await self._reader.readexactly(size), type=Message))
        except (asyncio.IncompleteReadError, OSError, msgspec.MsgspecError):
            return
        finally:
            self.close()

    async def flushed(self) -> None:
        """What was told has left, unless the other side is gone."""
        with suppress(OSError):
            await self._writer.drain()

    def close(self) -> None:
        """The other side is told no more; whoever waits for an answer gets `Unavailable`. Idempotent."""
        self._closed = True
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(_gone())
        for task in self._answering:
            task.cancel()
        self._writer.close()

    def _take(self, message: Message) -> None:
        if message.kind == _ANSWER:
            answer = self._asked.get(message.number)
            if answer is not None and not answer.done():
                answer.set_result(message.body)
        elif message.number:
            task = asyncio.ensure_future(self._reply(message))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)
        else:
            self._told(message.kind, message.body)

    async def _reply(self, message: Message) -> None:
        self._send(Message(_ANSWER, message.number, await self._answer(message.kind)))

    def _send(self, message: Message) -> None:
        if self._closed:
            return
        body: Any = msgspec.msgpack.encode(message)
        self._writer.write(len(body).to_bytes(4, "big") + body)


def _gone() -> Unavailable:
    return Unavailable("the other process is gone", outcome="unknown", retryable=False)
