"""Which format a request is in, and which its reply is wanted in."""

from __future__ import annotations

from functools import lru_cache

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


class UnknownMediaType(InvalidArgument, status=415):
    """A body in a format that no operation reads."""


class UnknownCoding(UnknownMediaType):
    """A body that is compressed in a way that is not read here."""


def request_format(content_type: bytes) -> ContentType:
    """The format that `Content-Type` names. Raises `UnknownMediaType` for others, or none."""
    known = _REQUEST.get(content_type)
    if known is not None:
        return known
    media_type, _, parameters = content_type.lower().partition(b";")
    known = _REQUEST.get(media_type.strip())
    if known is not None and (b"charset" not in parameters or b"utf-8" in parameters):
        return known
    given = f"the content type {content_type.decode('latin-1')[:100]!r} is not read here"
    raise UnknownMediaType(
        given if content_type else "the content type is missing",
        field="Content-Type",
        hint="send application/json or application/msgpack",
    )


@lru_cache(maxsize=1_024)
def reply_format(accept: bytes, otherwise: ContentType) -> ContentType:
    """The format that `Accept` likes best; `otherwise` when it asks for none that is written here."""
    best, best_quality = otherwise, 0.0
    for part in accept.decode("latin-1").lower().split(","):
        media_type, _, parameters = part.partition(";")
        known = otherwise if media_type.strip() in _ANY else _ACCEPT.get(media_type.strip())
        quality = _quality(parameters)
        if known is not None and quality > best_quality:
            best, best_quality = known, quality
    return best


_ANY = frozenset(("*/*", "application/*"))


def _quality(parameters: str) -> float:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
