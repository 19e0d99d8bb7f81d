"""Listens, watches connections and drains."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import suppress
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from soundstage.core.ids import request_id
from soundstage.runtime.config import HttpConfig
from soundstage.runtime.exposure import check_exposure, host_and_port, tls_context
from soundstage.runtime.listening import BACKLOG, NotListening, allow_files, bracketed, family_of, tcp_listener
from soundstage.runtime.roles import HTTP
from soundstage.runtime.stage import Stage
from soundstage.surface.http.app import Application
from soundstage.surface.http.clock import ServerClock
from soundstage.surface.http.entrance import Entrance
from soundstage.surface.http.protocol import LimitedProtocol, connections_of

CLOSING_ROUNDS_MAX = 100


class Server:
    """The HTTP face of a stage, on the event loop that the stage runs on.

    A `shared` one listens beside other processes at the same address, each of which gets some of the connections.
    """

    def __init__(self, stage: Stage, config: HttpConfig, *, shared: bool = False) -> None:
        self._stage = stage
        self._shared = shared
        self.metrics_url: str | None = None
        """Where metrics are, once started, when they have a listener of their own."""
        self._config = config
        self._state = ServerState()
        self._servers: list[asyncio.Server] = []
        self._entrances: list[tuple[Entrance, bool]] = []
        self._port = 0
        self.applications: list[Application] = []
        self._clock: ServerClock | None = None
        self._watch: asyncio.Task[None] | None = None

    async def listen(self) -> None:
        """Whoever comes is told that the stage is starting, which it need not have begun to. Repeatable.

        Raises `NotListening` when an address is taken, `InvalidArgument` when serving it would be unsafe; nothing is
        open then.
        """
        if self._clock is not None:
            return
        config = self._config
        check_exposure(config.host, self._stage.config.auth, config.insecure)
        tls = tls_context(config.tls)
        self._clock = ServerClock(self._stage.environment, config)
        try:
            if self._stage.config.processes.runs(HTTP):
                self._port = await self._listen(config.host, config.port, tls, observe_only=False)
            if config.metrics_listen is not None:
                host, asked = host_and_port(config.metrics_listen)
                given = await self._listen(host, asked, None, observe_only=True)
                self.metrics_url = f"http://{bracketed(host)}:{given}/metrics"
            self._watch = asyncio.create_task(self._clock.run(lambda: connections_of(self._state)))
        except BaseException:
            await self.stop()
            raise

    async def start(self) -> str:
        """Answering, every system started; returns the address, such as `http://127.0.0.1:7777`.

        Where the role `http` is not this process's it listens for metrics at most, and the address is none's.

        Until then the stage is not ready. Raises `NotListening` when an address is taken, `InvalidArgument` when
        serving it would be unsafe, and whatever keeps a system from starting.
        """
        await self.listen()
        try:
            for entrance, observe_only in self._entrances:
                application = Application(self._stage, self._config, observe_only=observe_only)
                application.closed = "the server is starting"
                self.applications.append(application)
                entrance.serve(application)
            await self._start_systems()
        except BaseException:
            await self.stop()
            raise
        if not self._port:
            return ""
        url = address_of(self._config, self._port)
        announce(self._stage, url)
        return url

    @property
    def sockets(self) -> list[Any]:
        """Those that are listened on."""
        return [each for server in self._servers for each in server.sockets]

    async def stop(self) -> None:
        """No connection is open: calls under way have been answered, or the drain time-out has passed. Idempotent.

        Until that is so the stage is not ready and refuses further calls, but tells so to whoever asks.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + self._config.drain_timeout / 1e9
        for application in self.applications:
            application.close("the server is stopping")
        await self._finish_tasks(until - loop.time())
        servers, self._servers = self._servers, []
        for server in servers:
            server.close()
        for connection in connections_of(self._state):
            connection.shutdown()
        await self._finish_tasks(until - loop.time())
        for task in list(self._state.tasks):
            task.cancel()
        await self._finish_tasks(1.0)
        for connection in connections_of(self._state):
            connection.transport.abort()
        await self._be_rid_of_connections()
        if self._watch is not None:
            self._watch.cancel()
            with suppress(asyncio.CancelledError):
                await self._watch
            self._watch = None

    async def _be_rid_of_connections(self) -> None:
        """What was closed has let go of its socket, which takes the loop a round or two."""
        for _ in range(CLOSING_ROUNDS_MAX):
            if not self._state.connections:
                return
            await asyncio.sleep(0)

    async def _start_systems(self) -> None:
        for name in self._stage.systems.catalogue:
            self._close_applications(f"the system {name!r} is starting")
            await self._stage.systems.started(name)
        self._close_applications(None)

    def _close_applications(self, reason: str | None) -> None:
        for application in self.applications:
            application.closed = reason

    async def _finish_tasks(self, timeout_s: float) -> None:
        if self._state.tasks:
            await asyncio.wait(list(self._state.tasks), timeout=max(0.0, timeout_s))

    async def _listen(self, host: str, port: int, tls: ssl.SSLContext | None, *, observe_only: bool) -> int:
        entrance = Entrance(self._stage.environment)
        config = uvicorn_config(entrance)
        connections_max = allow_files(self._config.max_connections)
        listener = tcp_listener(host, port, shared=self._shared and not observe_only)

        def connect() -> LimitedProtocol:
            assert self._clock is not None
            return LimitedProtocol(
                config,
                self._state,
                self._config,
                connections_max,
                self._clock,
                lambda: request_id(self._stage.environment),
                entrance.shortcuts,
            )

        server = await asyncio.get_running_loop().create_server(
            connect,
            sock=listener,
            ssl=tls,
            backlog=BACKLOG,
            ssl_handshake_timeout=None if tls is None else self._config.header_timeout / 1e9,
        )
        self._servers.append(server)
        self._entrances.append((entrance, observe_only))
        return listener.getsockname()[1]


def address_of(config: HttpConfig, port: int) -> str:
    """The URL at which a server configured so answers."""
    return f"{'http' if config.tls.certificate is None else 'https'}://{bracketed(config.host)}:{port}"


def announce(stage: Stage, url: str) -> None:
    """Whoever finds a folder of the stage held is told `url`."""
    for engine in stage.engines.everything():
        tell = getattr(engine, "announce", None)
        if tell is not None:
            tell(url)


def reserved(host: str, port: int) -> socket.socket:
    """A socket that keeps the address for processes that share it, and takes no connection itself.

    Raises `NotListening` when anybody listens there: who shares an address would else take another's callers.
    """
    probe = tcp_listener(host, port)
    chosen = probe.getsockname()[1]
    probe.close()
    try:
        keeper = socket.socket(family_of(host), socket.SOCK_STREAM)
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        keeper.bind((host, chosen))
    except OSError as error:
        raise NotListening(error, f"{bracketed(host)}:{chosen}") from error
    return keeper


def uvicorn_config(application: Any) -> Config:
    """What uvicorn's protocol needs to know, with `application` being an ASGI application."""
    config = Config(
        application,
        loop="none",
        http=LimitedProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        interface="asgi3",
    )
    config.load()
    return config
