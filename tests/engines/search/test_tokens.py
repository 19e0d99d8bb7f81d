"""The end of a page belongs to one request."""

from __future__ import annotations

import msgspec
import pytest

from soundstage.core.errors import InvalidArgument
from soundstage.engines.search.port import SCORED_MAX_HITS, Field, IndexSpec, Kind, Request
from soundstage.engines.search.queries import Sort, Term
from soundstage.engines.search.tokens import passed, position, scored_token, sorted_token

SPEC = IndexSpec(name="films", fields={"year": Field(kind=Kind.INTEGER), "code": Field(kind=Kind.KEYWORD)})
SORTED = Request(query=Term("code", "a"), sort=[Sort("year"), Sort("code", descending=True)])
SCORED = Request(query=Term("code", "a"))


def after(request: Request, token: bytes) -> Request:
    return msgspec.structs.replace(request, after=token)


def test_without_a_token_a_page_is_the_first() -> None:
    assert (position(SORTED, SPEC), passed(SCORED)) == (None, 0)


def test_a_position_comes_back() -> None:
    token = sorted_token(SORTED, ([1995, None], "heat"))
    assert position(after(SORTED, token), SPEC) == ([1995, None], "heat")


def test_a_number_of_hits_comes_back() -> None:
    assert passed(after(SCORED, scored_token(SCORED, 20))) == 20


def test_another_page_size_may_go_on() -> None:
    request = msgspec.structs.replace(SORTED, limit=7, fields=["year"])
    assert position(after(request, sorted_token(SORTED, ([1, "a"], "x"))), SPEC) == ([1, "a"], "x")


@pytest.mark.parametrize(
    "token",
    [
        b"",
        b"x",
        b"\xff" * 30,
        sorted_token(msgspec.structs.replace(SORTED, query=Term("code", "b")), ([1, "a"], "x")),
        sorted_token(msgspec.structs.replace(SORTED, sort=[Sort("year")]), ([1], "x")),
        sorted_token(SORTED, ([1], "x")),
        sorted_token(SORTED, (["1", "a"], "x")),
        sorted_token(SORTED, ([1, 2], "x")),
        sorted_token(SORTED, ([1, "k" * 5_000], "x")),
        scored_token(SORTED, 3),
    ],
)
def test_what_is_no_end_of_this_request_is_refused(token: bytes) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        position(after(SORTED, token), SPEC)
    assert refusal.value.field == "after"


@pytest.mark.parametrize(
    "token",
    [
        scored_token(SORTED, 1),
        scored_token(SCORED, -1),
        scored_token(SCORED, SCORED_MAX_HITS + 1),
        sorted_token(SCORED, ([], "x")),
        sorted_token(SCORED, ([1], "x")),
    ],
)
def test_what_is_no_number_of_hits_is_refused(token: bytes) -> None:
    with pytest.raises(InvalidArgument):
        passed(after(SCORED, token))
