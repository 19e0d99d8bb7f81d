"""Replies, problems as replies, and how they are sent."""

from __future__ import annotations

from typing import Any, NamedTuple

from soundstage.core.codec import JSON, ContentType, encoder, json_encode
from soundstage.core.errors import InvalidArgument, SoundstageError, Unavailable
from soundstage.runtime.secrecy import redacted
from soundstage.surface.http.asgi import BODILESS, WHOLE, Scope, Send
from soundstage.surface.http.body import BodyTooLarge
from soundstage.surface.http.compression import compress
from soundstage.surface.http.head import Head
from soundstage.surface.http.media import PROBLEM, UnknownCoding, reply_format, request_format


class Reply(NamedTuple):
    """Status, headers but for length and request id, and body."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


JSON_TYPE = (b"content-type", b"application/json")
FRESH = (b"cache-control", b"no-store")
"""Of what is not to be kept."""

LIVE = {"status": "live"}

CHALLENGE = (b"www-authenticate", b'Bearer realm="soundstage"')
"""What a reply of status 401 asks for."""


class WrongMethod(InvalidArgument, status=405):
    """The path is there, and takes other methods."""

    def __init__(self, method: str, allowed: str) -> None:
        super().__init__(f"the method {method[:20]} is not for this path", field="method", hint=f"use {allowed}")
        self.allowed = allowed


def problem_reply(error: SoundstageError, wire: ContentType, request_id: str) -> Reply:
    """The RFC 9457 body and the headers that go with the status."""
    headers = [(b"content-type", PROBLEM[wire])]
    if error.retry_after_ms is not None:
        # Whole seconds, rounded up.
        headers.append((b"retry-after", b"%d" % -(-error.retry_after_ms // 1_000)))
    if error.status == 401:
        headers.append(CHALLENGE)
    if isinstance(error, WrongMethod):
        headers.append((b"allow", error.allowed.encode()))
    if isinstance(error, UnknownCoding):
        headers.append((b"accept-encoding", b"gzip, zstd"))
    if isinstance(error, BodyTooLarge):
        headers.append((b"connection", b"close"))
    # A refusal quotes what it refuses, which may be a token that was sent in the wrong place.
    members = {
        name: redacted(member) if isinstance(member, str) else member
        for name, member in error.problem(request_id).items()
    }
    return Reply(error.status, headers, encoder(wire)(members))


def problem_format(head: Head) -> ContentType:
    """As asked for by `Accept`, else as the request's own; JSON when neither can be read."""
    try:
        own = request_format(head.content_type) if head.content_type else JSON
    except InvalidArgument:
        own = JSON
    return reply_format(head.accept, own) if head.accept else own


def health_reply(status: int, told: dict[str, Any]) -> Reply:
    """What is said of the health of a stage at this moment."""
    return Reply(status, [JSON_TYPE, FRESH], json_encode(told))


def closed(reason: str) -> Unavailable:
    """What a call is refused with that comes while none are taken."""
    return Unavailable(reason, hint="retry, or ask another process", outcome="not_applied", retry_after_ms=1_000)


async def compressed(reply: Reply, accepted: bytes) -> Reply:
    """The reply, compressed if it is worth it and the caller accepts that."""
    body, coding = await compress(reply.body, accepted)
    if coding is None:
        return reply
    return Reply(
        reply.status, [*reply.headers, (b"content-encoding", coding.encode()), (b"vary", b"accept-encoding")], body
    )


async def send_reply(reply: Reply, given: str, scope: Scope, head: Head, send: Send) -> None:
    """The reply is on its way: compressed as accepted, with its length and the request id `given`."""
    status, headers, body = await compressed(reply, head.accept_encoding) if head.accept_encoding else reply
    if status not in BODILESS:
        headers.append((b"content-length", b"%d" % len(body)))
    headers.append((b"x-request-id", given.encode("ascii")))
    if scope["method"] == "HEAD":
        body = b""
    if WHOLE in scope.get("extensions", ()):
        await send({"type": WHOLE, "status": status, "headers": headers, "body": body})
        return
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
