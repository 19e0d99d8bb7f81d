"""The other end of a connection: bytes out, responses in, nothing tidied up on the way."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple, cast
from urllib.parse import urlsplit

import msgspec

PATIENCE_S = 20.0
"""Longer than any answer takes; a test that waits for so long has failed."""


async def until(holds: Callable[[], object]) -> None:
    """`holds` is true of the other side, which tells nobody of it."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0)


class Response(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


def request(
    path: str, body: bytes = b"", method: str = "POST", headers: Sequence[str] = (), length: int | None = None
) -> bytes:
    """A request as bytes; `length` is what it says of its body."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *headers]
    if body or length is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body) if length is None else length}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Wire:
    """A connection to a server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, url: str, tls: ssl.SSLContext | None = None) -> Wire:
        place = urlsplit(url)
        name = "localhost" if tls else None
        return cls(*await asyncio.open_connection(place.hostname, place.port, ssl=tls, server_hostname=name))

    async def __aenter__(self) -> Wire:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.transport.abort()

    @property
    def transport(self) -> asyncio.WriteTransport:
        return self._writer.transport

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    def finish(self) -> None:
        """Say that nothing more comes."""
        self._writer.write_eof()

    def pause(self) -> None:
        """Take nothing of what comes, until `go_on`."""
        self._reading.pause_reading()

    def go_on(self) -> None:
        self._reading.resume_reading()

    @property
    def _reading(self) -> asyncio.ReadTransport:
        return cast("asyncio.ReadTransport", self._writer.transport)

    async def ask(self, path: str, message: Any = None, method: str = "POST", headers: Sequence[str] = ()) -> Response:
        """The response to one message as JSON."""
        body = b"" if message is None else msgspec.json.encode(message)
        await self.send(request(path, body, method, headers))
        return await self.response(method)

    async def response(self, method: str = "POST") -> Response:
        """The next response."""
        async with asyncio.timeout(PATIENCE_S):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.rstrip().split("\r\n")
            pairs = (line.split(": ", 1) for line in lines)
            headers = {name.lower(): value for name, value in pairs}
            body = b"" if method == "HEAD" else await self._body(headers)
            return Response(int(first.split()[1]), headers, body)

    async def chunks(self) -> AsyncGenerator[bytes]:
        """The parts of the next response's body, as they come."""
        await self.until(b"\r\n\r\n")
        while size := int((await self.until(b"\r\n")), 16):
            async with asyncio.timeout(PATIENCE_S):
                yield await self._reader.readexactly(size)
                await self._reader.readexactly(2)

    async def until(self, end: bytes) -> bytes:
        """What comes until `end` has come."""
        async with asyncio.timeout(PATIENCE_S):
            return await self._reader.readuntil(end)

    async def closed(self) -> bytes:
        """What comes until the server closes."""
        async with asyncio.timeout(PATIENCE_S):
            return await self._reader.read()

    async def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") != "chunked":
            return await self._reader.readexactly(int(headers.get("content-length", "0")))
        parts: list[bytes] = []
        while size := int(await self._reader.readline(), 16):
            parts.append(await self._reader.readexactly(size))
            await self._reader.readexactly(2)
        await self._reader.readexactly(2)
        return b"".join(parts)


@asynccontextmanager
async def several(url: str, count: int) -> AsyncGenerator[list[Wire]]:
    """So many connections at once."""
    async with AsyncExitStack() as opened:
        yield [await opened.enter_async_context(await Wire.open(url)) for _ in range(count)]


async def ask(url: str, path: str, message: Any = None, method: str = "POST", headers: Sequence[str] = ()) -> Response:
    """The response to one message on a connection of its own."""
    async with await Wire.open(url) as wire:
        return await wire.ask(path, message, method, headers)
