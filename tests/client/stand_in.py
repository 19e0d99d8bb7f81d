"""A network with a scripted far end, so that each test decides what comes back and when."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import httpx2
import msgspec

from soundstage.core.codec import MSGPACK, decoder, msgpack_encode
from soundstage.core.errors import SoundstageError
from soundstage.core.message import IdempotencyToken, Instant
from soundstage.data.kv.api import GetItemsReply, Item, ItemMetadata, PutItemsReply

Answer: TypeAlias = Callable[[httpx2.Request], Awaitable[httpx2.Response]]


class FarEnd(httpx2.AsyncBaseTransport):
    """Answers the n-th request with the n-th answer, and every further one with the last."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = answers
        self.requests: list[httpx2.Request] = []
        self.closed = False

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        return await self.answers[min(len(self.requests), len(self.answers)) - 1](request)

    async def aclose(self) -> None:
        self.closed = True

    def bodies(self, message: type[Any]) -> list[Any]:
        """The messages that arrived."""
        return [decoder(message, MSGPACK).decode(request.read()) for request in self.requests]

    def headers(self, name: str) -> list[str | None]:
        return [request.headers.get(name) for request in self.requests]


class Trickle(httpx2.AsyncByteStream):
    """A body that never ends, a byte at a time."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            await asyncio.sleep(0.01)
            yield b"x"


def reply(message: msgspec.Struct) -> Answer:
    return body(msgpack_encode(message))


def body(content: bytes, status: int = 200, media_type: str = MSGPACK) -> Answer:
    async def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, headers={"content-type": media_type}, content=content)

    return answer


def problem(error: SoundstageError, media_type: str = "application/problem+json") -> Answer:
    encode = msgspec.json.encode if media_type.endswith("json") else msgspec.msgpack.encode
    return body(encode(error.problem("the-request")), error.status, media_type)


def broken(error: Exception) -> Answer:
    async def answer(request: httpx2.Request) -> httpx2.Response:
        raise error

    return answer


def silent() -> Answer:
    async def answer(request: httpx2.Request) -> httpx2.Response:
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")

    return answer


def trickling() -> Answer:
    async def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": MSGPACK}, stream=Trickle())

    return answer


class Parts(httpx2.AsyncByteStream):
    """A body that comes in parts, and then ends, breaks or goes on in silence."""

    def __init__(self, parts: tuple[bytes, ...], end: Exception | None) -> None:
        self._parts = parts
        self._end = end

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            yield part
        if self._end is not None:
            raise self._end


def feed(*parts: bytes, end: Exception | None = None) -> Answer:
    async def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "application/x-ndjson"}, stream=Parts(parts, end))

    return answer


def token(text: str = "t", time_us: int = 1_700_000_000_000_000) -> IdempotencyToken:
    return IdempotencyToken(Instant.from_us(time_us), text)


def put_reply(time_us: int = 1_700_000_000_000_000) -> Answer:
    return reply(PutItemsReply(idempotency_token=token(time_us=time_us)))


def items_reply(*keys: bytes, next_page_token: str | None = None, time_us: int = 1_700_000_000_000_000) -> Answer:
    items = [Item(key=key, value=b"v", metadata=ItemMetadata(token=token(time_us=time_us), size=1)) for key in keys]
    return reply(GetItemsReply(items=items, next_page_token=next_page_token))
