"""A wire between an engine and its server that can be cut, can lose an answer, is slow, or speaks TLS to the engine."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

PIECE_BYTES = 16 << 10


class Proxy:
    """Passes bytes on; what is to go wrong goes wrong once, then all is well."""

    def __init__(self, endpoint: str, tls: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(endpoint)
        self._to = (parts.hostname, parts.port)
        self._tls = tls
        self._port = 0
        self._serving: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []
        self.cut_after: int | None = None
        """Bytes of one answer after which its connection ends."""
        self.lose_answer_to: bytes | None = None
        """What a request holds whose answer is not passed on: the connection ends in its place."""
        self.forgets: bytes | None = None
        """The name of a header that is passed on by another name, so that the server takes no notice of it."""
        self.pause_s: float = 0.0
        """Before each piece of an answer."""
        self.requests: bytes = b""
        """All that was sent to the server, but for long bodies."""
        self.answered: int = 0
        """Bytes that were passed on to the engine."""
        self.open: int = 0
        """Connections of the engine."""

    @property
    def url(self) -> str:
        scheme = "http" if self._tls is None else "https"
        return f"{scheme}://localhost:{self._port}"

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[Proxy]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
        self._port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self._serving:
                task.cancel()
            await asyncio.gather(*self._serving, return_exceptions=True)
            for writer in self._writers:
                writer.transport.abort()

    async def deserted(self) -> None:
        """No connection of the engine is left, or is about to end."""
        for _ in range(1_000):
            if not self.open:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"{self.open} connections were left")

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            from_server, to_server = await asyncio.open_connection(*self._to)
            self._writers.append(to_server)
            lost = asyncio.Event()
            ways = [
                asyncio.ensure_future(self._ask(reader, to_server, lost)),
                asyncio.ensure_future(self._answer(from_server, writer, lost)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
                await _closed(to_server)
        finally:
            self.open -= 1
            await _closed(writer)

    async def _ask(self, reader: asyncio.StreamReader, to_server: asyncio.StreamWriter, lost: asyncio.Event) -> None:
        while piece := await reader.read(PIECE_BYTES):
            self.requests += piece[:2_048]
            if self.lose_answer_to is not None and self.lose_answer_to in piece:
                self.lose_answer_to = None
                lost.set()
            if self.forgets is not None:
                piece = piece.replace(b"\r\n%s:" % self.forgets, b"\r\nX%s:" % self.forgets[1:])
            to_server.write(piece)
            await to_server.drain()

    async def _answer(
        self, from_server: asyncio.StreamReader, writer: asyncio.StreamWriter, lost: asyncio.Event
    ) -> None:
        passed = 0
        with suppress(ConnectionError):
            while piece := await from_server.read(PIECE_BYTES):
                if lost.is_set():
                    return
                if self.cut_after is not None and passed + len(piece) > self.cut_after:
                    writer.write(piece[: self.cut_after - passed])
                    self.cut_after = None
                    await writer.drain()
                    return
                if self.pause_s:
                    await asyncio.sleep(self.pause_s)
                writer.write(piece)
                await writer.drain()
                passed += len(piece)
                self.answered += len(piece)


async def _closed(writer: asyncio.StreamWriter) -> None:
    """The connection has ended, without a farewell if need be."""
    writer.transport.abort()
    with suppress(OSError):
        await writer.wait_closed()
