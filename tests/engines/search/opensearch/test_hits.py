"""Documents as they come back, and the orders they are asked for in."""

from __future__ import annotations

import math
from typing import Any

import pytest

from soundstage.engines.search.opensearch.answers import Document as Said
from soundstage.engines.search.opensearch.hits import Found, likeness_of, sort_of, sort_values
from soundstage.engines.search.port import Document, Field, IndexSpec, Kind, Similarity
from soundstage.engines.search.queries import Sort

KINDS = {"code": Kind.KEYWORD, "year": Kind.INTEGER, "rating": Kind.DOUBLE, "colour": Kind.BOOLEAN}
SPEC = IndexSpec(
    name="films",
    fields={name: Field(kind=kind) for name, kind in KINDS.items()}
    | {"cast": Field(kind=Kind.NESTED, fields={"role": Field(kind=Kind.TEXT)})},
)


def hit(**source: Any) -> Found:
    return Found.of(Said(id="1", source=source, seq_no=3, primary_term=2, score=1.5))


def test_a_document_is_shown_without_what_is_ours() -> None:
    found = hit(year=1995, ID="1", WORDS={"a": "b"}, cast=[{"role": "Sam", "WORDS": {"role": "sam"}}, {}])
    assert found.shown(SPEC) == Document("1", {"year": 1995, "cast": [{"role": "Sam"}, {}]}, "3.2")
    assert found.shown(SPEC, ["year", "code"]).fields == {"year": 1995}


def test_a_document_without_a_source_has_no_fields() -> None:
    assert Found.of(Said(id="1", seq_no=0, primary_term=1)).shown(SPEC) == Document("1", {}, "0.1")


def test_a_position_is_that_of_the_fields() -> None:
    sorts = [Sort("year"), Sort("colour")]
    assert hit(year=1995).position(sorts) == ([1995, None], "1")


@pytest.mark.parametrize(
    ("field", "value", "up", "down"),
    [
        ("code", "a", "a", "a"),
        ("code", None, None, None),
        ("year", 7, 7, 7),
        ("year", None, (1 << 63) - 1, -(1 << 63)),
        ("rating", 7.5, 7.5, 7.5),
        ("rating", None, "Infinity", "-Infinity"),
        ("colour", True, 1, 1),
        ("colour", None, 2, -1),
    ],
)
def test_what_is_not_there_has_a_place_behind_all(field: str, value: Any, up: Any, down: Any) -> None:
    assert sort_values([Sort(field)], SPEC, ([value], "x")) == [up, "x"]
    assert sort_values([Sort(field, descending=True)], SPEC, ([value], "x")) == [down, "x"]


def test_ties_are_sorted_by_ids() -> None:
    assert sort_of([Sort("year", descending=True)], SPEC) == [
        {"year": {"order": "desc", "missing": "_last"}},
        {"ID": {"order": "asc"}},
    ]


@pytest.mark.parametrize(
    ("similarity", "score", "expected"),
    [
        ("cosine", 1.0, 1.0),
        ("cosine", 0.5, 0.0),
        ("cosine", 0.0, -1.0),
        ("dot", 5.0, 4.0),
        ("dot", 1.0, 0.0),
        ("dot", 0.2, -4.0),
        ("euclidean", 0.5, 0.5),
    ],
)
def test_scores_of_vectors_are_brought_into_our_form(similarity: Similarity, score: float, expected: float) -> None:
    assert math.isclose(likeness_of(similarity, score), expected)


def test_the_size_of_a_document_is_that_of_its_source() -> None:
    assert hit(code="abc", year=1).size() == len(b'{"code":"abc","year":1}')
