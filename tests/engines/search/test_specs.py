"""Which indexes can be made."""

from __future__ import annotations

import pytest

from soundstage.core.errors import InvalidArgument, TooLarge
from soundstage.engines.search.port import FIELDS_MAX, Field, IndexSpec, Kind, SearchCapability
from soundstage.engines.search.specs import VALUED, check_name, check_spec, field_of, is_field_name

ALL = frozenset(SearchCapability)
WORD = Field(kind=Kind.KEYWORD)


@pytest.mark.parametrize("name", ["a", "0", "films-2026_11", "a" * 100])
def test_what_is_a_name(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize("name", ["", "A", "_a", "-a", "a.b", "a b", "a" * 101, "a\n"])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        check_name(name, "index")
    assert refusal.value.field == "index"


@pytest.mark.parametrize(("name", "expected"), [("a", True), ("a_1", True), ("1a", False), ("a-b", False), ("", False)])
def test_what_is_a_name_of_a_field(name: str, expected: bool) -> None:
    assert is_field_name(name) is expected


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({}, "fields"),
        ({"A": WORD}, "fields.A"),
        ({"a": Field(kind=Kind.TEXT, many=True)}, "fields.a.many"),
        ({"a": Field(kind=Kind.VECTOR, dimensions=2, many=True)}, "fields.a.many"),
        ({"a": Field(kind=Kind.VECTOR, dimensions=1_025)}, "fields.a.dimensions"),
        ({"a": Field(kind=Kind.TEXT, dimensions=1)}, "fields.a.dimensions"),
        ({"a": Field(kind=Kind.NESTED)}, "fields.a.fields"),
        ({"a": Field(kind=Kind.KEYWORD, fields={"b": WORD})}, "fields.a.fields"),
        ({"a": Field(kind=Kind.NESTED, fields={"B": WORD})}, "fields.a.fields.B"),
        ({"a": Field(kind=Kind.NESTED, fields={"b": Field(kind=Kind.VECTOR, dimensions=1)})}, "fields.a.fields.b"),
    ],
)
def test_fields_that_make_no_sense_are_refused_with_their_place(fields: dict[str, Field], place: str) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        check_spec(IndexSpec(name="films", fields=fields), ALL)
    assert refusal.value.field == place


@pytest.mark.parametrize(
    ("capability", "field"),
    [
        (SearchCapability.NESTED, Field(kind=Kind.NESTED, fields={"b": WORD})),
        (SearchCapability.VECTORS, Field(kind=Kind.VECTOR, dimensions=2)),
    ],
)
def test_what_a_capability_is_needed_for_is_refused_without_it(capability: SearchCapability, field: Field) -> None:
    spec = IndexSpec(name="films", fields={"a": field})
    check_spec(spec, ALL)
    with pytest.raises(InvalidArgument, match=capability.value):
        check_spec(spec, ALL - {capability})


def test_fields_of_objects_count_too() -> None:
    nested = Field(kind=Kind.NESTED, fields={f"f{n}": WORD for n in range(FIELDS_MAX)})
    with pytest.raises(TooLarge):
        check_spec(IndexSpec(name="films", fields={"a": nested}), ALL)


def test_a_field_is_found_by_its_name_and_use() -> None:
    fields = {"title": Field(kind=Kind.TEXT), "code": WORD}
    assert field_of(fields, "code", VALUED, "sorted by", "sort") is WORD
    with pytest.raises(InvalidArgument, match="'title' is of kind text and cannot be sorted by"):
        field_of(fields, "title", VALUED, "sorted by", "sort")
    with pytest.raises(InvalidArgument, match="no field 'codes'"):
        field_of(fields, "codes", VALUED, "sorted by", "sort")
