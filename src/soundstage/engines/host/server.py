"""The side that has the engines: answers calls that come over the socket in its data folder."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from soundstage import __version__
from soundstage.core.environment import Environment
from soundstage.core.errors import Exhausted, Internal, NotFound, SoundstageError, Unavailable
from soundstage.core.steps import Begun, begin
from soundstage.engines.host import place, refusals
from soundstage.engines.host.contract import Contract, Method, contract, encode
from soundstage.engines.host.frames import (
    CALL,
    CANCEL,
    CHUNK,
    CREDIT,
    END,
    FRAME_MAX_BYTES,
    HELLO,
    PING,
    PONG,
    PROBLEM,
    PROTOCOL,
    RESULT,
    WELCOME,
    Broken,
    Frame,
    FramedProtocol,
    Hello,
    Welcome,
)
from soundstage.engines.host.streams import Incoming, Outgoing

log: logging.Logger = logging.getLogger("soundstage.engines")

FRAMES_PER_TURN = 128
"""So many short calls take about a millisecond."""

CALLS_MAX = 2_048
"""Of one connection at a time; callers keep to half of it, so that what they cancel has time to end."""


_DEFECT = "a call of another process failed by a defect"


class Aborted(Exception):
    """Whoever sends a stream gave up; its own side knows why."""


class HostServer:
    """Offers `engines`, by port and name, at the socket `path`; only while started."""

    def __init__(self, engines: Mapping[tuple[str, str], Any], path: Path, environment: Environment) -> None:
        self.engines = engines
        self.environment = environment
        self.links: set[ServerLink] = set()
        self._path = path
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Processes of this user can connect. The engines have been started. Raises `Unavailable`."""
        listener = place.listening(self._path)
        self._server = await asyncio.get_running_loop().create_unix_server(
            lambda: ServerLink(self), sock=listener, backlog=place.BACKLOG
        )

    async def stop(self) -> None:
        """Nobody is connected; calls under way were cancelled. Idempotent; to be done before the engines stop."""
        if self._server is None:
            return
        server, self._server = self._server, None
        place.remove(self._path)
        server.close()
        ending = [link.close() for link in list(self.links)]
        await asyncio.gather(*ending)


class ServerLink(FramedProtocol):
    """One connection: one engine as one other process uses it."""

    def __init__(self, server: HostServer) -> None:
        super().__init__()
        self._server = server
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._uploads: dict[int, Incoming] = {}
        self._downloads: dict[int, Outgoing] = {}
        self._methods: list[tuple[Method, Callable[..., Any]]] = []
        self._frames: deque[Frame] = deque()
        self._busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._server.links.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.links.discard(self)
        self._frames.clear()
        self._outbox.resume()
        for outgoing in self._downloads.values():
            outgoing.close()
        for task in self._tasks.values():
            task.cancel()

    def data_received(self, data: bytes) -> None:
        try:
            self._frames.extend(self._inbox.feed(data))
        except Broken as error:
            self._cut_off(error)
        if not self._busy:
            self._work()

    async def close(self) -> None:
        """The connection is closed and nothing of it goes on."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._transport.abort()

    def _work(self) -> None:
        """Some of what came is done; the rest in later turns, so that others have theirs."""
        try:
            for _ in range(min(FRAMES_PER_TURN, len(self._frames))):
                self._take(self._frames.popleft())
        except (Broken, msgspec.MsgspecError, LookupError) as error:
            self._cut_off(error)
        was_busy, self._busy = self._busy, bool(self._frames)
        if self._busy:
            self._loop.call_soon(self._work)
        if self._busy != was_busy and not self._transport.is_closing():
            (self._transport.pause_reading if self._busy else self._transport.resume_reading)()

    def _cut_off(self, error: Exception) -> None:
        log.warning("a process that uses an engine was cut off", extra={"reason": str(error)})
        self._frames.clear()
        self._transport.abort()

    def _take(self, frame: Frame) -> None:
        kind, number, call, body = frame
        if kind == CALL:
            method, function = self._methods[number]
            if len(self._tasks) >= CALLS_MAX:
                self._refuse(call, Exhausted(f"{CALLS_MAX} calls are under way", hint="make fewer at a time"))
            elif method.shape == "call":
                self._step(call, method, function, method.decode_arguments(body))
            else:
                self._begin(call, method, function, body)
        elif kind == CHUNK:
            self._on_upload(call, lambda upload: upload.put(body))
        elif kind == END:
            self._on_upload(call, lambda upload: upload.end())
        elif kind == CREDIT and call in self._downloads:
            self._downloads[call].credit(int.from_bytes(body, "big"))
        elif kind == CANCEL:
            self._cancel(call)
        elif kind == PING:
            self._send(PONG, 0, call)
        elif kind == HELLO:
            self._greet(msgspec.msgpack.decode(body, type=Hello))

    def _greet(self, hello: Hello) -> None:
        try:
            engine, known = self._wanted(hello)
        except SoundstageError as error:
            self._refuse(0, error)
            return
        offered: list[tuple[Method, Callable[..., Any]]] = []
        for method in known.every():
            offered.append((method, getattr(engine, method.name, self._no_such_call)))
        self._methods = offered
        welcome = Welcome(attributes=known.told(engine), now_ns=self._server.environment.monotonic_ns())
        self._send(WELCOME, 0, 0, encode(welcome))

    def _wanted(self, hello: Hello) -> tuple[Any, Contract]:
        ours = f"{PROTOCOL}.{contract(hello.port).fingerprint}"
        if (hello.release, f"{hello.protocol}.{hello.fingerprint}") != (__version__, ours):
            raise refusals.other_release(f"{hello.release} ({hello.fingerprint})", f"{__version__} ({ours})")
        engine = self._server.engines.get((hello.port, hello.engine))
        if engine is None:
            known = ", ".join(sorted(name for port, name in self._server.engines if port == hello.port)) or "none"
            raise NotFound(
                f"the process has no engine {hello.engine!r} for {hello.port}", field="engine", hint=f"it has {known}"
            )
        return engine, contract(hello.port)

    async def _no_such_call(self, **_: Any) -> None:
        raise Broken("a call that the engine did not announce")

    def _begin(self, call: int, method: Method, function: Callable[..., Any], body: bytes) -> None:
        arguments = method.decode_arguments(body)
        if method.shape == "download":
            outgoing = self._downloads[call] = Outgoing(lambda chunk: self._send(CHUNK, 0, call, chunk))
            self._go_on(call, partial(self._stream, call, outgoing, partial(method.invoke, function, arguments)))
        else:
            upload = self._uploads[call] = Incoming(lambda size: self._send(CREDIT, 0, call, size.to_bytes(8, "big")))
            self._go_on(
                call, partial(self._answer, call, method, partial(method.invoke, function, arguments, upload.chunks()))
            )

    def _step(self, call: int, method: Method, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        """The call is answered, or goes on in a task of its own when it has to wait."""
        try:
            ended, result = begin(function(*arguments) if method.short else method.invoke(function, arguments))
        except (SoundstageError, Aborted) as error:
            self._failed(call, error)
            return
        except Exception:
            log.exception(_DEFECT)
            self._refuse(call, _defect())
            return
        if not ended:
            self._go_on(call, partial(self._finish, call, method, result))
        elif self._outbox.paused:
            self._go_on(call, partial(self._tell, call, method, result))
        else:
            self._tell_now(call, method, result)

    def _go_on(self, call: int, answer: Callable[[], Awaitable[None]]) -> None:
        task = self._tasks[call] = self._loop.create_task(self._run(call, answer))
        task.add_done_callback(lambda _: self._forget(call))

    async def _run(self, call: int, answer: Callable[[], Awaitable[None]]) -> None:
        try:
            await answer()
        except asyncio.CancelledError:
            self._refuse(call, Unavailable("the process that has the engine stops", outcome="unknown"))
        except (SoundstageError, Aborted) as error:
            self._failed(call, error)
        except Exception:
            log.exception(_DEFECT)
            self._refuse(call, _defect())

    async def _finish(self, call: int, method: Method, begun: Begun) -> None:
        await self._tell(call, method, await begun)

    async def _answer(self, call: int, method: Method, begin: Callable[[], Awaitable[Any]]) -> None:
        await self._tell(call, method, await begin())

    async def _tell(self, call: int, method: Method, result: Any) -> None:
        await self._outbox.room()
        self._tell_now(call, method, result)

    def _tell_now(self, call: int, method: Method, result: Any) -> None:
        body = encode(method.carried(result))
        if len(body) > FRAME_MAX_BYTES:
            self._refuse(call, refusals.too_large("the answer", len(body)))
        else:
            self._send(RESULT, 0, call, body)

    def _failed(self, call: int, error: SoundstageError | Aborted) -> None:
        if isinstance(error, Aborted):
            self._send(END, 0, call)
        else:
            self._refuse(call, error)

    def _forget(self, call: int) -> None:
        self._tasks.pop(call, None)
        self._uploads.pop(call, None)
        self._downloads.pop(call, None)

    async def _stream(self, call: int, outgoing: Outgoing, begin: Callable[[], Any]) -> None:
        async with aclosing(begin()) as chunks:
            if await outgoing.write(chunks):
                self._send(END, 0, call)

    def _on_upload(self, call: int, change: Callable[[Incoming], None]) -> None:
        # What is still under way of a put that was refused has nobody to take it.
        upload = self._uploads.get(call)
        if upload is not None:
            change(upload)

    def _cancel(self, call: int) -> None:
        task = self._tasks.get(call)
        if call in self._uploads:
            self._uploads[call].end(Aborted())
        elif task is not None:
            task.cancel()

    def _refuse(self, call: int, error: SoundstageError) -> None:
        self._send(PROBLEM, 0, call, encode(error.problem()))


def _defect() -> Internal:
    return Internal("the engine failed by a defect", hint="see the log of the process that has it")
