"""Bodies of requests: read whole, within the limits on each and on all together."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from soundstage.core.errors import Exhausted, TooLarge
from soundstage.runtime.config import HttpConfig
from soundstage.surface.http.asgi import Receive
from soundstage.surface.http.compression import CODINGS, decompress
from soundstage.surface.http.head import Head
from soundstage.surface.http.media import UnknownCoding

SMALL_BYTES = 64 << 10
"""Bodies up to this size are not counted: what connections may hold of them is bounded by their number."""


class Disconnected(Exception):
    """The caller hung up before its request was whole."""


class BodyTooLarge(TooLarge):
    """The body is over the limit, and the rest of it may still be on its way."""


class Bodies:
    """What all requests of a server hold in memory. `held` counts the bytes of the large ones."""

    def __init__(self, config: HttpConfig) -> None:
        self._max_body = int(config.max_body)
        self._max_held = int(config.max_buffered)
        self.held: int = 0

    async def read(self, head: Head, receive: Receive) -> bytes:
        """The body, decompressed.

        Raises `TooLarge`, `Exhausted` when others take all the memory there is for bodies, `UnknownCoding`,
        `InvalidArgument` for a damaged coding, `Disconnected`.
        """
        limit = self._max_body
        if head.content_length and _declared(head.content_length) > limit:
            raise _too_large(limit)
        message = await receive()
        body: bytes = message.get("body", b"")
        if message.get("more_body") or message["type"] == "http.disconnect":
            body = await self._rest(body, message, receive)
        if len(body) > limit:
            raise _too_large(limit)
        if not head.content_encoding:
            return body
        return await self._decoded(body, head.content_encoding.decode("latin-1").strip().lower())

    @contextmanager
    def holding(self, size: int) -> Generator[None]:
        """`size` bytes are counted while the block runs. Raises `Exhausted`."""
        self._hold(size)
        try:
            yield
        finally:
            self.held -= size

    async def _rest(self, body: bytes, message: dict[str, Any], receive: Receive) -> bytes:
        parts, size = [body], len(body)
        self._hold(size)
        try:
            while message.get("more_body"):
                if size > self._max_body:
                    raise _too_large(self._max_body)
                message = await receive()
                part: bytes = message.get("body", b"")
                self._hold(len(part))
                size += len(part)
                parts.append(part)
        finally:
            self.held -= size
        if message["type"] == "http.disconnect":
            raise Disconnected
        return b"".join(parts)

    async def _decoded(self, body: bytes, coding: str) -> bytes:
        if coding == "identity":
            return body
        if coding not in CODINGS:
            raise UnknownCoding(
                f"the content coding {coding[:40]!r} is not read here",
                field="Content-Encoding",
                hint="send gzip, zstd or none",
            )
        # Not to be known before it is there, so that the most it may be is counted.
        with self.holding(self._max_body):
            return await decompress(body, coding, self._max_body)

    def _hold(self, size: int) -> None:
        if self.held + size > self._max_held:
            raise Exhausted(
                f"requests under way hold {self.held} bytes of bodies, the limit is {self._max_held}",
                hint="retry, or send smaller requests",
                retry_after_ms=1_000,
            )
        self.held += size


def _declared(content_length: bytes) -> int:
    return int(content_length) if content_length.isdigit() else 0


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body is over {limit} bytes", field="Content-Length", hint="split the request")
