"""Uploads and downloads over HTTP: sent as they are read, and taken up again where a connection was lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any, Protocol, cast

import httpx2
import msgspec
from xxhash import xxh3_128

from soundstage.client.network import Unreachable, foreign_answer, late, unreachable
from soundstage.client.settings import Settings
from soundstage.client.wire import Wire, header_value
from soundstage.core.addresses import address_of
from soundstage.core.call import CallOptions
from soundstage.core.codec import JSON, decoder
from soundstage.core.environment import Environment
from soundstage.core.errors import (
    DataLoss,
    DeadlineExceeded,
    Exhausted,
    PreconditionFailed,
    SoundstageError,
    Unavailable,
)
from soundstage.core.policy import Budget, Resumption, repeatable, retrying
from soundstage.core.streaming import INFO, Content, DownloadOperation, StreamOperation, UploadOperation
from soundstage.core.transfers import Reader, Source, Supply, supply_of

ANSWER_WITHIN_S = 300.0
"""How long a stage may take to store what was sent, once it has all of it."""

ANSWER_MARGIN_S = 0.25
"""The stage ends an upload by its deadline; this lets its answer arrive."""

Headers = list[tuple[bytes, bytes]]


class Exchange(Protocol):
    """Sends a request and gives the response, whose body has not been read."""

    async def __call__(
        self,
        method: str,
        path: str,
        headers: Headers,
        stream: httpx2.AsyncByteStream,
        silence_s: float,
        options: CallOptions = ...,
    ) -> httpx2.Response: ...


class RemoteStreams:
    """The uploads and downloads of a connection."""

    def __init__(
        self, exchange: Exchange, url: str, wire: Wire, settings: Settings, retries: Budget, environment: Environment
    ) -> None:
        self._exchange = exchange
        self._url = url
        self._wire = wire
        self._settings = settings
        self._retries = retries
        self._environment = environment

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
        now_ns = self._environment.monotonic_ns
        deadline_ns = None if options.deadline is None else now_ns() + round(options.deadline * 1e9)

        async def attempt() -> Any:
            reader = Reader(supply)
            left_s = None if deadline_ns is None else (deadline_ns - now_ns()) / 1e9
            left = msgspec.structs.replace(options, deadline=left_s)
            try:
                async with asyncio.timeout(None if left_s is None else max(0.0, left_s) + ANSWER_MARGIN_S):
                    return await self._send(operation, place, supply, reader, left)
            except TimeoutError:
                raise late(operation, safe) from None
            except SoundstageError:
                if reader.failure is not None:
                    raise reader.failure from None
                raise

        def allowed(error: SoundstageError) -> bool:
            again = safe or error.outcome == "not_applied" or isinstance(error, Exhausted)
            return supply.again and error.retryable and again

        return await retrying(attempt, self._settings.retry, self._retries, self._environment, deadline_ns, allowed)

    @asynccontextmanager
    async def download(
        self, operation: DownloadOperation[..., Any], request: Any, options: CallOptions
    ) -> AsyncGenerator[Content[Any]]:
        """What `request` names. Its range comes with the first answer, others are asked for when they are read."""
        found = _Found(self, operation, address_of(operation, request), options)
        try:
            await retrying(
                lambda: found.open(_range_of(request.start, request.end)),
                self._settings.retry,
                self._retries,
                self._environment,
            )
            yield Content(found.info, found.size, found.read)
        finally:
            await found.close()

    def resumption(self) -> Resumption:
        """Tries of what broke off."""
        return Resumption(self._settings.retry, self._environment)

    async def ask(
        self, operation: StreamOperation[..., Any], method: str, place: str, headers: Headers, options: CallOptions
    ) -> httpx2.Response:
        """The response to a request without a body; 416 too, and for others the problem that it carries is raised."""
        headers = [*headers, *_timeout(options)]
        try:
            silence_s = self._settings.timeout if options.deadline is None else options.deadline
            response = await self._exchange(method, place, headers, httpx2.ByteStream(b""), silence_s, options)
        except (httpx2.HTTPError, OSError) as error:
            raise unreachable(error, self._url, f"{operation.system}/{operation.name}") from error
        if response.status_code in {200, 206, 416}:
            return response
        try:
            kind = response.headers.get("content-type", "")
            raise self._wire.problem(response.status_code, kind, await self._wire.read(response))
        finally:
            await response.aclose()

    async def parts_of(self, operation: StreamOperation[..., Any], response: httpx2.Response) -> AsyncGenerator[bytes]:
        """The body of a response, which is closed at its end."""
        try:
            async for chunk in cast("httpx2.AsyncByteStream", response.stream):
                yield chunk
        except (httpx2.HTTPError, OSError) as error:
            raise unreachable(error, self._url, f"{operation.system}/{operation.name}") from error
        finally:
            await response.aclose()

    async def _send(
        self, operation: UploadOperation[..., Any], place: str, supply: Supply, reader: Reader, options: CallOptions
    ) -> Any:
        length = supply.size
        headers = [
            (b"content-type", b"application/octet-stream"),
            (b"accept", JSON.encode()),
            (b"transfer-encoding", b"chunked") if length is None else (b"content-length", b"%d" % length),
            *_timeout(options),
        ]
        silence_s = max(self._settings.timeout, ANSWER_WITHIN_S)
        try:
            response = await self._exchange("PUT", place, headers, Sending(reader.chunks), silence_s, options)
        except (httpx2.HTTPError, OSError) as error:
            raise unreachable(error, self._url, f"{operation.system}/{operation.name}") from error
        try:
            body, kind = await self._wire.read(response), response.headers.get("content-type", "")
        finally:
            await response.aclose()
        if response.status_code >= 400:
            raise self._wire.problem(response.status_code, kind, body)
        if response.status_code != 200:
            raise foreign_answer(response.status_code, kind)
        return decoder(operation.reply, JSON, strict=False).decode(body)


class _Found:
    """What a download found, and the response that brought it as long as nobody has read that."""

    def __init__(
        self, streams: RemoteStreams, operation: DownloadOperation[..., Any], place: str, options: CallOptions
    ) -> None:
        self.info: Any = None
        self.size: int = 0
        self._streams = streams
        self._operation = operation
        self._place = place
        self._options = options
        self._tag = b""
        self._response: httpx2.Response | None = None
        self._at = (0, 0)

    async def open(self, range: Headers) -> None:
        """It is known what is there; the bytes of `range` are on their way."""
        response = await self._ask("GET", range)
        bare = response.status_code == 416
        if bare:
            await response.aclose()
            response = await self._ask("HEAD", [])
        self._response = response
        told = response.headers.get(INFO.decode())
        if told is None:
            raise _foreign(response)
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
        return checked(parts, checksum) if checksum and (start, end) == (0, self.size) else parts

    async def _parts(self, start: int, end: int) -> AsyncGenerator[bytes]:
        resumption = self._streams.resumption()
        while start < end:
            try:
                response = await self._response_for(start, end)
                async with aclosing(self._streams.parts_of(self._operation, response)) as parts:
                    async for part in parts:
                        start += len(part)
                        resumption.went_on()
                        yield part
                if start < end:
                    raise Unreachable("the download broke off", hint="try again", retryable=True, outcome="not_applied")
            except PreconditionFailed:
                raise Unavailable(
                    "the value was replaced while it was read", hint="read it from its beginning", outcome="not_applied"
                ) from None
            except SoundstageError as error:
                await resumption.wait(error)

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
                raise _foreign(response)
        except SoundstageError:
            await response.aclose()
            raise
        return response

    async def _ask(self, method: str, headers: Headers) -> httpx2.Response:
        return await self._streams.ask(self._operation, method, self._place, headers, self._options)


async def checked(parts: AsyncGenerator[bytes], checksum: str) -> AsyncGenerator[bytes]:
    """`parts`, the last of which comes when all are known to have that 128-bit XXH3. Raises `DataLoss`."""
    digest, held = xxh3_128(), b""
    async with aclosing(parts):
        async for part in parts:
            digest.update(part)
            if held:
                yield held
            held = part
    if digest.hexdigest() != checksum:
        raise DataLoss(
            "what came is not what was put: its checksum is another", hint="read it again; if it stays so, put it anew"
        )
    if held:
        yield held


class Sending(httpx2.AsyncByteStream):
    """A body on its way."""

    def __init__(self, open: Callable[[], AsyncGenerator[bytes]]) -> None:
        self._open = open
        self._chunks: AsyncGenerator[bytes] | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self._chunks = self._open()
        async for chunk in self._chunks:
            yield chunk

    async def aclose(self) -> None:
        """What was begun to be read is closed."""
        if self._chunks is not None:
            await self._chunks.aclose()


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
        raise _foreign(response) from None


def _foreign(response: httpx2.Response) -> Unreachable:
    return foreign_answer(response.status_code, response.headers.get("content-type", ""))


def _timeout(options: CallOptions) -> Headers:
    if options.deadline is None:
        return []
    if options.deadline <= 0:
        raise DeadlineExceeded(
            "the deadline passed before the call was sent", hint="allow more time", outcome="not_applied"
        )
    return [(b"soundstage-timeout", header_value("deadline", f"{max(1, round(options.deadline * 1_000))}ms"))]
