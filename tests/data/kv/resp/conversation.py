"""The other end of a RESP door, in process: bytes in, replies out, on a clock that moves only when told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from soundstage.core.environment import VirtualEnvironment
from soundstage.data.kv.resp.connection import RespConnection
from soundstage.data.kv.resp.door import RespDoor
from soundstage.engines.records.port import Records
from soundstage.runtime.door_listener import DoorListener
from soundstage.runtime.listening import Place
from soundstage.runtime.stage import Stage

START_NS = 1_700_000_000_000_000_000


class Fault(NamedTuple):
    """A reply that is an error."""

    line: str


class Wire(asyncio.Transport):
    """Keeps what is written; `takes` false, and the peer reads nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.writes = 0
        self.closed = False
        self.paused = False
        self.takes = True
        self.protocol: RespConnection | None = None

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 5) if name == "peername" else default

    def write(self, data: Any) -> None:
        self.written += data
        self.writes += 1
        if not self.takes and self.protocol is not None and not self.protocol.is_slow:
            self.protocol.pause_writing()

    def get_write_buffer_size(self) -> int:
        return 0 if self.takes else len(self.written)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


class Conversation:
    """One connection to a door."""

    def __init__(self, door: RespDoor, listener: DoorListener) -> None:
        self.door = door
        self.wire = Wire()
        self.connection = door.connect()
        self.connection.listener = listener
        self.wire.protocol = self.connection
        self.connection.connection_made(self.wire)

    async def ask(self, *words: str | bytes | int) -> Any:
        """The reply to one command."""
        self.send(*words)
        (reply,) = await self.replies()
        return reply

    async def ask_all(self, *commands: tuple[str | bytes | int, ...]) -> list[Any]:
        """The replies to commands sent at once."""
        self.connection.data_received(b"".join(encoded(*command) for command in commands))
        return await self.replies()

    def send(self, *words: str | bytes | int) -> None:
        self.connection.data_received(encoded(*words))

    async def replies(self) -> list[Any]:
        """All that has been answered, once nothing is under way."""
        while self.connection.is_busy:  # noqa: ASYNC110
            await asyncio.sleep(0)
        self.connection.let_out()
        data, found = bytes(self.wire.written), []
        self.wire.written.clear()
        at = 0
        while at < len(data):
            reply, at = decoded(data, at)
            found.append(reply)
        return found

    async def raw(self, data: bytes) -> list[Any]:
        """The replies to these bytes."""
        self.connection.data_received(data)
        return await self.replies()

    def lose(self) -> None:
        """The peer is gone."""
        self.wire.closed = True
        self.connection.connection_lost(None)


class House:
    """A stage with a RESP door that is not listened on."""

    def __init__(self, stage: Stage, door: RespDoor, environment: VirtualEnvironment) -> None:
        self.stage = stage
        self.door = door
        self.environment = environment
        self.listener = DoorListener(door, door.context, Place(), "redis")

    def talk(self) -> Conversation:
        """One more connection."""
        return Conversation(self.door, self.listener)


@asynccontextmanager
async def housed(
    environment: VirtualEnvironment,
    door: dict[str, Any] | None = None,
    engines: dict[str, Records] | None = None,
    **config: Any,
) -> AsyncGenerator[House]:
    """A stage in memory, or over the engines given, with a RESP door."""
    tree = {"doors": {"resp": {"listen": "127.0.0.1:0", **(door or {})}}, **config}
    async with Stage.open(config=tree, data="memory:", environment=environment, engines=engines) as stage:
        await stage.open_doors()
        opened = stage.doors.opened[0].door
        assert isinstance(opened, RespDoor)
        yield House(stage, opened, environment)


def encoded(*words: str | bytes | int) -> bytes:
    """A command as clients send it."""
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)


def decoded(data: bytes, at: int = 0) -> tuple[Any, int]:
    """The reply at `at`, and where the next one begins."""
    end = data.index(b"\r\n", at)
    kind, rest = data[at : at + 1], data[at + 1 : end]
    at = end + 2
    if kind == b"+":
        return rest.decode(), at
    if kind == b"-":
        return Fault(rest.decode()), at
    if kind == b":":
        return int(rest), at
    if kind == b"_":
        return None, at
    size = int(rest)
    if kind == b"$":
        return (None, at) if size < 0 else (data[at : at + size], at + size + 2)
    if kind == b"*" and size < 0:
        return None, at
    values: list[Any] = []
    for _ in range(2 * size if kind == b"%" else size):
        value, at = decoded(data, at)
        values.append(value)
    return (dict(zip(values[::2], values[1::2], strict=True)), at) if kind == b"%" else (values, at)


def pairs(reply: list[Any]) -> dict[Any, Any]:
    """An array that alternates as the map that it means."""
    return dict(zip(reply[::2], reply[1::2], strict=True))
