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
from typing import NamedTuple, TypeAlias
from urllib.parse import quote

import msgspec

from soundstage.core.call import Call
from soundstage.core.codec import JSON, ContentType, convert, encoder
from soundstage.core.environment import Environment
from soundstage.core.errors import DeadlineExceeded, InvalidArgument, NotFound, SoundstageError
from soundstage.core.files import DEFAULT_MEDIA_TYPE, PATH
from soundstage.core.time import Duration
from soundstage.engines.blobs.port import BlobInfo
from soundstage.runtime.files import Files, file_of
from soundstage.surface.http.asgi import Receive, Scope, Send, disconnected, fields_of, send_part
from soundstage.surface.http.body import Disconnected
from soundstage.surface.http.exchange import STREAMED
from soundstage.surface.http.head import Head
from soundstage.surface.http.media import UnknownCoding, reply_format
from soundstage.surface.http.reply import Reply, WrongMethod, problem_reply

Headers: TypeAlias = list[tuple[bytes, bytes]]

_RANGE = re.compile(r"bytes=(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))")
_SHA256 = re.compile(r"(?:^|,)\s*sha-256=:([A-Za-z0-9+/=]{0,64}):", re.IGNORECASE)


class UnsatisfiableRange(InvalidArgument, status=416):
    """A range that the file does not have."""

    def __init__(self, size: int) -> None:
        super().__init__(f"the file has {size} bytes", field="Range", hint="ask for a range within it")
        self.size = size


class Sent(msgspec.Struct, frozen=True):
    """What the query of a file that is sent may say of it."""

    name: str = ""
    ttl: Duration | None = None


class Chosen(NamedTuple):
    """The part of a file that is asked for: from `start` to before `end`."""

    start: int
    end: int
    partial: bool


class FileReply:
    """A file, or a range of it, as its first chunk has come."""

    def __init__(self, info: BlobInfo, chosen: Chosen, first: bytes, chunks: AsyncGenerator[bytes]) -> None:
        self._info = info
        self._chosen = chosen
        self._first = first
        self._chunks = chunks

    async def send(self, receive: Receive, send: Send, given: str) -> None:
        """Everything was written, or its reader is gone. What is found damaged breaks the response off."""
        gone = asyncio.ensure_future(disconnected(receive))
        start, end, partial = self._chosen
        headers = _described(self._info)
        headers += [(b"content-length", b"%d" % (end - start)), (b"x-request-id", given.encode())]
        # Content-Digest is of what this response holds, which is known beforehand of a whole file only.
        if partial:
            headers.append((b"content-range", b"bytes %d-%d/%d" % (start, end - 1, self._info.size)))
        else:
            headers.append((b"content-digest", _digest(self._info)))
        try:
            async with aclosing(self._chunks) as chunks:
                await send({"type": "http.response.start", "status": 206 if partial else 200, "headers": headers})
                await send_part(send, self._first)
                async for chunk in chunks:
                    if gone.done():
                        return
                    await send_part(send, chunk)
                await send({"type": "http.response.body", "body": b""})
        finally:
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)


class FileRoutes:
    """Answers requests below `PATH`."""

    def __init__(self, files: Files, environment: Environment) -> None:
        self._files = files
        self._environment = environment

    async def answer(self, scope: Scope, head: Head, receive: Receive, call: Call) -> Reply | FileReply:
        """The reply to one request of `call.principal`, refusals included."""
        body = _Body(scope, receive)
        try:
            async with self._within(call):
                return await self._answer(scope["method"], blob_at(scope["path"]), head, body, call)
        except SoundstageError as error:
            return refusal(error, head, call.request_id, unread=not body.whole)

    async def _answer(self, method: str, blob: str, head: Head, body: _Body, call: Call) -> Reply | FileReply:
        if not blob and method == "POST":
            return await self._receive(None, head, body, call)
        if not blob:
            raise WrongMethod(method, "POST")
        if method == "PUT":
            return await self._receive(blob, head, body, call)
        if method in {"GET", "HEAD"}:
            return await self._read(blob, head, call, whole=method == "GET")
        if method != "DELETE":
            raise WrongMethod(method, "PUT, GET, HEAD, DELETE")
        if not await self._files.delete(blob, call.principal):
            raise NotFound(f"there is no file {blob}", field="blob", hint="it may have expired")
        return Reply(204, [], b"")

    async def _receive(self, blob: str | None, head: Head, body: _Body, call: Call) -> Reply:
        _check_coding(head)
        said = _said(body.query)
        async with aclosing(body.parts()) as parts:
            file = await self._files.put(
                parts,
                call.principal,
                blob=blob,
                name=said.name,
                media_type=head.content_type.decode("latin-1") or DEFAULT_MEDIA_TYPE,
                size=int(head.content_length) if head.content_length.isdigit() else None,
                sha256=_announced(head.content_digest),
                ttl_us=None if said.ttl is None else said.ttl.us,
            )
        wire = _wire(head)
        headers = [(b"content-type", wire.encode()), (b"location", f"{PATH}/{file.blob}".encode())]
        return Reply(201, headers, encoder(wire)(file))

    async def _read(self, blob: str, head: Head, call: Call, *, whole: bool) -> Reply | FileReply:
        info = await self._files.find(blob, call.principal)
        if _is_known(head, info):
            return Reply(304, _validators(info), b"")
        if not whole:
            return FileReply(info, Chosen(0, info.size, False), b"", _nothing())
        chosen = _chosen(head, info)
        chunks = self._files.read(blob, call.principal, chosen.start, chosen.end)
        try:
            return FileReply(info, chosen, await anext(chunks, b""), chunks)
        except BaseException:
            await chunks.aclose()
            raise

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


def expect_stream(scope: Scope) -> None:
    """The time for the body goes by its length, which nothing bounds: it is enough that it comes on."""
    if scope["method"] in {"POST", "PUT"}:
        scope[STREAMED] = True


def refusal(error: SoundstageError, head: Head, given: str, *, unread: bool) -> Reply:
    """`error` as a reply; with `unread` the connection ends, for nobody reads what is still on its way."""
    reply = problem_reply(error, _wire(head), given)
    headers = reply.headers
    if unread and (b"connection", b"close") not in headers:
        headers.append((b"connection", b"close"))
    if isinstance(error, UnsatisfiableRange):
        headers.append((b"content-range", b"bytes */%d" % error.size))
    return reply


class _Body:
    """The body of a request, read part by part; `whole` once all of it was."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.query: bytes = scope["query_string"]
        self._receive = receive
        self.whole: bool = scope["method"] not in {"POST", "PUT"}

    async def parts(self) -> AsyncGenerator[bytes]:
        """Raises `Disconnected` when the sender hangs up before the end."""
        while not self.whole:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Disconnected
            self.whole = not message.get("more_body", False)
            if message.get("body"):
                yield message["body"]


def _wire(head: Head) -> ContentType:
    return reply_format(head.accept, JSON) if head.accept else JSON


def _check_coding(head: Head) -> None:
    coding = head.content_encoding.decode("latin-1").strip().lower()
    if coding not in ("", "identity"):
        raise UnknownCoding(
            f"a file is kept as it comes, and the content coding {coding[:40]!r} is not undone",
            field="Content-Encoding",
            hint="send the file itself, or the compressed one with a media type that says so",
        )


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


def _is_known(head: Head, info: BlobInfo) -> bool:
    tags = [tag.strip().removeprefix("W/") for tag in head.if_none_match.decode("latin-1").split(",")]
    return "*" in tags or _tag(info) in tags


def _chosen(head: Head, info: BlobInfo) -> Chosen:
    """The range that is asked for. What is no single range of bytes is let be, and so is one of another file."""
    everything = Chosen(0, info.size, False)
    found = _RANGE.fullmatch(head.range.decode("latin-1").strip())
    if found is None or (head.if_range and head.if_range.decode("latin-1").strip() != _tag(info)):
        return everything
    first, last, suffix = found.groups()
    start = max(0, info.size - int(suffix)) if first is None else int(first)
    end = min(info.size, int(last) + 1) if last else info.size
    if last and int(last) < start:
        return everything
    if start >= end:
        raise UnsatisfiableRange(info.size)
    return Chosen(start, end, True)


def _tag(info: BlobInfo) -> str:
    return f'"{info.sha256}"'


def _validators(info: BlobInfo) -> Headers:
    return [(b"etag", _tag(info).encode()), (b"cache-control", b"private, no-cache")]


def _described(info: BlobInfo) -> Headers:
    file = file_of(info)
    name = f"; filename*=UTF-8''{quote(file.name, safe='')}" if file.name else ""
    return [
        *_validators(info),
        (b"content-type", file.media_type.encode()),
        (b"content-disposition", f"attachment{name}".encode()),
        (b"content-security-policy", b"sandbox"),
        (b"x-content-type-options", b"nosniff"),
        (b"accept-ranges", b"bytes"),
        (b"repr-digest", _digest(info)),
    ]


def _digest(info: BlobInfo) -> bytes:
    return b"sha-256=:" + b64encode(bytes.fromhex(info.sha256)) + b":"


async def _nothing() -> AsyncGenerator[bytes]:
    return
    yield
