"""A stage with doors, and the other end of a connection to one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

from tests.runtime.conftest import NOTES
from tests.runtime.notes.doors import LinesDoor

from soundstage.catalogue import SYSTEMS
from soundstage.runtime.doors import OpenDoor
from soundstage.runtime.stage import Stage

PATIENCE_S = 20.0


@asynccontextmanager
async def opened(doors: dict[str, Any], **config: Any) -> AsyncGenerator[Stage]:
    """A stage in memory, on the machine's clock, with its doors open."""
    stage = Stage.open(config={"doors": doors, **config}, data="memory:", systems=(*SYSTEMS, NOTES))
    async with stage:
        await stage.open_doors()
        yield stage


async def until(holds: Callable[[], object]) -> None:
    """`holds` is true of the other side, which tells nobody of it."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0)


def open_door(stage: Stage, name: str = "lines") -> OpenDoor:
    (found,) = [each for each in stage.doors.opened if each.name == name]
    return found


def lines_door(stage: Stage) -> LinesDoor:
    door = open_door(stage).door
    assert isinstance(door, LinesDoor)
    return door


class Peer:
    """One connection, line by line."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def say(self, line: str) -> None:
        self.writer.write(line.encode() + b"\n")

    async def hear(self) -> str:
        """The next line; empty at the end."""
        async with asyncio.timeout(PATIENCE_S):
            return (await self.reader.readline()).decode().strip()

    async def ask(self, line: str) -> str:
        self.say(line)
        return await self.hear()

    async def rest(self) -> bytes:
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.read()

    async def close(self) -> None:
        self.writer.close()


@asynccontextmanager
async def peer(address: str, **options: Any) -> AsyncGenerator[Peer]:
    """A connection to the address of a door."""
    scheme, _, rest = address.partition(":")
    if scheme == "unix":
        reader, writer = await asyncio.open_unix_connection(rest, **options)
    else:
        host, _, port = rest.removeprefix("//").rpartition(":")
        reader, writer = await asyncio.open_connection(host.strip("[]"), int(port), **options)
    try:
        yield Peer(reader, writer)
    finally:
        writer.close()
