"""Uploads and downloads over HTTP: sent as they are read, and taken up again where a connection was lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import httpx2
import msgspec
from xxhash import xxh3_128

from soundstage.client.network import late
from soundstage.client.transfers import Headers, Transfers, checked, foreign
from soundstage.core.addresses import address_of
from soundstage.core.call import CallOptions
from soundstage.core.codec import JSON, decoder
from soundstage.core.errors import Exhausted, PreconditionFailed, SoundstageError, Unavailable
from soundstage.core.policy import repeatable
from soundstage.core.streaming import INFO, Content, DownloadOperation, StreamOperation, UploadOperation
from soundstage.core.transfers import Reader, Source, supply_of

ANSWER_MARGIN_S = 0.25
"""The stage ends an upload by its deadline; this lets its answer arrive."""


class RemoteStreams:
    """The uploads and downloads of a connection."""

    def __init__(self, transfers: Transfers) -> None:
        self._transfers = transfers

    async def upload(
        self,
        operation: UploadOperation[..., Any],
        request: Any,
        source: Source,
        options: CallOptions,
        tokened: Callable[[Any], Any],
    ) -> Any:
        """The reply. What can be read twice goes as `tokened` makes it, and again when the connection is lost."""
        supply = await supply_of(source)
        if supply.again:
            request = tokened(request)
        safe = supply.again and repeatable(operation, request, options)
        place = address_of(operation, request)
        now_ns = self._transfers.environment.monotonic_ns
        deadline_ns = None if options.deadline is None else now_ns() + round(options.deadline * 1e9)

        async def attempt() -> Any:
            reader = Reader(supply)
            left_s = None if deadline_ns is None else (deadline_ns - now_ns()) / 1e9
            left = msgspec.structs.replace(options, deadline=left_s)
            with reader.blamed():
                try:
                    async with asyncio.timeout(None if left_s is None else max(0.0, left_s) + ANSWER_MARGIN_S):
                        return await self._send(operation, place, reader, left)
                except TimeoutError:
                    raise late(operation, safe) from None

        def allowed(error: SoundstageError) -> bool:
            again = safe or error.outcome == "not_applied" or isinstance(error, Exhausted)
            return supply.again and error.retryable and again

        return await self._transfers.retrying(attempt, options, deadline_ns, allowed)

    @asynccontextmanager
    async def download(
        self, operation: DownloadOperation[..., Any], request: Any, options: CallOptions
    ) -> AsyncGenerator[Content[Any]]:
        """What `request` names. Its range comes with the first answer, others are asked for when they are read."""
        found = _Found(self._transfers, operation, address_of(operation, request), options)
        range = _range_of(request.start, request.end)
        try:
            await self._transfers.retrying(lambda: found.open(range), options)
            yield Content(found.info, found.size, found.read)
        finally:
            await found.close()

    async def _send(
        self, operation: UploadOperation[..., Any], place: str, reader: Reader, options: CallOptions
    ) -> Any:
        body = await self._transfers.put(place, b"application/octet-stream", reader, 200, _wanted(operation), options)
        return decoder(operation.reply, JSON, strict=False).decode(body)


class _Found:
    """What a download found, and the response that brought it as long as nobody has read that."""

    def __init__(
        self, transfers: Transfers, operation: DownloadOperation[..., Any], place: str, options: CallOptions
    ) -> None:
        self.info: Any = None
        self.size: int = 0
        self._transfers = transfers
        self._operation = operation
        self._place = place
        self._options = options
        self._tag = b""
        self._response: httpx2.Response | None = None
        self._at = (0, 0)

    async def open(self, range: Headers) -> None:
        """It is known what is there; the bytes of `range` are on their way."""
        response = await self._ask("GET", range, taken=(416,))
        bare = response.status_code == 416
        if bare:
            await response.aclose()
            response = await self._ask("HEAD", [])
        self._response = response
        told = response.headers.get(INFO.decode())
        if told is None:
            raise foreign(response)
        self.info = decoder(self._operation.reply, JSON, strict=False).decode(told.encode())
        self._tag = response.headers.get("etag", "").encode()
        self._at, self.size = _extent(response)
        if bare:
            await self.close()

    def read(self, start: int, end: int) -> AsyncGenerator[bytes]:
        """The bytes, going on after the connection was lost. Raises `Unavailable` once it is another value.

        The last of the whole come when all are known to be those that were put, else `DataLoss`.
        """
        parts, checksum = self._parts(start, end), getattr(self.info, "checksum", "")
        whole = checksum and (start, end) == (0, self.size)
        return checked(parts, xxh3_128(), checksum, "the value") if whole else parts

    async def _parts(self, start: int, end: int) -> AsyncGenerator[bytes]:
        resumed = self._transfers.resumed(lambda at: self._from(at, end), start, end, "the download", self._options)
        try:
            async with aclosing(resumed) as parts:
                async for part in parts:
                    yield part
        except PreconditionFailed:
            raise Unavailable(
                "the value was replaced while it was read", hint="read it from its beginning", outcome="not_applied"
            ) from None

    async def _from(self, start: int, end: int) -> AsyncGenerator[bytes]:
        response = await self._response_for(start, end)
        async with aclosing(self._transfers.body_of(response, _wanted(self._operation))) as parts:
            async for part in parts:
                yield part

    async def close(self) -> None:
        """Nothing of it is under way."""
        response, self._response = self._response, None
        if response is not None:
            await response.aclose()

    async def _response_for(self, start: int, end: int) -> httpx2.Response:
        response, self._response = self._response, None
        if response is not None and self._at == (start, end):
            return response
        if response is not None:
            await response.aclose()
        range = [(b"range", b"bytes=%d-%d" % (start, end - 1))]
        response = await self._ask("GET", [*range, (b"if-match", self._tag)] if self._tag else range)
        try:
            if _extent(response) != ((start, end), self.size):
                raise foreign(response)
        except SoundstageError:
            await response.aclose()
            raise
        return response

    async def _ask(self, method: str, headers: Headers, taken: tuple[int, ...] = ()) -> httpx2.Response:
        wanted = _wanted(self._operation)
        return await self._transfers.ask(method, self._place, headers, wanted, self._options, taken)


def _range_of(start: int, end: int | None) -> Headers:
    """The range of a request as a header says it; none for all, and for what is none and will be refused."""
    if start < 0 and end is None:
        return [(b"range", b"bytes=-%d" % -start)]
    if start > 0 or (end is not None and end > start >= 0):
        return [(b"range", b"bytes=%d-%s" % (start, b"" if end is None else b"%d" % (end - 1)))]
    return []


def _extent(response: httpx2.Response) -> tuple[tuple[int, int], int]:
    """Which bytes a response holds, and of how many. Raises `Unreachable` for one that does not say."""
    told = response.headers
    try:
        if response.status_code != 206:
            length = int(told["content-length"])
            return (0, length), length
        range, _, size = told["content-range"].removeprefix("bytes ").partition("/")
        first, _, last = range.partition("-")
        return (int(first), int(last) + 1), int(size)
    except (KeyError, ValueError):
        raise foreign(response) from None


def _wanted(operation: StreamOperation[..., Any]) -> str:
    return f"{operation.system}/{operation.name}"
