"""What files, uploads and downloads have in common: bodies of any length, sent and read over one connection."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Protocol, TypeAlias, TypeVar, cast

import httpx2

from soundstage.client.network import Unreachable, foreign_answer, unreachable
from soundstage.client.settings import Settings
from soundstage.client.wire import Wire, header_value
from soundstage.core.call import DEFAULT_OPTIONS, CallOptions
from soundstage.core.codec import JSON
from soundstage.core.environment import Environment
from soundstage.core.errors import (
    DataLoss,
    DeadlineExceeded,
    Exhausted,
    Forbidden,
    InvalidArgument,
    NotFound,
    PreconditionFailed,
    SoundstageError,
    Unauthenticated,
    Unavailable,
)
from soundstage.core.policy import Budget, Resumption, is_retryable, policy_of, retrying
from soundstage.core.transfers import Reader

T = TypeVar("T")

Headers: TypeAlias = list[tuple[bytes, bytes]]

ANSWER_WITHIN_S = 300.0
"""How long a stage may take to store what was sent, once it has all of it."""

_WITHOUT_WORDS: dict[int, type[SoundstageError]] = {
    error.status: error
    for error in (InvalidArgument, Unauthenticated, Forbidden, NotFound, PreconditionFailed, Exhausted, Unavailable)
}
"""What the status of a reply without a body means."""


class Exchange(Protocol):
    """Sends a request and gives the response, whose body has not been read."""

    async def __call__(
        self,
        method: str,
        path: str,
        headers: Headers,
        stream: httpx2.AsyncByteStream,
        silence_s: float,
        options: CallOptions,
    ) -> httpx2.Response: ...


class Digest(Protocol):
    """What `hashlib` and `xxhash` make."""

    def update(self, data: bytes, /) -> object: ...

    def hexdigest(self) -> str: ...


class Transfers:
    """Requests of one connection with bodies of any length. What is `wanted` of them, errors say."""

    def __init__(
        self, exchange: Exchange, url: str, wire: Wire, settings: Settings, retries: Budget, environment: Environment
    ) -> None:
        self.environment: Environment = environment
        self._exchange = exchange
        self._url = url
        self._wire = wire
        self._settings = settings
        self._retries = retries

    async def ask(
        self,
        method: str,
        place: str,
        headers: Headers,
        wanted: str,
        options: CallOptions = DEFAULT_OPTIONS,
        taken: tuple[int, ...] = (),
    ) -> httpx2.Response:
        """The response to a request without a body that was taken, or refused with a status of `taken`; to be closed.

        Raises the problem that another one is.
        """
        silence_s = self._settings.timeout if options.deadline is None else options.deadline
        return await self._answer(method, place, headers, httpx2.ByteStream(b""), silence_s, wanted, options, taken)

    async def put(
        self,
        place: str,
        media_type: bytes,
        reader: Reader,
        status: int,
        wanted: str,
        options: CallOptions = DEFAULT_OPTIONS,
        also: Callable[[bytes], object] = len,
    ) -> bytes:
        """The body of the answer to what `reader` brings, of which `also` is told part by part."""
        length = reader.size
        headers = [
            (b"content-type", media_type),
            (b"accept", JSON.encode()),
            (b"transfer-encoding", b"chunked") if length is None else (b"content-length", b"%d" % length),
        ]
        silence_s = max(self._settings.timeout, ANSWER_WITHIN_S)
        sending = _Sending(reader.chunks, also)
        async with aclosing(await self._answer("PUT", place, headers, sending, silence_s, wanted, options)) as response:
            body = await self._wire.read(response)
        if response.status_code != status:
            raise foreign(response)
        return body

    async def body_of(self, response: httpx2.Response, wanted: str) -> AsyncGenerator[bytes]:
        """The body of a response, which is closed at its end."""
        async with aclosing(response):
            try:
                async for chunk in cast("httpx2.AsyncByteStream", response.stream):
                    yield chunk
            except (httpx2.HTTPError, OSError) as error:
                raise unreachable(error, self._url, wanted) from error

    async def resumed(
        self,
        parts: Callable[[int], AsyncGenerator[bytes]],
        start: int,
        end: int,
        wanted: str,
        options: CallOptions = DEFAULT_OPTIONS,
    ) -> AsyncGenerator[bytes]:
        """The bytes from `start` to before `end`, which `parts` brings from any place on, taken up where it broke off.

        Tries are counted anew whenever it went on.
        """
        resumption = Resumption(policy_of(self._settings.retry, options), self.environment)
        while start < end:
            try:
                async with aclosing(parts(start)) as coming:
                    async for part in coming:
                        start += len(part)
                        resumption.went_on()
                        yield part
                if start < end:
                    raise Unreachable(f"{wanted} broke off", hint="try again", retryable=True, outcome="not_applied")
            except SoundstageError as error:
                await resumption.wait(error)

    async def retrying(
        self,
        attempt: Callable[[], Awaitable[T]],
        options: CallOptions = DEFAULT_OPTIONS,
        deadline_ns: int | None = None,
        allowed: Callable[[SoundstageError], bool] = is_retryable,
    ) -> T:
        """See `policy.retrying`."""
        policy = policy_of(self._settings.retry, options)
        return await retrying(attempt, policy, self._retries, self.environment, deadline_ns, allowed)

    async def _answer(
        self,
        method: str,
        place: str,
        headers: Headers,
        stream: httpx2.AsyncByteStream,
        silence_s: float,
        wanted: str,
        options: CallOptions,
        taken: tuple[int, ...] = (),
    ) -> httpx2.Response:
        headers = [*headers, *_timeout(options)]
        try:
            response = await self._exchange(method, place, headers, stream, silence_s, options)
        except (httpx2.HTTPError, OSError) as error:
            raise unreachable(error, self._url, wanted) from error
        if response.status_code < 300 or response.status_code in taken:
            return response
        async with aclosing(response):
            if method == "HEAD" and response.status_code in _WITHOUT_WORDS:
                found = _WITHOUT_WORDS[response.status_code]
                raise found(f"{found.title.lower()}: {wanted}")
            kind = response.headers.get("content-type", "")
            raise self._wire.problem(response.status_code, kind, await self._wire.read(response))


async def checked(parts: AsyncGenerator[bytes], digest: Digest, checksum: str, what: str) -> AsyncGenerator[bytes]:
    """`parts`, the last of which comes when `checksum` is known to be that of all. Raises `DataLoss`."""
    held = b""
    async with aclosing(parts):
        async for part in parts:
            digest.update(part)
            if held:
                yield held
            held = part
    if digest.hexdigest() != checksum:
        raise DataLoss(
            f"what came of {what} is not what was sent: its checksum is another",
            hint="read it again; if it stays so, send it anew",
        )
    if held:
        yield held


def foreign(response: httpx2.Response) -> Unreachable:
    """That `response` is of no stage."""
    return foreign_answer(response.status_code, response.headers.get("content-type", ""))


class _Sending(httpx2.AsyncByteStream):
    """A body on its way."""

    def __init__(self, open: Callable[[], AsyncGenerator[bytes]], also: Callable[[bytes], object]) -> None:
        self._open = open
        self._also = also
        self._chunks: AsyncGenerator[bytes] | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self._chunks = self._open()
        async for chunk in self._chunks:
            self._also(chunk)
            yield chunk

    async def aclose(self) -> None:
        """What was begun to be read is closed."""
        if self._chunks is not None:
            await self._chunks.aclose()


def _timeout(options: CallOptions) -> Headers:
    if options.deadline is None:
        return []
    if options.deadline <= 0:
        raise DeadlineExceeded(
            "the deadline passed before the call was sent", hint="allow more time", outcome="not_applied"
        )
    return [(b"soundstage-timeout", header_value("deadline", f"{max(1, round(options.deadline * 1_000))}ms"))]
