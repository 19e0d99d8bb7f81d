"""A listener for any ASGI application, with the server's protocol and clock and nothing of a stage."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from uvicorn.server import ServerState

from soundstage.core.environment import SystemEnvironment
from soundstage.core.time import Duration
from soundstage.runtime.config import HttpConfig
from soundstage.surface.http.asgi import Receive, Scope, Send
from soundstage.surface.http.clock import ServerClock
from soundstage.surface.http.protocol import LimitedProtocol, connections_of
from soundstage.surface.http.server import uvicorn_config
from soundstage.surface.http.shortcut import Shortcuts


class Listener:
    """Serves `app` on a free port while the block lasts; `state` has its connections and tasks."""

    def __init__(self, app: Any, connections_max: int = 100, shortcuts: Shortcuts | None = None, **limits: Any) -> None:
        self.limits = HttpConfig(**limits)
        self.state = ServerState()
        self.clock = ServerClock(SystemEnvironment(), self.limits)
        self._config = uvicorn_config(app)
        self._connections_max = connections_max
        self._shortcuts = shortcuts
        self.url = ""

    def connect(self) -> LimitedProtocol:
        return LimitedProtocol(
            self._config,
            self.state,
            self.limits,
            self._connections_max,
            self.clock,
            lambda: "the-request-id",
            self._shortcuts,
        )

    async def __aenter__(self) -> Listener:
        loop = asyncio.get_running_loop()
        listener = socket.create_server(("127.0.0.1", 0))
        self._server = await loop.create_server(self.connect, sock=listener)
        self._watch = asyncio.create_task(self.clock.run(lambda: connections_of(self.state)))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._watch.cancel()
        self._server.close()
        for connection in connections_of(self.state):
            connection.transport.abort()
        for task in list(self.state.tasks):
            task.cancel()
        await asyncio.gather(self._watch, *self.state.tasks, return_exceptions=True)


def ms(count: float) -> Duration:
    """A limit of so many milliseconds."""
    return Duration(round(count * 1_000_000))


async def whole(receive: Receive) -> bytes:
    """The body of a request, to its end or that of the connection."""
    parts: list[bytes] = []
    message: dict[str, Any] = {"more_body": True}
    while message.get("more_body"):
        message = await receive()
        parts.append(message.get("body", b""))
    return b"".join(parts)


async def answer(send: Send, body: bytes, status: int = 200, *headers: tuple[bytes, bytes]) -> None:
    """A response of known length."""
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [length, *headers]})
    await send({"type": "http.response.body", "body": body})


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with method, path and body."""
    body = await whole(receive)
    await answer(send, b"%b %b %b" % (scope["method"].encode(), scope["path"].encode(), body))
