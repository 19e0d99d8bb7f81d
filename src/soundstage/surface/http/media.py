"""Which format a request is in, and which its reply is wanted in."""

from __future__ import annotations

from soundstage.core.codec import JSON, MSGPACK, ContentType
from soundstage.core.errors import InvalidArgument

PROBLEM: dict[ContentType, bytes] = {JSON: b"application/problem+json", MSGPACK: b"application/msgpack"}

_REQUEST: dict[bytes, ContentType] = {
    b"application/json": JSON,
    b"application/msgpack": MSGPACK,
    b"application/x-msgpack": MSGPACK,
    b"application/vnd.msgpack": MSGPACK,
}

_ACCEPT: dict[str, ContentType] = {
    "application/json": JSON,
    "application/problem+json": JSON,
    "application/msgpack": MSGPACK,
    "application/x-msgpack": MSGPACK,
    "application/vnd.msgpack": MSGPACK,
}


class UnknownMediaType(InvalidArgument):
    """A body in a format that no operation reads."""

    status = 415


def request_format(content_type: bytes) -> ContentType:
    """The format that `Content-Type` names. Raises `UnknownMediaType` for others, or none."""
    known = _REQUEST.get(content_type)
    if known is not None:
        return known
    media_type, _, parameters = content_type.lower().partition(b";")
    known = _REQUEST.get(media_type.strip())
    if known is None or (b"charset" in parameters and b"utf-8" not in parameters):
        raise UnknownMediaType(
            f"the content type {content_type.decode('latin-1')[:100]!r} is not read here",
            field="Content-Type",
            hint="send application/json or application/msgpack",
        )
    return known


def reply_format(accept: bytes, otherwise: ContentType) -> ContentType:
    """The format that `Accept` asks for; `otherwise` when it asks for none that we write."""
    if not accept or accept == b"*/*":
        return otherwise
    for part in accept.decode("latin-1").lower().split(","):
        media_type, _, parameters = part.partition(";")
        known = _ACCEPT.get(media_type.strip())
        if known is not None and "q=0" not in parameters.replace(" ", "").replace("q=0.", "q."):
            return known
    return otherwise
