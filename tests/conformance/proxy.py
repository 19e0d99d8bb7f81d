"""A wire between an engine and its server that can be cut, can lose an answer, is slow, or speaks TLS to the engine."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

PIECE_BYTES = 16 << 10

PIECES_PER_S = 20
"""Of what goes at a certain pace, so that it goes steadily."""


class Proxy:
    """Passes bytes on to the server of a URL.

    What is to go wrong goes wrong once, then all is well; what is slow is so until it is said to be quick again.
    """

    def __init__(self, endpoint: str, tls: ssl.SSLContext | None = None, port: int = 0) -> None:
        parts = urlsplit(endpoint)
        self._to = (parts.hostname, parts.port)
        self._tls = tls
        self._port = port
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
        self.bytes_per_s: int | None = None
        """Of each connection, in each direction; None for as many as there are."""
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

    @property
    def address(self) -> str:
        """Host and port, for URLs that are not of HTTP."""
        return f"127.0.0.1:{self._port}"

    def slow(self, pause_s: float, bytes_per_s: int | None = None) -> None:
        """From here on every answer takes longer."""
        self.pause_s, self.bytes_per_s = pause_s, bytes_per_s

    def quick(self) -> None:
        """All is as without a proxy, but for what is on its way."""
        self.pause_s, self.bytes_per_s = 0.0, None

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[Proxy]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", self._port, ssl=self._tls)
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
            await self._pass(piece, to_server)

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
                await self._pass(piece, writer)
                passed += len(piece)
                self.answered += len(piece)

    async def _pass(self, piece: bytes, writer: asyncio.StreamWriter) -> None:
        """At the pace of the moment, which may change amid it."""
        while self.bytes_per_s is not None and piece:
            part, piece = piece[: (size := max(1, self.bytes_per_s // PIECES_PER_S))], piece[size:]
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(len(part) / self.bytes_per_s if self.bytes_per_s else 0)
        writer.write(piece)
        await writer.drain()


async def _closed(writer: asyncio.StreamWriter) -> None:
    """The connection has ended, without a farewell if need be."""
    writer.transport.abort()
    with suppress(OSError):
        await writer.wait_closed()
