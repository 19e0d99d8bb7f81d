"""Connections to one stage, each used by one call at a time.

A transport of httpx2 goes through all its connections, and asks the system about the idle ones, before and after
every call. Here each has a transport of its own, and the one that was used last is taken next, so that a call costs
the same however many there are.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import cast

import httpx2


class Pool(httpx2.AsyncBaseTransport):
    """At most `limit` transports made by `open`, of one connection each.

    Further calls wait as long as their time-out `pool` allows, then fail with `PoolTimeout`, never sent.
    """

    def __init__(self, open: Callable[[], httpx2.AsyncBaseTransport], limit: int) -> None:
        self._open = open
        self._places = asyncio.Semaphore(limit)
        self._idle: list[httpx2.AsyncBaseTransport] = []
        self._closed = False

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """The response of one of the connections, which is free again when the response is closed."""
        await self._enter(request)
        transport = self._idle.pop() if self._idle else self._open()
        try:
            response = await transport.handle_async_request(request)
        except BaseException:
            await self._leave(transport)
            raise
        if response.is_closed:
            await self._leave(transport)
            return response
        response.stream = _Lent(cast("httpx2.AsyncByteStream", response.stream), self, transport)
        return response

    async def aclose(self) -> None:
        """The idle connections are closed; the others will be when their calls have ended. Idempotent."""
        self._closed = True
        while self._idle:
            await self._idle.pop().aclose()

    async def _enter(self, request: httpx2.Request) -> None:
        if not self._places.locked():
            await self._places.acquire()
            return
        try:
            async with asyncio.timeout(request.extensions.get("timeout", {}).get("pool")):
                await self._places.acquire()
        except TimeoutError:
            raise httpx2.PoolTimeout("all connections are in use", request=request) from None

    async def _leave(self, transport: httpx2.AsyncBaseTransport) -> None:
        self._places.release()
        if self._closed:
            await transport.aclose()
        else:
            self._idle.append(transport)

    async def give_back(self, stream: httpx2.AsyncByteStream, transport: httpx2.AsyncBaseTransport) -> None:
        """The response has ended, and its transport is free."""
        try:
            await stream.aclose()
        finally:
            await self._leave(transport)


class _Lent(httpx2.AsyncByteStream):
    """A body whose connection goes back to the pool with it."""

    def __init__(self, stream: httpx2.AsyncByteStream, pool: Pool, transport: httpx2.AsyncBaseTransport) -> None:
        self._stream = stream
        self._pool = pool
        self._transport: httpx2.AsyncBaseTransport | None = transport

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._stream.__aiter__()

    async def aclose(self) -> None:
        if self._transport is not None:
            transport, self._transport = self._transport, None
            await self._pool.give_back(self._stream, transport)
