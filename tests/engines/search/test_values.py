"""Which values fields take, and the form they are kept in."""

from __future__ import annotations

import math
from typing import Any

import pytest

from soundstage.core.errors import InvalidArgument, SoundstageError, TooLarge
from soundstage.engines.search.port import INSTANT_MAX_US, KEYWORD_MAX_BYTES, VALUES_MAX, Field, Kind
from soundstage.engines.search.values import fields_of, normal, plain, scalar, vector

KEYWORDS = Field(kind=Kind.KEYWORD, many=True)
DOUBLE = Field(kind=Kind.DOUBLE)
PLACE = Field(kind=Kind.VECTOR, dimensions=2, similarity="dot")
DIRECTION = Field(kind=Kind.VECTOR, dimensions=2)
CAST = Field(kind=Kind.NESTED, fields={"actor": Field(kind=Kind.KEYWORD), "roles": KEYWORDS})


@pytest.mark.parametrize(
    ("field", "given", "expected"),
    [
        (Field(kind=Kind.KEYWORD), "", ""),
        (Field(kind=Kind.TEXT), "Heat", "Heat"),
        (Field(kind=Kind.INTEGER), 1 - (1 << 63), 1 - (1 << 63)),
        (DOUBLE, 8, 8.0),
        (DOUBLE, -0.0, 0.0),
        (Field(kind=Kind.BOOLEAN), False, False),
        (Field(kind=Kind.INSTANT), INSTANT_MAX_US, INSTANT_MAX_US),
        (KEYWORDS, ("b", "a"), ["b", "a"]),
        (Field(kind=Kind.INTEGER, many=True), [], []),
        (PLACE, (1, 0), [1.0, 0.0]),
        (PLACE, [0, 0], [0.0, 0.0]),
        (CAST, [{"actor": "Reno"}, {}], [{"actor": "Reno"}, {}]),
        (CAST, [], []),
    ],
)
def test_a_value_is_kept_as_its_kind_has_it(field: Field, given: Any, expected: Any) -> None:
    found = normal(field, given, "place")
    assert (found, type(found)) == (expected, type(expected))


def test_there_is_one_zero() -> None:
    found = scalar(DOUBLE, -0.0, "place")
    assert isinstance(found, float)
    assert math.copysign(1, found) == 1


@pytest.mark.parametrize(
    ("field", "given", "error", "place"),
    [
        (Field(kind=Kind.KEYWORD), b"a", InvalidArgument, "p"),
        (Field(kind=Kind.KEYWORD), "\udfff", InvalidArgument, "p"),
        (Field(kind=Kind.KEYWORD), "ä" * (KEYWORD_MAX_BYTES // 2 + 1), TooLarge, "p"),
        (Field(kind=Kind.INTEGER), True, InvalidArgument, "p"),
        (Field(kind=Kind.INTEGER), (1 << 63) - 1, InvalidArgument, "p"),
        (Field(kind=Kind.INTEGER), -(1 << 63), InvalidArgument, "p"),
        (Field(kind=Kind.INSTANT), -INSTANT_MAX_US - 1, InvalidArgument, "p"),
        (DOUBLE, math.inf, InvalidArgument, "p"),
        (DOUBLE, 10**400, InvalidArgument, "p"),
        (DOUBLE, None, InvalidArgument, "p"),
        (Field(kind=Kind.BOOLEAN), 0, InvalidArgument, "p"),
        (KEYWORDS, "a", InvalidArgument, "p"),
        (KEYWORDS, ["a", 1], InvalidArgument, "p[1]"),
        (KEYWORDS, ["a", "b", "a"], InvalidArgument, "p"),
        (Field(kind=Kind.DOUBLE, many=True), [0.0, -0.0], InvalidArgument, "p"),
        (KEYWORDS, [f"{n}" for n in range(VALUES_MAX + 1)], TooLarge, "p"),
        (PLACE, [1, 2, 3], InvalidArgument, "p"),
        (PLACE, [1, True], InvalidArgument, "p"),
        (PLACE, [1, 1e39], InvalidArgument, "p"),
        (PLACE, [1, math.nan], InvalidArgument, "p"),
        (DIRECTION, [0, 0], InvalidArgument, "p"),
        (DIRECTION, [0, 1e-40], InvalidArgument, "p"),
        (CAST, {"actor": "Reno"}, InvalidArgument, "p"),
        (CAST, ["Reno"], InvalidArgument, "p[0]"),
        (CAST, [{}, {"roles": ["a", "a"]}], InvalidArgument, "p[1].roles"),
        (CAST, [{"acter": "Reno"}], InvalidArgument, "p[0].acter"),
    ],
)
def test_what_a_kind_does_not_take_is_refused_with_its_place(
    field: Field, given: Any, error: type[SoundstageError], place: str
) -> None:
    with pytest.raises(error) as refusal:
        normal(field, given, "p")
    assert refusal.value.field == place


def test_a_field_that_is_not_known_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(InvalidArgument) as refusal:
        fields_of({"title": Field(kind=Kind.TEXT)}, {"tilte": "Heat"}, "fields")
    assert (refusal.value.field, refusal.value.hint) == ("fields.tilte", "did you mean 'title'?")


def test_numbers_of_a_vector_are_as_they_were_given() -> None:
    assert vector(PLACE, [0.1, 2], "v") == [0.1, 2.0]


FIELDS = {
    "title": Field(kind=Kind.TEXT),
    "code": Field(kind=Kind.KEYWORD),
    "year": Field(kind=Kind.INTEGER),
    "rating": Field(kind=Kind.DOUBLE),
    "seen": Field(kind=Kind.BOOLEAN),
    "at": Field(kind=Kind.INSTANT),
    "tags": Field(kind=Kind.KEYWORD, many=True),
    "mood": Field(kind=Kind.VECTOR, dimensions=1),
}


def test_what_is_plainly_right_is_taken_as_it_is() -> None:
    given = {"title": "Heat", "code": "a", "year": 1995, "rating": 8.5, "seen": True, "at": -INSTANT_MAX_US}
    assert plain(FIELDS, given) == given == fields_of(FIELDS, given, "fields")


def test_there_is_one_zero_among_what_is_plainly_right() -> None:
    found = plain(FIELDS, {"rating": -0.0})
    assert found is not None
    assert str(found["rating"]) == "0.0"


@pytest.mark.parametrize(
    "given",
    [
        {"title": "Größe"},
        {"title": 7},
        {"code": "x" * (KEYWORD_MAX_BYTES // 4 + 1)},
        {"code": True},
        {"year": True},
        {"year": 1 << 63},
        {"year": 1.0},
        {"rating": 7},
        {"rating": float("nan")},
        {"rating": float("inf")},
        {"seen": 1},
        {"at": INSTANT_MAX_US + 1},
        {"at": True},
        {"at": 7.0},
        {"tags": ["a"]},
        {"mood": [1.0]},
        {"unknown": 7},
        {"title": None},
    ],
    ids=repr,
)
def test_everything_else_is_looked_at_more_closely(given: dict[str, Any]) -> None:
    assert plain(FIELDS, given) is None
