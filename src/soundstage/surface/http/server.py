"""Listens, watches connections and drains."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from soundstage.core.errors import InvalidArgument
from soundstage.runtime.config import HttpConfig
from soundstage.runtime.exposure import check_exposure, tls_context
from soundstage.runtime.stage import Stage
from soundstage.surface.http.app import Application
from soundstage.surface.http.protocol import LimitedProtocol, connections_of

BACKLOG = 4_096
CLOCK_MAX_S = 1.0
CLOCK_MIN_S = 0.01


class Server:
    """The HTTP face of a stage, on the event loop that the stage runs on."""

    def __init__(self, stage: Stage, config: HttpConfig) -> None:
        self._stage = stage
        self._config = config
        self._state = ServerState()
        self._servers: list[asyncio.Server] = []
        self._clock: asyncio.Task[None] | None = None

    async def start(self) -> str:
        """Answering; returns the address, such as `http://127.0.0.1:7777`.

        Raises `OSError` when the address is taken and `InvalidArgument` when serving it would be unsafe.
        """
        config = self._config
        check_exposure(config.host, self._stage.config.auth, config.insecure)
        tls = tls_context(config.tls)
        application = Application(self._stage, config)
        bound = await self._listen(config.host, config.port, application, tls)
        if config.metrics_listen is not None:
            host, port = _host_and_port(config.metrics_listen)
            try:
                await self._listen(host, port, Application(self._stage, config, observe_only=True), None)
            except OSError:
                await self.stop()
                raise
        self._clock = asyncio.create_task(self._watch())
        host = f"[{config.host}]" if ":" in config.host else config.host
        url = f"{'http' if tls is None else 'https'}://{host}:{bound}"
        self._announce(url)
        return url

    async def stop(self) -> None:
        """No new connections; calls under way have been answered, or the drain time-out has passed. Idempotent."""
        servers, self._servers = self._servers, []
        for server in servers:
            server.close()
        for connection in connections_of(self._state):
            connection.shutdown()
        if self._state.tasks:
            await asyncio.wait(list(self._state.tasks), timeout=self._config.drain_timeout / 1e9)
        for task in list(self._state.tasks):
            task.cancel()
        for connection in connections_of(self._state):
            connection.transport.abort()
        if self._clock is not None:
            self._clock.cancel()
            with suppress(asyncio.CancelledError):
                await self._clock
            self._clock = None

    async def _listen(self, host: str, port: int, application: Application, tls: Any) -> int:
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
        listener = socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=BACKLOG
        )
        server = await asyncio.get_running_loop().create_server(
            lambda: LimitedProtocol(config, self._state, self._config),
            sock=listener,
            ssl=tls,
            backlog=BACKLOG,
            ssl_handshake_timeout=None if tls is None else self._config.header_timeout / 1e9,
        )
        self._servers.append(server)
        return listener.getsockname()[1]

    async def _watch(self) -> None:
        """Look at every connection a few times within the shortest time-out."""
        config, loop = self._config, asyncio.get_running_loop()
        shortest_s = min(config.idle_timeout, config.header_timeout, config.body_timeout) / 1e9
        every_s = min(CLOCK_MAX_S, max(CLOCK_MIN_S, shortest_s / 4))
        while True:
            await self._stage.environment.sleep(every_s)
            now = loop.time()
            for connection in connections_of(self._state):
                connection.check_time(now)

    def _announce(self, url: str) -> None:
        for engine in self._stage.engines.distinct().values():
            announce = getattr(engine, "announce", None)
            if announce is not None:
                announce(url)


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise InvalidArgument(
            f"{address!r} is no HOST:PORT", field="http.metrics_listen", hint='write "127.0.0.1:9100"'
        )
    return host.strip("[]"), int(port)
