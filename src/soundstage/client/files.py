"""Files of a stage over HTTP: streamed both ways, checked, and taken up again where a connection was lost."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from hashlib import sha256
from typing import Protocol, TypeVar, cast
from urllib.parse import quote, unquote, urlencode

import httpx2

from soundstage.client.network import Unreachable, foreign_answer, unreachable
from soundstage.client.settings import Settings
from soundstage.client.wire import Wire
from soundstage.core.codec import JSON, decoder
from soundstage.core.environment import Environment
from soundstage.core.errors import (
    AlreadyExists,
    DataLoss,
    Exhausted,
    Forbidden,
    InvalidArgument,
    NotFound,
    SoundstageError,
    Unauthenticated,
    Unavailable,
)
from soundstage.core.files import DEFAULT_MEDIA_TYPE, PATH, File
from soundstage.core.ids import uuid7
from soundstage.core.policy import Budget, Resumption, is_retryable, retrying
from soundstage.core.time import Duration
from soundstage.core.transfers import FileAccess, Source, Supply, blob_of, supply_of

T = TypeVar("T")

ANSWER_WITHIN_S = 300.0
"""How long a stage may take to write what was sent to its disk."""

_WITHOUT_WORDS: dict[int, type[SoundstageError]] = {
    error.status: error for error in (InvalidArgument, Unauthenticated, Forbidden, NotFound, Exhausted, Unavailable)
}
"""What the status of a reply without a body means."""

_NAME = re.compile(r"filename\*=UTF-8''([^;]*)")


class Sender(Protocol):
    """Sends a request and gives the response, whose body has not been read."""

    async def __call__(
        self,
        method: str,
        path: str,
        headers: list[tuple[bytes, bytes]],
        stream: httpx2.AsyncByteStream,
        silence_s: float,
    ) -> httpx2.Response: ...


class RemoteFiles(FileAccess):
    """The files of a stage that runs somewhere else; `connection.files`."""

    def __init__(
        self, send: Sender, url: str, wire: Wire, settings: Settings, retries: Budget, environment: Environment
    ) -> None:
        self._send = send
        self._retries = retries
        self._url = url
        self._wire = wire
        self._settings = settings
        self._environment = environment

    async def upload(
        self,
        source: Source,
        *,
        name: str | None = None,
        media_type: str = DEFAULT_MEDIA_TYPE,
        ttl: Duration | None = None,
    ) -> File:
        """See `FileAccess`. What can be read twice is sent again when the connection is lost."""
        supply = await supply_of(source)
        said = {"name": supply.name if name is None else name, "ttl": None if ttl is None else str(ttl)}
        query = urlencode({key: value for key, value in said.items() if value})
        blob = uuid7(self._environment)

        async def attempt() -> File:
            sending = _Sending(supply)
            try:
                return _checked(await self._put(blob, query, media_type, sending), sending.sha256)
            except AlreadyExists:
                # An earlier try was kept, and the answer to it lost: the id is nobody else's.
                return _checked(await self.info(blob), await _sha256_of(supply))

        return await self._retrying(attempt, lambda error: supply.again and error.retryable)

    async def info(self, file: File | str) -> File:
        blob = blob_of(file)

        async def attempt() -> File:
            async with self._asked("HEAD", blob, []) as response:
                return _file_of(blob, response)

        return await self._retrying(attempt)

    async def open(self, file: File | str, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes]:
        """See `FileAccess`. A lost connection is taken up where it broke off."""
        found = await self.info(file)
        last = found.size if end is None else end
        digest = sha256() if (start, last) == (0, found.size) else None
        if not 0 <= start <= last <= found.size:
            raise InvalidArgument(
                f"bytes {start} to {last} are no range of a file of {found.size}",
                field="range",
                hint="0 <= start <= end <= size",
            )
        position, resumption = start, Resumption(self._settings.retry, self._environment)
        while position < last:
            try:
                async with aclosing(self._read(found, position, last)) as chunks:
                    async for chunk in chunks:
                        position += len(chunk)
                        resumption.went_on()
                        if digest is not None:
                            digest.update(chunk)
                        yield chunk
                if position < last:
                    raise _broken_off(found)
            except SoundstageError as error:
                await resumption.wait(error)
        if digest is not None and digest.hexdigest() != found.sha256:
            raise DataLoss(f"what came of the file {found.blob} is not what was sent", hint="read it again")

    async def delete(self, file: File | str) -> bool:
        tried = 0

        async def attempt() -> bool:
            nonlocal tried
            tried += 1
            try:
                async with self._asked("DELETE", blob_of(file), []):
                    return True
            except NotFound:
                # The answer to an earlier try may have been lost.
                return tried > 1

        return await self._retrying(attempt)

    async def _put(self, blob: str, query: str, media_type: str, sending: _Sending) -> File:
        length = sending.supply.size
        headers = [
            (b"content-type", media_type.encode("latin-1", "replace")),
            (b"accept", JSON.encode()),
            (b"transfer-encoding", b"chunked") if length is None else (b"content-length", b"%d" % length),
        ]
        place = f"{PATH}/{blob}?{query}" if query else f"{PATH}/{blob}"
        async with self._exchange("PUT", place, headers, sending) as response:
            body = await self._wire.read(response)
            if response.status_code != 201:
                raise foreign_answer(response.status_code, response.headers.get("content-type", ""))
            return decoder(File, JSON, strict=False).decode(body)

    async def _read(self, file: File, start: int, end: int) -> AsyncGenerator[bytes]:
        headers = [(b"range", b"bytes=%d-%d" % (start, end - 1)), (b"if-range", f'"{file.sha256}"'.encode())]
        async with self._asked("GET", file.blob, headers) as response:
            whole = response.status_code == 200
            if whole and (start, end) != (0, file.size):
                raise DataLoss(f"the file {file.blob} is another one by now", hint="read it from its beginning")
            try:
                async for chunk in cast("httpx2.AsyncByteStream", response.stream):
                    yield chunk
            except (httpx2.HTTPError, OSError) as error:
                raise unreachable(error, self._url, f"the file {file.blob}") from error

    @asynccontextmanager
    async def _asked(
        self, method: str, blob: str, headers: list[tuple[bytes, bytes]]
    ) -> AsyncGenerator[httpx2.Response]:
        place = f"{PATH}/{quote(blob, safe='')}"
        async with self._exchange(method, place, headers, httpx2.ByteStream(b"")) as response:
            yield response

    @asynccontextmanager
    async def _exchange(
        self, method: str, path: str, headers: list[tuple[bytes, bytes]], stream: httpx2.AsyncByteStream
    ) -> AsyncGenerator[httpx2.Response]:
        """The response to a request that was taken; raises the problem that another one is."""
        silence_s = max(self._settings.timeout, ANSWER_WITHIN_S if method == "PUT" else 0)
        try:
            response = await self._send(method, path, headers, stream, silence_s)
        except (httpx2.HTTPError, OSError) as error:
            raise unreachable(error, self._url, f"{method} {PATH}") from error
        try:
            if response.status_code >= 300:
                await self._raise(method, path, response)
            yield response
        finally:
            await response.aclose()

    async def _raise(self, method: str, path: str, response: httpx2.Response) -> None:
        if method == "HEAD" and response.status_code in _WITHOUT_WORDS:
            found = _WITHOUT_WORDS[response.status_code]
            raise found(f"{found.title.lower()}: the file {unquote(path.rpartition('/')[2])}", field="blob")
        kind = response.headers.get("content-type", "")
        raise self._wire.problem(response.status_code, kind, await self._wire.read(response))

    async def _retrying(
        self, attempt: Callable[[], Awaitable[T]], allowed: Callable[[SoundstageError], bool] | None = None
    ) -> T:
        return await retrying(
            attempt, self._settings.retry, self._retries, self._environment, None, allowed or is_retryable
        )


class _Sending(httpx2.AsyncByteStream):
    """A body on its way, counted and hashed."""

    def __init__(self, supply: Supply) -> None:
        self.supply = supply
        self._digest = sha256()
        self._chunks: AsyncGenerator[bytes] | None = None

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self._chunks = self.supply.chunks()
        async for chunk in self._chunks:
            self._digest.update(chunk)
            yield chunk

    async def aclose(self) -> None:
        if self._chunks is not None:
            await self._chunks.aclose()


async def _sha256_of(supply: Supply) -> str:
    digest = sha256()
    async with aclosing(supply.chunks()) as chunks:
        async for chunk in chunks:
            digest.update(chunk)
    return digest.hexdigest()


def _checked(file: File, sent: str) -> File:
    if file.sha256 == sent:
        return file
    raise DataLoss(
        f"the stage has other bytes under {file.blob} than were sent", hint="delete that file, and send it again"
    )


def _file_of(blob: str, response: httpx2.Response) -> File:
    headers = response.headers
    named = _NAME.search(headers.get("content-disposition", ""))
    return File(
        blob=blob,
        name="" if named is None else unquote(named[1]),
        media_type=headers.get("content-type", DEFAULT_MEDIA_TYPE),
        size=int(headers.get("content-length", "0")),
        sha256=headers.get("etag", "").strip('"'),
    )


def _broken_off(file: File) -> Unreachable:
    return Unreachable(f"the file {file.blob} broke off", hint="try again", retryable=True, outcome="not_applied")
