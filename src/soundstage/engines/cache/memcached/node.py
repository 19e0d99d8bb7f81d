"""One memcached server: its connection, made when it is first needed, and whether it is passed over.

After some failures in a row a node is **down**: calls do not wait for it, and a task asks it from time to time whether
it is back. A server that hangs takes connections, so only an answer counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable

from soundstage.core.environment import Environment
from soundstage.core.errors import SoundstageError
from soundstage.engines.cache.memcached.connection import Connection, Reply, Silent
from soundstage.engines.cache.memcached.entry import PING, Entry, Refusal, turned_away
from soundstage.engines.cache.port import Found


class Node:
    """A server by its address. Times are in seconds."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        connect_within_s: float,
        hang_s: float,
        failures_max: int,
        probe_every_s: float,
        environment: Environment,
        entry: Entry,
    ) -> None:
        self.name: str = f"{host}:{port}"
        self.down: bool = False
        self.refusal: Refusal | None = None
        """Why it did not let us in when it was last connected to; None where it did, or could not be reached."""
        self._entry = entry
        self._host, self._port = host, port
        self._connect_within_s = connect_within_s
        self._hang_s = hang_s
        self._failures_max = failures_max
        self._probe_every_s = probe_every_s
        self._environment = environment
        self._connection: Connection | None = None
        self._connecting: asyncio.Task[Connection | None] | None = None
        self._probing: asyncio.Task[None] | None = None
        self._failures = 0
        self._failed_at = 0.0

    def ask(self, request: bytes, replies: int, within_s: float) -> Awaitable[list[Reply]]:
        """The replies to `request`, or `Silent`: at once when the node is down, else after `within_s` at most.

        Whoever hears `Silent` says so by `failed`.
        """
        connection = self._connection
        if connection is not None and not (connection.closed or self.down):
            return connection.ask(request, replies, within_s)
        return self._asked_anew(request, replies, within_s)

    def get(self, request: bytes, keys: int, within_s: float) -> Awaitable[list[Found]]:
        """The same for a request that gets keys."""
        connection = self._connection
        if connection is not None and not (connection.closed or self.down):
            return connection.get(request, keys, within_s)
        return self._got_anew(request, keys, within_s)

    def failed(self) -> None:
        """A call heard `Silent`; after some in a row, with nothing heard between them, the node is down."""
        heard_at = 0.0 if self._connection is None else self._connection.heard_at
        if heard_at > self._failed_at:
            self._failures = 0
        self._failures += 1
        self._failed_at = asyncio.get_running_loop().time()
        if self._failures >= self._failures_max and not self.down:
            self.down = True
            self._probing = asyncio.create_task(self._probe())

    async def visit(self) -> Refusal | None:
        """It has been connected to, or cannot be reached; what it refuses us with, if it does."""
        with contextlib.suppress(Silent):
            await self._connected(self._connect_within_s)
        return self.refusal

    async def stop(self) -> None:
        """Its connection is closed and nobody asks for it."""
        for task in (self._connecting, self._probing):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        if self._connection is not None:
            self._connection.close()
        self._connection = self._connecting = self._probing = None
        self._failures, self.down, self.refusal = 0, False, None

    async def _asked_anew(self, request: bytes, replies: int, within_s: float) -> list[Reply]:
        connection, left_s = await self._connected(within_s)
        return await connection.ask(request, replies, left_s)

    async def _got_anew(self, request: bytes, keys: int, within_s: float) -> list[Found]:
        connection, left_s = await self._connected(within_s)
        return await connection.get(request, keys, left_s)

    async def _connected(self, within_s: float) -> tuple[Connection, float]:
        """A connection, and what is left of the time."""
        if self.down:
            # It may be connected: to be asked whether it is back, or since before it fell silent.
            raise Silent(sent=False)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within_s
        if self._connecting is None or self._connecting.done():
            self._connecting = asyncio.create_task(self._connect())
        task = self._connecting
        await asyncio.wait({task}, timeout=max(0.0, within_s))
        made = task.result() if task.done() and not task.cancelled() else None
        if made is None:
            raise Silent(sent=False)
        return made, deadline - loop.time()

    async def _connect(self) -> Connection | None:
        """A connection, which is the node's from then on; None when it is refused or takes too long."""
        ends = asyncio.get_running_loop().time() + self._connect_within_s
        try:
            made = await self._reached()
            if made is not None:
                await self._enter(made, ends)
        except ssl.SSLError as error:
            self._refused(turned_away(error))
        except SoundstageError as error:
            self._refused(error)
        except (OSError, Silent):
            self.refusal = None
        else:
            self.refusal = None
            if made is not None:
                self._connection = made
            return made
        return None

    async def _reached(self) -> Connection | None:
        """A connection that TLS, if any, is spoken on; None when that takes too long."""
        loop, context = asyncio.get_running_loop(), self._entry.context()
        making = asyncio.ensure_future(
            loop.create_connection(
                lambda: Connection(loop, self._hang_s),
                self._host,
                self._port,
                ssl=context,
                server_hostname=None if context is None else self._host,
            )
        )
        # Whoever is cancelled meanwhile does not ask what came of it.
        making.add_done_callback(lambda made: made.cancelled() or made.exception())
        try:
            await asyncio.wait({making}, timeout=self._connect_within_s)
        finally:
            if not making.done():
                making.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            return (await making)[1]
        return None

    async def _enter(self, made: Connection, ends: float) -> None:
        """It lets the connection in; when it does not, that is closed."""
        try:
            await self._entry.enter(made, self.name, ends - asyncio.get_running_loop().time())
        except BaseException:
            made.close()
            raise

    def _refused(self, error: SoundstageError) -> None:
        self.refusal = Refusal(type(error), error.detail, error.hint)

    async def _probe(self) -> None:
        """The node answers again, and is no longer down."""
        while True:
            await self._environment.sleep(self._probe_every_s * self._environment.random.uniform(0.75, 1.25))
            if self._connection is not None:
                self._connection.close()
            made = await self._connect()
            if made is None:
                continue
            with contextlib.suppress(Silent):
                await made.ask(PING, 1, self._connect_within_s)
                self._failures, self.down = 0, False
                return
