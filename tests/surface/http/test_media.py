from __future__ import annotations

import pytest

from soundstage.core.codec import JSON, MSGPACK, ContentType
from soundstage.surface.http.media import UnknownMediaType, reply_format, request_format


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (b"application/json", JSON),
        (b"application/json; charset=utf-8", JSON),
        (b'Application/JSON; charset="UTF-8"', JSON),
        (b"application/msgpack", MSGPACK),
        (b"application/x-msgpack", MSGPACK),
        (b"application/vnd.msgpack", MSGPACK),
    ],
)
def test_the_formats_that_are_read(given: bytes, expected: ContentType) -> None:
    assert request_format(given) == expected


@pytest.mark.parametrize(
    "given",
    [b"", b"text/plain", b"application/x-www-form-urlencoded", b"application/json; charset=latin-1", b"json", b"\xff"],
)
def test_other_formats_are_415(given: bytes) -> None:
    with pytest.raises(UnknownMediaType) as caught:
        request_format(given)
    assert (caught.value.status, caught.value.field) == (415, "Content-Type")


def test_a_missing_type_is_called_missing() -> None:
    with pytest.raises(UnknownMediaType, match="missing"):
        request_format(b"")


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (b"", MSGPACK),
        (b"*/*", MSGPACK),
        (b"application/*", MSGPACK),
        (b"text/html", MSGPACK),
        (b"application/json", JSON),
        (b"application/problem+json", JSON),
        (b"application/json;q=0.1, application/msgpack", MSGPACK),
        (b"application/msgpack;q=0.5, application/json;q=0.9", JSON),
        (b"application/msgpack;q=0, application/json;q=0.001", JSON),
        (b"application/json;q=0", MSGPACK),
        (b"text/html, application/json;q=0.9, */*;q=0.1", JSON),
        (b"application/json;q=often", MSGPACK),
    ],
)
def test_the_reply_is_in_what_is_liked_best(accept: bytes, expected: ContentType) -> None:
    assert reply_format(accept, MSGPACK) == expected
