"""The types of ASGI messages, as far as they are used here, and what several who speak it do alike."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

from soundstage.core.errors import InvalidArgument

WHOLE = "soundstage.response.whole"
"""An extension: one message with `status`, `headers` and `body` is a response, which takes half the work of two."""

BODILESS = frozenset((204, 304))
"""Statuses of replies that have no body, and say nothing of its length."""

Scope: TypeAlias = dict[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[dict[str, Any]]]
Send: TypeAlias = Callable[[dict[str, Any]], Awaitable[None]]


async def send_part(send: Send, body: bytes) -> None:
    """`body` is on its way, and more of the response follows."""
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def disconnected(receive: Receive) -> None:
    """Returns once nobody waits for the response any more; what comes of a body is dropped."""
    while (await receive())["type"] != "http.disconnect":
        continue


def fields_of(query: bytes, example: str) -> dict[str, str]:
    """The fields that a query string spells. Raises `InvalidArgument` for what is no text, and for a field twice."""
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, strict_parsing=bool(query), errors="strict")
    except (ValueError, UnicodeDecodeError):
        raise InvalidArgument("the query is malformed", field="query", hint=f"write {example}") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise InvalidArgument("the query has a field twice", field="query", hint="give each field once")
    return fields
