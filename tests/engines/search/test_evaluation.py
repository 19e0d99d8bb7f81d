"""Scores, orders and likenesses of the specification."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundstage.engines.search.evaluation import Analysed, Collection, compare, likeness, matches, position_of
from soundstage.engines.search.port import Field, Kind, Similarity
from soundstage.engines.search.queries import All, Bool, Exists, Match, Phrase, Prefix, Query, Sort
from soundstage.engines.search.tokens import Position

FIELDS = {"text": Field(kind=Kind.TEXT), "year": Field(kind=Kind.INTEGER)}


def document(id: str, **fields: Any) -> Analysed:
    return Analysed(id, fields, FIELDS)


def scores(query: Query, *texts: str) -> list[float]:
    documents = [document(f"{number}", text=text) for number, text in enumerate(texts)]
    collection = Collection(documents)
    return [collection.score(query, each) if matches(query, each) else 0.0 for each in documents]


def test_a_word_that_comes_more_often_weighs_more() -> None:
    once, twice, _ = scores(Match("text", "red"), "red a b", "red red b", "a b c")
    assert twice > once > 0


def test_a_seldom_word_weighs_more() -> None:
    seldom, common, _ = scores(Match("text", "red blue", every=False), "red a", "blue a", "blue b")
    assert seldom > common


def test_a_word_in_a_shorter_text_weighs_more() -> None:
    short, long = scores(Match("text", "red"), "red a", "red a b c d e")
    assert short > long


def test_scores_of_parts_that_match_are_added() -> None:
    parts = [Match("text", "red"), Match("text", "blue")]
    both = scores(Bool(must=parts[:1], should=parts[1:]), "red blue", "red a")
    each = [scores(part, "red blue", "red a") for part in parts]
    assert both == pytest.approx([each[0][0] + each[1][0], each[0][1]])


def test_what_only_filters_weighs_nothing() -> None:
    assert scores(Bool(filter=[Match("text", "red")]), "red") == [0]
    assert scores(Bool(must=[All()], filter=[Match("text", "red")]), "red") == [1.0]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (Phrase("text", "a b"), True),
        (Phrase("text", "b a"), False),
        (Phrase("text", ""), False),
        (Prefix("text", "c"), False),
        (Prefix("year", "1"), True),
        (Exists("text"), True),
        (Match("text", "b x", every=False), True),
    ],
)
def test_a_document_matches(query: Query, expected: bool) -> None:
    assert matches(query, document("1", text="A, b.", year=12)) is expected


def test_a_text_without_words_does_not_exist() -> None:
    assert not matches(Exists("text"), document("1", text="…"))


POSITIONS = st.tuples(st.lists(st.none() | st.integers(0, 2), min_size=2, max_size=2), st.sampled_from("abc"))
SORTS = [Sort("one"), Sort("two", descending=True)]


@given(POSITIONS, POSITIONS, POSITIONS)
def test_an_order_is_one(one: Position, two: Position, three: Position) -> None:
    assert (compare(one, two, SORTS) == 0) == (one == two)
    assert (compare(one, two, SORTS) > 0) == (compare(two, one, SORTS) < 0)
    if compare(one, two, SORTS) <= 0 and compare(two, three, SORTS) <= 0:
        assert compare(one, three, SORTS) <= 0


def test_what_is_not_there_comes_last_in_both_directions() -> None:
    there: Position = ([1], "b")
    missing: Position = ([None], "a")
    for sort in (Sort("year"), Sort("year", descending=True)):
        assert compare(there, missing, [sort]) < 0


def test_a_position_has_the_keys_and_the_id() -> None:
    assert position_of(document("1", year=7), [Sort("year"), Sort("text")]) == ([7, None], "1")


@pytest.mark.parametrize(("similarity", "expected"), [("cosine", 1 / math.sqrt(2)), ("dot", 6.0), ("euclidean", 1 / 6)])
def test_likeness(similarity: Similarity, expected: float) -> None:
    assert likeness(similarity, [3.0, 0.0], [2.0, 2.0]) == pytest.approx(expected)
