"""Files of a stage over HTTP: streamed both ways, checked, and taken up again where a connection was lost."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from hashlib import sha256
from urllib.parse import quote, unquote, urlencode

import httpx2

from soundstage.client.transfers import Headers, Transfers, checked
from soundstage.core.codec import JSON, decoder
from soundstage.core.errors import AlreadyExists, DataLoss, InvalidArgument, NotFound
from soundstage.core.files import DEFAULT_MEDIA_TYPE, PATH, File
from soundstage.core.ids import uuid7
from soundstage.core.time import Duration
from soundstage.core.transfers import FileAccess, Reader, Source, Supply, blob_of, supply_of

_NAME = re.compile(r"filename\*=UTF-8''([^;]*)")


class RemoteFiles(FileAccess):
    """The files of a stage that runs somewhere else; `connection.files`."""

    def __init__(self, transfers: Transfers) -> None:
        self._transfers = transfers

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
        blob = uuid7(self._transfers.environment)

        async def attempt() -> File:
            reader, digest = Reader(supply), sha256()
            try:
                with reader.blamed():
                    file = await self._put(blob, query, media_type, reader, digest.update)
                return _checked(file, digest.hexdigest())
            except AlreadyExists:
                # An earlier try was kept, and the answer to it lost: the id is nobody else's.
                return _checked(await self.info(blob), await _sha256_of(supply))

        return await self._transfers.retrying(attempt, allowed=lambda error: supply.again and error.retryable)

    async def info(self, file: File | str) -> File:
        blob = blob_of(file)

        async def attempt() -> File:
            async with aclosing(await self._ask("HEAD", blob, [])) as response:
                return _file_of(blob, response)

        return await self._transfers.retrying(attempt)

    async def open(self, file: File | str, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes]:
        """See `FileAccess`. A lost connection is taken up where it broke off."""
        found = await self.info(file)
        last = found.size if end is None else end
        if not 0 <= start <= last <= found.size:
            raise InvalidArgument(
                f"bytes {start} to {last} are no range of a file of {found.size}",
                field="range",
                hint="0 <= start <= end <= size",
            )
        what = f"the file {found.blob}"
        parts = self._transfers.resumed(lambda at: self._read(found, at, last), start, last, what)
        if (start, last) == (0, found.size):
            parts = checked(parts, sha256(), found.sha256, what)
        async with aclosing(parts):
            async for part in parts:
                yield part

    async def delete(self, file: File | str) -> bool:
        tried = 0

        async def attempt() -> bool:
            nonlocal tried
            tried += 1
            try:
                async with aclosing(await self._ask("DELETE", blob_of(file), [])):
                    return True
            except NotFound:
                # The answer to an earlier try may have been lost.
                return tried > 1

        return await self._transfers.retrying(attempt)

    async def _put(
        self, blob: str, query: str, media_type: str, reader: Reader, also: Callable[[bytes], object]
    ) -> File:
        place = f"{PATH}/{blob}?{query}" if query else f"{PATH}/{blob}"
        kind = media_type.encode("latin-1", "replace")
        body = await self._transfers.put(place, kind, reader, 201, f"the file {blob}", also=also)
        return decoder(File, JSON, strict=False).decode(body)

    async def _read(self, file: File, start: int, end: int) -> AsyncGenerator[bytes]:
        headers = [(b"range", b"bytes=%d-%d" % (start, end - 1)), (b"if-range", f'"{file.sha256}"'.encode())]
        response = await self._ask("GET", file.blob, headers)
        async with aclosing(self._transfers.body_of(response, f"the file {file.blob}")) as chunks:
            if response.status_code == 200 and (start, end) != (0, file.size):
                await response.aclose()
                raise DataLoss(f"the file {file.blob} is another one by now", hint="read it from its beginning")
            async for chunk in chunks:
                yield chunk

    async def _ask(self, method: str, blob: str, headers: Headers) -> httpx2.Response:
        return await self._transfers.ask(method, f"{PATH}/{quote(blob, safe='')}", headers, f"the file {blob}")


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
