"""Replies, and problems as replies."""

from __future__ import annotations

import math
from typing import NamedTuple

from soundstage.core.codec import ContentType, encoder
from soundstage.core.errors import InvalidArgument, SoundstageError
from soundstage.surface.http.media import PROBLEM


class Reply(NamedTuple):
    """Status, headers but for length and request id, and body."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class WrongMethod(InvalidArgument):
    """The path is there, and takes other methods."""

    status = 405

    def __init__(self, method: str, allowed: str) -> None:
        super().__init__(f"the method {method[:20]} is not for this path", field="method", hint=f"use {allowed}")
        self.allowed = allowed


def problem_reply(error: SoundstageError, wire: ContentType, request_id: str) -> Reply:
    """The RFC 9457 body and the headers that go with the status."""
    headers = [(b"content-type", PROBLEM[wire])]
    if error.retry_after_ms is not None:
        headers.append((b"retry-after", b"%d" % math.ceil(error.retry_after_ms / 1_000)))
    if error.status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="soundstage"'))
    if isinstance(error, WrongMethod):
        headers.append((b"allow", error.allowed.encode()))
    if error.status == 413:
        headers.append((b"connection", b"close"))
    return Reply(error.status, headers, encoder(wire)(error.problem(request_id)))
