"""Files at `/v1/blobs`: sent and read as streams, a few chunks of them in memory at a time.

    POST   /v1/blobs          a file under an id that is made here
    PUT    /v1/blobs/<id>     a file under an id of the sender's
    GET    /v1/blobs/<id>     its bytes, whole or one range of them; HEAD the same without
    DELETE /v1/blobs/<id>     it is gone

A file is what a caller sent, so that it is never shown as a page of this site: it comes as an attachment.
"""

from __future__ import annotations

import asyncio
import re
from base64 import b64decode, b64encode
from binascii import Error as NoBase64
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from urllib.parse import quote

import msgspec

from soundstage.core.call import Call
from soundstage.core.codec import convert, encoder
from soundstage.core.environment import Environment
from soundstage.core.errors import DeadlineExceeded, InvalidArgument, NotFound
from soundstage.core.files import DEFAULT_MEDIA_TYPE, PATH
from soundstage.core.time import Duration
from soundstage.engines.blobs.port import BlobInfo
from soundstage.runtime.files import Files, file_of
from soundstage.surface.http.asgi import Receive, Scope, fields_of
from soundstage.surface.http.head import Head
from soundstage.surface.http.reply import Reply, WrongMethod
from soundstage.surface.http.transfer import (
    PRIVATE,
    Headers,
    RequestBody,
    StreamReply,
    announced_size,
    answered,
    check_coding,
    is_known,
    stream_reply,
    wire_of,
)

_SHA256 = re.compile(r"(?:^|,)\s*sha-256=:([A-Za-z0-9+/=]{0,64}):", re.IGNORECASE)


class Sent(msgspec.Struct, frozen=True):
    """What the query of a file that is sent may say of it."""

    name: str = ""
    ttl: Duration | None = None


class FileRoutes:
    """Answers requests below `PATH`."""

    def __init__(self, files: Files, environment: Environment) -> None:
        self._files = files
        self._environment = environment

    async def answer(self, scope: Scope, head: Head, receive: Receive, call: Call) -> Reply | StreamReply:
        """The reply to one request of `call.principal`, refusals included."""

        async def answer(body: RequestBody) -> Reply | StreamReply:
            async with self._within(call):
                return await self._answer(scope["method"], blob_at(scope["path"]), head, body, call)

        return await answered(scope, receive, head, call, answer)

    async def _answer(self, method: str, blob: str, head: Head, body: RequestBody, call: Call) -> Reply | StreamReply:
        if not blob and method == "POST":
            return await self._receive(None, head, body, call)
        if not blob:
            raise WrongMethod(method, "POST")
        if method == "PUT":
            return await self._receive(blob, head, body, call)
        if method in {"GET", "HEAD"}:
            return await self._read(blob, head, call, method)
        if method != "DELETE":
            raise WrongMethod(method, "PUT, GET, HEAD, DELETE")
        if not await self._files.delete(blob, call.principal):
            raise NotFound(f"there is no file {blob}", field="blob", hint="it may have expired")
        return Reply(204, [], b"")

    async def _receive(self, blob: str | None, head: Head, body: RequestBody, call: Call) -> Reply:
        check_coding(head)
        said = _said(body.query)
        async with aclosing(body.parts()) as parts:
            file = await self._files.put(
                parts,
                call.principal,
                blob=blob,
                name=said.name,
                media_type=head.content_type.decode("latin-1") or DEFAULT_MEDIA_TYPE,
                size=announced_size(head),
                sha256=_announced(head.content_digest),
                ttl_us=None if said.ttl is None else said.ttl.us,
            )
        wire = wire_of(head)
        headers = [(b"content-type", wire.encode()), (b"location", f"{PATH}/{file.blob}".encode())]
        return Reply(201, headers, encoder(wire)(file))

    async def _read(self, blob: str, head: Head, call: Call, method: str) -> Reply | StreamReply:
        info = await self._files.find(blob, call.principal)
        if is_known(head, info.sha256):
            return Reply(304, [_etag(info), *PRIVATE], b"")

        def read(start: int, end: int) -> AsyncGenerator[bytes]:
            return self._files.read(blob, call.principal, start, end)

        # Content-Digest is of what this response holds, which is known beforehand of a whole file only.
        of_all = [(b"content-digest", _digest(info))]
        return await stream_reply(head, _described(info), info.size, info.sha256, read, method=method, of_all=of_all)

    @asynccontextmanager
    async def _within(self, call: Call) -> AsyncGenerator[None]:
        """The block ends by the deadline of `call`; a file that is being sent to a reader takes the time it needs."""
        if call.deadline_ns is None:
            yield
            return
        try:
            async with asyncio.timeout(max(0, call.deadline_ns - self._environment.monotonic_ns()) / 1e9):
                yield
        except TimeoutError:
            raise DeadlineExceeded("the file did not come in time", hint="allow more time", outcome="unknown") from None


def blob_at(path: str) -> str:
    """The id that a path names; empty for `PATH` itself."""
    return path.removeprefix(PATH).removeprefix("/")


def is_file_path(path: str) -> bool:
    """Whether `path` is one of files."""
    return path == PATH or path.startswith(f"{PATH}/")


def _said(query: bytes) -> Sent:
    return convert(fields_of(query, "?name=talk.mp4&ttl=1d"), Sent, from_text=True)


def _announced(digest: bytes) -> str | None:
    """The sha256 that `Content-Digest` names, in hexadecimal; other algorithms are let be, as its standard says."""
    found = _SHA256.search(digest.decode("latin-1"))
    if found is None:
        return None
    try:
        content = b64decode(found[1], validate=True)
    except NoBase64:
        content = b""
    if len(content) != 32:
        raise InvalidArgument(
            "the digest is no SHA-256", field="Content-Digest", hint="write sha-256=:<32 bytes in base64>:"
        )
    return content.hex()


def _etag(info: BlobInfo) -> tuple[bytes, bytes]:
    return b"etag", f'"{info.sha256}"'.encode()


def _described(info: BlobInfo) -> Headers:
    file = file_of(info)
    name = f"; filename*=UTF-8''{quote(file.name, safe='')}" if file.name else ""
    return [
        _etag(info),
        (b"content-type", file.media_type.encode()),
        (b"content-disposition", f"attachment{name}".encode()),
        (b"repr-digest", _digest(info)),
    ]


def _digest(info: BlobInfo) -> bytes:
    return b"sha-256=:" + b64encode(bytes.fromhex(info.sha256)) + b":"
