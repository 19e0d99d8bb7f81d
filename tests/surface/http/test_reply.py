from __future__ import annotations

import msgspec
import pytest

from soundstage.core.codec import JSON, MSGPACK
from soundstage.core.errors import ERRORS, Exhausted, NotFound, SoundstageError, Unauthenticated
from soundstage.surface.http.body import BodyTooLarge
from soundstage.surface.http.media import UnknownCoding, UnknownMediaType
from soundstage.surface.http.reply import WrongMethod, problem_reply


def headers(error: SoundstageError) -> dict[bytes, bytes]:
    return dict(problem_reply(error, JSON, "r-1").headers)


def test_a_problem_is_json_of_rfc_9457() -> None:
    reply = problem_reply(NotFound("gone", field="name", hint="look"), JSON, "r-1")
    assert dict(reply.headers)[b"content-type"] == b"application/problem+json"
    assert msgspec.json.decode(reply.body) == {
        "type": "urn:soundstage:error:not_found",
        "title": "Not found",
        "status": 404,
        "detail": "gone",
        "field": "name",
        "code": "not_found",
        "hint": "look",
        "retryable": False,
        "request_id": "r-1",
    }


def test_it_is_the_same_map_in_messagepack() -> None:
    error = NotFound("gone")
    as_json, as_msgpack = problem_reply(error, JSON, "r-1"), problem_reply(error, MSGPACK, "r-1")
    assert dict(as_msgpack.headers)[b"content-type"] == b"application/msgpack"
    assert msgspec.msgpack.decode(as_msgpack.body) == msgspec.json.decode(as_json.body)


@pytest.mark.parametrize("code", ERRORS)
def test_every_error_has_its_status(code: str) -> None:
    reply = problem_reply(ERRORS[code]("wrong"), JSON, "r-1")
    assert reply.status == ERRORS[code].status == msgspec.json.decode(reply.body)["status"]


@pytest.mark.parametrize(("wait_ms", "seconds"), [(0, b"0"), (1, b"1"), (1_000, b"1"), (1_001, b"2")])
def test_time_to_wait_is_rounded_up_to_seconds(wait_ms: int, seconds: bytes) -> None:
    assert headers(Exhausted("full", retry_after_ms=wait_ms))[b"retry-after"] == seconds


def test_without_a_time_to_wait_there_is_no_header() -> None:
    assert b"retry-after" not in headers(Exhausted("full"))


def test_a_401_says_what_is_wanted() -> None:
    assert headers(Unauthenticated("who?"))[b"www-authenticate"] == b'Bearer realm="soundstage"'


def test_a_405_says_what_is_allowed() -> None:
    error = WrongMethod("PUT", "GET, HEAD")
    assert (error.status, headers(error)[b"allow"], error.hint) == (405, b"GET, HEAD", "use GET, HEAD")


def test_a_long_method_is_told_shortly() -> None:
    assert len(WrongMethod("X" * 1_000, "POST").detail) < 100


def test_an_unknown_coding_is_told_the_known_ones() -> None:
    assert headers(UnknownCoding("what?"))[b"accept-encoding"] == b"gzip, zstd"
    assert b"accept-encoding" not in headers(UnknownMediaType("what?"))


def test_a_body_that_may_still_be_coming_ends_its_connection() -> None:
    assert headers(BodyTooLarge("huge"))[b"connection"] == b"close"
    assert b"connection" not in headers(ERRORS["too_large"]("large"))


def test_a_token_that_a_refusal_quotes_is_hidden() -> None:
    error = NotFound(
        "there is no token 'sst_01ab_SECRET-part'", field="grants.sst_01ab_SECRET-part", hint="not sst_01ab_SECRET-part"
    )
    body = problem_reply(error, JSON, "r-1").body
    assert b"SECRET" not in body
    assert b"sst_01ab_(hidden)" in body
