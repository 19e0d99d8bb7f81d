"""What those who speak ASGI do alike."""

from __future__ import annotations

from typing import Any

import pytest

from soundstage.core.errors import InvalidArgument
from soundstage.surface.http.asgi import disconnected, fields_of, send_part


@pytest.mark.parametrize(
    ("query", "fields"),
    [(b"", {}), (b"a=1&b=", {"a": "1", "b": ""}), (b"name=a%20b", {"name": "a b"}), (b"a=%C3%A9", {"a": "é"})],
)
def test_a_query_is_read(query: bytes, fields: dict[str, str]) -> None:
    assert fields_of(query, "?a=1") == fields


@pytest.mark.parametrize("query", [b"a", b"a=%FF", "a=é".encode(), b"&"])
def test_what_is_no_query_is_refused_with_an_example(query: bytes) -> None:
    with pytest.raises(InvalidArgument, match="malformed") as refused:
        fields_of(query, "?a=1")
    assert refused.value.hint == "write ?a=1"


def test_a_field_twice_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="a field twice"):
        fields_of(b"a=1&a=2", "?a=1")


async def test_what_still_comes_is_dropped_until_nobody_waits() -> None:
    coming: list[dict[str, Any]] = [{"type": "http.request", "body": b"more"}] * 2 + [{"type": "http.disconnect"}]

    async def receive() -> dict[str, Any]:
        return coming.pop(0)

    await disconnected(receive)
    assert coming == []


async def test_a_part_says_that_more_follows() -> None:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await send_part(send, b"part")
    assert sent == [{"type": "http.response.body", "body": b"part", "more_body": True}]
