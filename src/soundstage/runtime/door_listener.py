"""Listens for one door: lets connections in and out, looks at their time, and drains them."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from soundstage.runtime.exposure import check_exposure, tls_context
from soundstage.runtime.listening import BACKLOG, Place, allow_files, bracketed, listener, place_of
from soundstage.runtime.outbox import Outbox

if TYPE_CHECKING:
    from soundstage.runtime.config import AuthConfig
    from soundstage.runtime.door import DoorContext, ListenerConfig, ListenerDoor
    from soundstage.runtime.door_connection import DoorConnection

HANDSHAKE_S = 10.0
"""Within which TLS is agreed upon."""

LOOKS_PER_TIMEOUT = 4
"""A time-out is noticed late by at most this part of itself."""

LOOK_MAX_S = 1.0

DRAIN_STEP_S = 0.005


def check_listener(config: ListenerConfig, auth: AuthConfig, data: str, field: str) -> Place:
    """Where the door is to listen. Raises `InvalidArgument` for no address, bad certificates, or an open one."""
    place = place_of(config.listen, data, f"{field}.listen")
    if place.path is None:
        check_exposure(place.host, auth, config.insecure, f"{field}.listen")
    tls_context(config.tls, f"{field}.tls", ())
    return place


class DoorListener:
    """The connections of one door."""

    def __init__(self, door: ListenerDoor, context: DoorContext, place: Place, scheme: str) -> None:
        self.connections: set[DoorConnection] = set()
        self.address: str = ""
        self.outbox: Outbox = Outbox()
        self._door = door
        self._context = context
        self._config: ListenerConfig = context.config
        self._place = place
        self._scheme = scheme
        self._connections_max: int = self._config.max_connections
        self._closed: str | None = None
        self._server: asyncio.Server | None = None
        self._watch: asyncio.Task[None] | None = None

    async def start(self, *, watches: bool = True) -> None:
        """Connections are let in; `address` says where. Raises `NotListening`.

        Without `watches` no time-out of a connection is noticed.
        """
        self._connections_max = allow_files(self._config.max_connections)
        tls = tls_context(self._config.tls, f"doors.{self._context.name}.tls", ())
        listening = listener(self._place)
        port: int = 0 if self._place.path is not None else listening.getsockname()[1]
        self.address = self._address(port, secure=tls is not None)
        loop = asyncio.get_running_loop()
        listen: Any = loop.create_server if self._place.path is None else loop.create_unix_server
        self._server = await listen(
            self._connect,
            sock=listening,
            ssl=tls,
            backlog=BACKLOG,
            ssl_handshake_timeout=None if tls is None else HANDSHAKE_S,
        )
        if watches:
            self._watch = asyncio.create_task(self._look())

    async def stop(self) -> None:
        """No connection is open: what was asked has been answered, or the drain time-out has passed. Idempotent."""
        self._closed = "the door is closing"
        server, self._server = self._server, None
        if server is not None:
            server.close()
            if self._place.path is not None:
                with suppress(OSError):
                    os.unlink(self._place.path)
        for connection in list(self.connections):
            connection.drain()
        environment = self._context.environment
        until_ns = environment.monotonic_ns() + self._config.drain_timeout
        while self.connections and environment.monotonic_ns() < until_ns:
            await environment.sleep(DRAIN_STEP_S)
        for connection in list(self.connections):
            connection.transport.abort()
        while self.connections:
            await environment.sleep(0)
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
            self._watch = None

    def let_in(self, connection: DoorConnection) -> str | None:
        """None, and the connection counts; or why it may not come in."""
        statistics = self._context.statistics
        if self._closed is not None:
            reason = self._closed
        elif len(self.connections) >= self._connections_max:
            reason = f"{self._connections_max} connections are open, the limit"
        else:
            self.connections.add(connection)
            statistics.opened += 1
            statistics.connections += 1
            return None
        statistics.refused += 1
        return reason

    def let_out(self, connection: DoorConnection) -> None:
        """The connection is no more."""
        if connection in self.connections:
            self.connections.remove(connection)
            self._context.statistics.connections -= 1

    def _connect(self) -> DoorConnection:
        connection = self._door.connect()
        connection.listener = self
        return connection

    async def _look(self) -> None:
        config = self._config
        pause_s = min(LOOK_MAX_S, min(config.idle_timeout, config.write_timeout) / 1e9 / LOOKS_PER_TIMEOUT)
        loop = asyncio.get_running_loop()
        while True:
            await self._context.environment.sleep(pause_s)
            now = loop.time()
            for connection in list(self.connections):
                connection.check_time(now)

    def _address(self, port: int, *, secure: bool) -> str:
        if self._place.path is not None:
            return f"unix:{self._place.path}"
        return f"{self._scheme}{'s' if secure else ''}://{bracketed(self._place.host)}:{port}"
