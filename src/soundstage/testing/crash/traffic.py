"""Clients of a server that is about to be killed: they go on until it is, and nothing else may end them."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Sequence
from typing import Any

from soundstage.client import Connection, Settings, connect
from soundstage.core.errors import DeadlineExceeded, SoundstageError, Unavailable
from soundstage.core.policy import RetryPolicy

ONE_TRY: Settings = Settings(retry=RetryPolicy(retries=0), timeout=10.0)


class Broken(AssertionError):
    """A promise was broken: something acknowledged or shown is gone, or something is half there."""


class Traffic(ABC):
    """Clients against one server after another, and what each of these must hold."""

    def __init__(self) -> None:
        self._connection: Connection
        self._tasks: list[asyncio.Task[None]] = []
        self._enough: asyncio.Event
        self._until = 0

    @property
    @abstractmethod
    def acknowledged(self) -> int:
        """How many calls were, over all servers."""

    @property
    @abstractmethod
    def in_doubt(self) -> int:
        """How many calls were under way when the server died."""

    @abstractmethod
    async def prepare(self, url: str) -> None:
        """The namespace is there."""

    @abstractmethod
    def clients(self, connection: Connection) -> Sequence[Coroutine[Any, Any, None]]:
        """What goes on until the server dies; `noted` is called after each call that is acknowledged."""

    @abstractmethod
    async def check(self, connection: Connection) -> None:
        """Raise `Broken` unless everything promised is there."""

    async def run(self, url: str, until: int) -> None:
        """Write and read until `until` calls are acknowledged in all; then all clients are still at it.

        The caller kills the server when this returns, in the middle of their calls, and then awaits `settle`.
        Raises `Broken` when a client was refused before that.
        """
        self._connection = connect(url, settings=ONE_TRY)
        self._until, self._enough = until, asyncio.Event()
        self._tasks = [asyncio.create_task(each) for each in self.clients(self._connection)]
        enough = asyncio.create_task(self._enough.wait())
        done, _ = await asyncio.wait([enough, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
        if enough not in done:
            enough.cancel()
            raise Broken(f"a client was refused while its server was well: {done.pop().exception()}")

    async def settle(self) -> None:
        """Every client has met the end of its server; raises `Broken` for a promise broken before that."""
        outcomes = await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._connection.close()
        for outcome in outcomes:
            if not isinstance(outcome, Unavailable | DeadlineExceeded):
                raise Broken(f"a client met something else than the end of its server: {outcome!r}")

    async def verify(self, url: str) -> None:
        """Raise `Broken` unless the server at `url` keeps every promise made before it was started."""
        async with connect(url) as connection:
            try:
                await self.check(connection)
            except SoundstageError as error:
                raise Broken(f"what was acknowledged cannot be read: {error}") from error

    def noted(self) -> None:
        """A call was acknowledged."""
        if self.acknowledged >= self._until:
            self._enough.set()
