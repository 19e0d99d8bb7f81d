"""Two doors to notes: one with a listener, a line in and a line out, and one that is mounted."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import msgspec
from tests.runtime.notes.api import NotesCalls, ReadNote

from soundstage.core.errors import SoundstageError
from soundstage.core.namespace import NamespaceSpec
from soundstage.runtime.door import DoorContext, DoorKind, DoorSession, ListenerConfig, MountConfig
from soundstage.runtime.door_connection import DoorConnection


class LinesConfig(ListenerConfig, frozen=True, kw_only=True):
    namespace: Annotated[str, msgspec.Meta(description="whose notes")] = "lines"


class LinesDoor:
    """`token`, then the name of a note a line; `wait` is answered when `gate` opens, `half` is held as half there."""

    def __init__(self, context: DoorContext) -> None:
        self.context = context
        self.log: list[str] = []
        self.gate = asyncio.Event()

    async def start(self) -> None:
        await self.context.make_namespace(NamespaceSpec(name=self.context.config.namespace, abstraction="notes"))
        self.log.append("start")

    def connect(self) -> LinesConnection:
        return LinesConnection(self)

    async def stop(self) -> None:
        self.log.append("stop")


class LinesConnection(DoorConnection):
    def __init__(self, door: LinesDoor) -> None:
        super().__init__(door.context)
        self._door = door
        self._session: DoorSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._draining = False

    @property
    def is_busy(self) -> bool:
        return bool(self._tasks)

    def refusal(self, reason: str) -> bytes:
        return f"refused: {reason}\n".encode()

    def received(self, data: bytes) -> None:
        for line in data.decode().splitlines():
            task = asyncio.get_running_loop().create_task(self._answer(line))
            self._tasks.add(task)
            task.add_done_callback(self._answered)

    def drain(self) -> None:
        self._draining = True
        if not self._tasks:
            self.close()

    def ended(self) -> None:
        self.drain()

    def _answered(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._draining and not self._tasks:
            self.close()

    async def _answer(self, line: str) -> None:
        statistics = self.context.statistics
        statistics.requests += 1
        try:
            if line == "wait":
                await self._door.gate.wait()
                self.write(b"waited\n")
            elif line == "half":
                self.write(b"held\n" if self.hold(60_000) else b"too much\n")
            elif line.startswith("flood"):
                self.write(b"x" * int(line.partition(" ")[2]))
                await self.writable()
                self.write(b"\n")
            elif self._session is None:
                self._session = self.context.authenticate(line if self.context.authenticates else None)
                self.write(f"hello {self._session.principal.name}\n".encode())
            else:
                request = ReadNote(namespace=self.context.config.namespace, name=line)
                self.write((await self._session.invoke(NotesCalls.read, request)).text.encode() + b"\n")
        except SoundstageError as error:
            statistics.failed(error.code)
            self.write(f"{error.code}\n".encode())


class SheetsConfig(MountConfig, frozen=True, kw_only=True):
    namespace: str = "home"


class SheetsDoor:
    """`GET` gives a note, `POST` the length of the body; `/defect` fails, `/half` fails when half is said."""

    def __init__(self, context: DoorContext) -> None:
        self.context = context

    async def start(self) -> None:
        """Nothing to open."""

    async def stop(self) -> None:
        """Nothing to close."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        name = scope["path"].removeprefix(scope["root_path"]).strip("/")
        if name == "defect":
            raise RuntimeError("broken")
        body = b""
        if scope["method"] == "POST":
            more = True
            while more:
                message = await receive()
                body += message.get("body", b"")
                more = message.get("more_body", False)
            body = str(len(body)).encode()
        elif name != "half":
            request = ReadNote(namespace=self.context.config.namespace, name=name)
            body = (await scope["soundstage.session"].invoke(NotesCalls.read, request)).text.encode()
        headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(body) or 9).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if name == "half":
            raise RuntimeError("half")
        await send({"type": "http.response.body", "body": body})


DOORS = {
    "lines": DoorKind(LinesConfig, LinesDoor, "lines"),
    "sheets": DoorKind(SheetsConfig, SheetsDoor),
}
