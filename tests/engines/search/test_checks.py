"""Queries come out of the check in the form that engines take."""

from __future__ import annotations

import pytest

from soundstage.core.errors import InvalidArgument, SoundstageError, TooLarge
from soundstage.engines.search.checks import check_deletion, check_nearest, check_query, check_request
from soundstage.engines.search.port import CLAUSES_MAX, DELETE_MAX, Field, IndexSpec, Kind, Nearest, Request
from soundstage.engines.search.queries import (
    All,
    Bool,
    Exists,
    Match,
    Nested,
    Prefix,
    Query,
    Range,
    Sort,
    Summary,
    Term,
    Terms,
)

SPEC = IndexSpec(
    name="films",
    fields={
        "title": Field(kind=Kind.TEXT),
        "code": Field(kind=Kind.KEYWORD),
        "rating": Field(kind=Kind.DOUBLE),
        "cast": Field(kind=Kind.NESTED, fields={"billing": Field(kind=Kind.DOUBLE)}),
        "mood": Field(kind=Kind.VECTOR, dimensions=2),
    },
)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (All(), All()),
        (Term("rating", 8), Term("rating", 8.0)),
        (Terms("rating", (8, 8.0, -0.0)), Terms("rating", [8.0, 0.0])),
        (Range(field="rating", above=1, below=2), Range(field="rating", above=1.0, below=2.0)),
        (Prefix("title", "STRASS"), Prefix("title", "strass")),
        (Prefix("code", "US-"), Prefix("code", "US-")),
        (Nested("cast", Term("billing", 1)), Nested("cast", Term("billing", 1.0))),
        (Bool(should=[Term("rating", 1)]), Bool(should=[Term("rating", 1.0)], should_min=1)),
        (Bool(should=[All()], filter=[All()]), Bool(should=[All()], filter=[All()], should_min=0)),
    ],
)
def test_a_query_has_one_form(given: Query, expected: Query) -> None:
    found = check_query(SPEC, given)
    assert (type(found), repr(check_query(SPEC, found))) == (type(expected), repr(found))
    assert repr(found).replace("()", "[]") == repr(expected).replace("()", "[]")


@pytest.mark.parametrize(
    ("query", "place"),
    [
        (Term("kode", "a"), "query.field"),
        (Term("code", 1), "query.value"),
        (Terms("code", ["a", 1]), "query.values[1]"),
        (Range(field="code", above=1), "query.above"),
        (Bool(must=[All(), Match("code", "a")]), "query.must[1].field"),
        (Bool(should=[Bool(must_not=[Exists("x")])]), "query.should[0].must_not[0].field"),
        (Nested("cast", Term("rating", 1)), "query.query.field"),
        (Nested("cast", Nested("cast", All())), "query.query"),
    ],
)
def test_a_refusal_names_the_place(query: Query, place: str) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        check_query(SPEC, query)
    assert refusal.value.field == place


def test_what_is_no_query_is_refused() -> None:
    wrong: Query = "title:heat"  # type: ignore[assignment]
    with pytest.raises(InvalidArgument, match="no query"):
        check_query(SPEC, wrong)


def test_words_are_clauses() -> None:
    check_query(SPEC, Match("title", "w " * (CLAUSES_MAX - 1)))
    with pytest.raises(TooLarge):
        check_query(SPEC, Match("title", "w " * CLAUSES_MAX))


@pytest.mark.parametrize(
    "request_",
    [
        Request(limit=-1),
        Request(sort=[Sort("title")]),
        Request(fields=["tilte"]),
        Request(aggregations={"a": Summary("code")}),
        Request(query=Term("x", 1)),
    ],
)
def test_all_of_a_request_is_checked(request_: Request) -> None:
    with pytest.raises(InvalidArgument):
        check_request(SPEC, request_)


def test_a_vector_comes_out_as_numbers() -> None:
    assert check_nearest(SPEC, Nearest(field="mood", vector=(1, 2))).vector == [1.0, 2.0]


@pytest.mark.parametrize(
    ("request_", "place"),
    [
        (Nearest(field="title", vector=[1, 2]), "field"),
        (Nearest(field="mood", vector=[1]), "vector"),
        (Nearest(field="mood", vector=[1, 2], limit=0), "limit"),
        (Nearest(field="mood", vector=[1, 2], where=Term("x", 1)), "where.field"),
    ],
)
def test_all_of_a_likeness_is_checked(request_: Nearest, place: str) -> None:
    with pytest.raises(SoundstageError) as refusal:
        check_nearest(SPEC, request_)
    assert refusal.value.field == place


@pytest.mark.parametrize("limit", [0, -1, DELETE_MAX + 1])
def test_so_many_are_deleted_at_once_and_no_more(limit: int) -> None:
    assert check_deletion(SPEC, All(), DELETE_MAX) == All()
    with pytest.raises(InvalidArgument):
        check_deletion(SPEC, All(), limit)
