"""The least that HTTP costs in Python: the parser and the loop of our server, and one reply to whatever is asked."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Generator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import cast

import httptools
import uvloop

_BODY = b'{"idempotency_token":{"generation_time":"2026-11-27T00:00:00.000000Z","token":"%b"}}' % (b"0" * 32)
_REPLY = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(_BODY), _BODY)


class _Answering(asyncio.Protocol):
    """Reads requests, bodies and all, and knows nothing of them."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = cast("asyncio.Transport", transport)
        self._parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self._transport.write(_REPLY)


async def _serve(told: Connection) -> None:
    server = await asyncio.get_running_loop().create_server(_Answering, "127.0.0.1", 0)
    told.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def _run(told: Connection) -> None:
    uvloop.run(_serve(told))


@contextmanager
def bare_http() -> Generator[tuple[str, int]]:
    """The address and the process id of such a server."""
    context = multiprocessing.get_context("spawn")
    heard, told = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(told,), daemon=True)
    process.start()
    try:
        assert process.pid is not None
        yield f"http://127.0.0.1:{heard.recv()}", process.pid
    finally:
        process.kill()
        process.join()
