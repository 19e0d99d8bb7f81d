"""What files, uploads and downloads have in common over HTTP: bodies read as they come, ranges, replies as streams."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing
from typing import NamedTuple, TypeAlias, TypeVar

from soundstage.core.call import Call
from soundstage.core.codec import JSON, ContentType
from soundstage.core.errors import InvalidArgument, SoundstageError, Unavailable
from soundstage.surface.http.asgi import Receive, Scope, Send, disconnected, send_part
from soundstage.surface.http.body import Disconnected
from soundstage.surface.http.exchange import STREAMED
from soundstage.surface.http.head import Head
from soundstage.surface.http.media import UnknownCoding, reply_format
from soundstage.surface.http.reply import Reply, problem_reply

Headers: TypeAlias = list[tuple[bytes, bytes]]

T = TypeVar("T")

PRIVATE: Headers = [(b"cache-control", b"private, no-cache")]
STORED: Headers = [
    *PRIVATE,
    (b"content-security-policy", b"sandbox"),
    (b"x-content-type-options", b"nosniff"),
    (b"accept-ranges", b"bytes"),
]
"""What a caller stored is never shown as a page of this site."""

_RANGE = re.compile(r"bytes=(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))")


class SenderGone(Unavailable):
    """The sender of a body hung up before its end: nobody is left to be answered."""

    def __init__(self) -> None:
        super().__init__("the sender hung up before all was sent", hint="send it again", outcome="not_applied")


class UnsatisfiableRange(InvalidArgument, status=416):
    """A range that there is not."""

    def __init__(self, size: int) -> None:
        super().__init__(f"there are {size} bytes", field="Range", hint="ask for a range within them")
        self.size = size


class Chosen(NamedTuple):
    """The part that is asked for: from `start` to before `end`."""

    start: int
    end: int
    partial: bool


class StreamReply:
    """Bytes, the first of which have come. `headers` are all but those of length, range and request id.

    What is `held` for as long as they are sent is let go whatever happens.
    """

    def __init__(
        self,
        headers: Headers,
        chosen: Chosen,
        size: int,
        first: bytes,
        chunks: AsyncGenerator[bytes],
    ) -> None:
        self.held: AsyncExitStack = AsyncExitStack()
        self._headers = headers
        self._chosen = chosen
        self._size = size
        self._first = first
        self._chunks = chunks

    async def send(self, receive: Receive, send: Send, given: str) -> None:
        """Everything was written, or its reader is gone. What is found damaged breaks the response off."""
        async with self.held:
            await self._send(receive, send, given)

    async def _send(self, receive: Receive, send: Send, given: str) -> None:
        gone = asyncio.ensure_future(disconnected(receive))
        start, end, partial = self._chosen
        headers = [*self._headers, (b"content-length", b"%d" % (end - start)), (b"x-request-id", given.encode())]
        if partial:
            headers.append((b"content-range", b"bytes %d-%d/%d" % (start, end - 1, self._size)))
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


async def stream_reply(
    head: Head,
    headers: Headers,
    size: int,
    tag: str,
    read: Callable[[int, int], AsyncGenerator[bytes]],
    *,
    method: str,
    of_all: Headers | None = None,
) -> StreamReply:
    """What is asked for of `size` bytes with `tag`, of which the first were read; none for `HEAD`.

    The headers `of_all` hold of the whole only. Raises `UnsatisfiableRange`.
    """
    chosen = Chosen(0, size, False) if method == "HEAD" else chosen_of(head, size, tag)
    headers = [*headers, *STORED, *([] if chosen.partial else of_all or [])]
    chunks = nothing() if method == "HEAD" else read(chosen.start, chosen.end)
    try:
        return StreamReply(headers, chosen, size, await anext(chunks, b""), chunks)
    except BaseException:
        await chunks.aclose()
        raise


async def answered(
    scope: Scope, receive: Receive, head: Head, call: Call, answer: Callable[[RequestBody], Awaitable[T]]
) -> T | Reply:
    """What `answer` makes of the body of a request, or its refusal. Raises `Disconnected` once the sender is gone."""
    body = RequestBody(scope, receive)
    try:
        return await answer(body)
    except SenderGone:
        raise Disconnected from None
    except SoundstageError as error:
        return refusal(error, head, call.request_id, unread=not body.whole)


class RequestBody:
    """The body of a request, read part by part; `whole` once all of it was."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.query: bytes = scope["query_string"]
        self._receive = receive
        self.whole: bool = scope["method"] not in {"POST", "PUT"}

    async def parts(self) -> AsyncGenerator[bytes]:
        """Raises `SenderGone` when the sender hangs up before the end."""
        while not self.whole:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise SenderGone
            self.whole = not message.get("more_body", False)
            if message.get("body"):
                yield message["body"]


def expect_stream(scope: Scope) -> None:
    """The time for the body goes by its length, which nothing bounds: it is enough that it comes on."""
    if scope["method"] in {"POST", "PUT"}:
        scope[STREAMED] = True


def check_coding(head: Head) -> None:
    """Raise `UnknownCoding` for a body that is compressed: what is kept as it comes is not undone."""
    coding = head.content_encoding.decode("latin-1").strip().lower()
    if coding not in ("", "identity"):
        raise UnknownCoding(
            f"a file is kept as it comes, and the content coding {coding[:40]!r} is not undone",
            field="Content-Encoding",
            hint="send the file itself, or the compressed one with a media type that says so",
        )


def announced_size(head: Head) -> int | None:
    """How long the body is going to be, where its sender says so."""
    return int(head.content_length) if head.content_length.isdigit() else None


def tags_in(header: bytes, *, weak: bool = False) -> list[str]:
    """The tags that a header names, without quotes. Weak ones say nothing of bytes: they are left out unless asked for.

    So they are compared as RFC 9110 says: in `If-None-Match` only.
    """
    tags = [tag.strip() for tag in header.decode("latin-1").split(",")]
    tags = [tag.removeprefix("W/") for tag in tags if weak or not tag.startswith("W/")]
    return [tag[1:-1] if tag[:1] == tag[-1:] == '"' and len(tag) > 1 else tag for tag in tags if tag]


def is_known(head: Head, tag: str) -> bool:
    """Whether the caller has what `tag` names, as `If-None-Match` says."""
    tags = tags_in(head.if_none_match, weak=True)
    return "*" in tags or tag in tags


def chosen_of(head: Head, size: int, tag: str) -> Chosen:
    """The range that is asked for. What is no single range of bytes is let be, and so is one of another state.

    Raises `UnsatisfiableRange`.
    """
    everything = Chosen(0, size, False)
    found = _RANGE.fullmatch(head.range.decode("latin-1").strip())
    if found is None or (head.if_range and tags_in(head.if_range) != [tag]):
        return everything
    first, last, suffix = found.groups()
    start = max(0, size - int(suffix)) if first is None else int(first)
    end = min(size, int(last) + 1) if last else size
    if last and int(last) < start:
        return everything
    if start >= end:
        raise UnsatisfiableRange(size)
    return Chosen(start, end, True)


def refusal(error: SoundstageError, head: Head, given: str, *, unread: bool) -> Reply:
    """`error` as a reply; with `unread` the connection ends, for nobody reads what is still on its way."""
    reply = problem_reply(error, wire_of(head), given)
    headers = reply.headers
    if unread and (b"connection", b"close") not in headers:
        headers.append((b"connection", b"close"))
    if isinstance(error, UnsatisfiableRange):
        headers.append((b"content-range", b"bytes */%d" % error.size))
    return reply


def wire_of(head: Head) -> ContentType:
    """The format of messages that answer what was no message: JSON, unless another is asked for."""
    return reply_format(head.accept, JSON) if head.accept else JSON


async def nothing() -> AsyncGenerator[bytes]:
    """No bytes."""
    return
    yield
