"""Replies, and problems as replies."""

from __future__ import annotations

from typing import NamedTuple

from soundstage.core.codec import ContentType, encoder
from soundstage.core.errors import InvalidArgument, SoundstageError
from soundstage.runtime.secrecy import redacted
from soundstage.surface.http.body import BodyTooLarge
from soundstage.surface.http.media import PROBLEM, UnknownCoding


class Reply(NamedTuple):
    """Status, headers but for length and request id, and body."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


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
