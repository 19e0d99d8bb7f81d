"""The headers of a request that mean something here."""

from __future__ import annotations

import re
from typing import Any

from soundstage.core.errors import InvalidArgument
from soundstage.core.limits import IDEMPOTENCY_KEY_MAX_CHARS, REQUEST_ID_MAX_CHARS, check_deadline, check_header
from soundstage.runtime.exposure import is_loopback

_PORT = re.compile(r":[0-9]*$")
_TRACE_PARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


class Head:
    """Header values as sent, found in one pass; absent ones are empty, but for two that are None."""

    __slots__ = (
        "accept",
        "accept_encoding",
        "authorization",
        "content_digest",
        "content_encoding",
        "content_length",
        "content_type",
        "host",
        "idempotency_key",
        "if_match",
        "if_none_match",
        "if_range",
        "last_event_id",
        "origin",
        "range",
        "request_id",
        "timeout",
        "trace",
    )

    def __init__(self, headers: list[tuple[bytes, bytes]]) -> None:
        self.accept: bytes = b""
        self.accept_encoding: bytes = b""
        self.authorization: bytes = b""
        self.content_digest: bytes = b""
        self.content_encoding: bytes = b""
        self.content_length: bytes = b""
        self.content_type: bytes = b""
        self.host: bytes = b""
        self.if_match: bytes = b""
        self.if_none_match: bytes = b""
        self.if_range: bytes = b""
        self.last_event_id: bytes = b""
        self.origin: bytes = b""
        self.range: bytes = b""
        self.request_id: bytes = b""
        self.trace: bytes = b""
        # Of these an empty one is a mistake, which must not pass for none.
        self.idempotency_key: bytes | None = None
        self.timeout: bytes | None = None
        for name, value in headers:
            slot = _SLOTS.get(name)
            if slot is not None:
                setattr(self, slot, value)

    def names_elsewhere(self, served: str) -> bool:
        """Whether a browser was led here under a name that is neither `served` nor this machine's own."""
        return _elsewhere(self.origin.partition(b"://")[2] or self.origin, served) or _elsewhere(self.host, served)

    def deadline_ns(self, now_ns: int) -> int | None:
        """The monotonic time of `Soundstage-Timeout`. Raises `InvalidArgument` for what is no duration."""
        if self.timeout is None:
            return None
        return now_ns + int(check_deadline(self.timeout.decode("latin-1")))

    def key(self) -> str | None:
        """`Idempotency-Key`, checked."""
        if self.idempotency_key is None:
            return None
        return check_header(self.idempotency_key.decode("latin-1"), "Idempotency-Key", IDEMPOTENCY_KEY_MAX_CHARS)

    def own_request_id(self) -> str | None:
        """`X-Request-Id` if it is fit to be echoed and logged; None makes the server choose one."""
        if not self.request_id:
            return None
        try:
            return check_header(self.request_id.decode("latin-1"), "X-Request-Id", REQUEST_ID_MAX_CHARS)
        except InvalidArgument:
            return None

    def trace_parent(self) -> str | None:
        """`traceparent` if it is well-formed; others are to be ignored, as its standard says."""
        if not self.trace:
            return None
        text = self.trace.decode("latin-1")
        return text if _TRACE_PARENT.fullmatch(text) else None

    def authorization_text(self) -> str | None:
        return self.authorization.decode("latin-1") if self.authorization else None


def _elsewhere(authority: bytes, served: str) -> bool:
    if not authority:
        return False
    host = _PORT.sub("", authority.decode("latin-1")).lower()
    return host.strip("[]") != served.lower() and not is_loopback(host)


_SLOTS: dict[Any, str] = {
    b"accept": "accept",
    b"accept-encoding": "accept_encoding",
    b"authorization": "authorization",
    b"content-digest": "content_digest",
    b"content-encoding": "content_encoding",
    b"content-length": "content_length",
    b"content-type": "content_type",
    b"host": "host",
    b"idempotency-key": "idempotency_key",
    b"if-match": "if_match",
    b"if-none-match": "if_none_match",
    b"if-range": "if_range",
    b"last-event-id": "last_event_id",
    b"origin": "origin",
    b"range": "range",
    b"x-request-id": "request_id",
    b"soundstage-timeout": "timeout",
    b"traceparent": "trace",
}
