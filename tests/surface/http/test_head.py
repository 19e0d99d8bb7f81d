from __future__ import annotations

import pytest

from soundstage.core.errors import InvalidArgument
from soundstage.surface.http.head import Head


def test_headers_that_mean_nothing_here_are_skipped() -> None:
    head = Head([(b"user-agent", b"x"), (b"accept", b"application/json"), (b"cookie", b"y")])
    assert (head.accept, head.content_type) == (b"application/json", b"")


def test_absent_headers_are_absent() -> None:
    head = Head([])
    assert (head.key(), head.own_request_id(), head.trace_parent(), head.authorization_text(), head.deadline_ns(5)) == (
        None,
        None,
        None,
        None,
        None,
    )


def test_an_empty_deadline_is_not_an_absent_one() -> None:
    with pytest.raises(InvalidArgument):
        Head([(b"soundstage-timeout", b"")]).deadline_ns(0)


def test_an_empty_key_is_not_an_absent_one() -> None:
    with pytest.raises(InvalidArgument):
        Head([(b"idempotency-key", b"")]).key()


def test_a_deadline_counts_from_now() -> None:
    assert Head([(b"soundstage-timeout", b"250ms")]).deadline_ns(1_000) == 250_001_000


def test_a_deadline_is_an_hour_at_most() -> None:
    assert Head([(b"soundstage-timeout", b"7d")]).deadline_ns(0) == 3_600 * 10**9


@pytest.mark.parametrize("value", [b"a b", b"x" * 256, b"\xe9"])
def test_an_idempotency_key_that_cannot_be_kept_is_refused(value: bytes) -> None:
    with pytest.raises(InvalidArgument, match="malformed") as caught:
        Head([(b"idempotency-key", value)]).key()
    assert caught.value.field == "Idempotency-Key"


@pytest.mark.parametrize(
    ("origin", "host", "elsewhere"),
    [
        (b"", b"", False),
        (b"", b"localhost:7777", False),
        (b"", b"127.0.0.9", False),
        (b"", b"[::1]:80", False),
        (b"", b"Stage.Example:7777", False),
        (b"", b"other.example", True),
        (b"http://other.example", b"localhost", True),
        (b"null", b"localhost", True),
        (b"http://localhost.other.example", b"localhost", True),
        (b"http://127.0.0.1.other.example:80", b"localhost", True),
    ],
)
def test_names_of_elsewhere(origin: bytes, host: bytes, elsewhere: bool) -> None:
    assert Head([(b"origin", origin), (b"host", host)]).names_elsewhere("stage.example") is elsewhere
