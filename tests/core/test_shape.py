"""The shape of messages, walked."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta, inspect
from tests.core.messages import Everything, Inner, Tree

from soundstage.core.shape import alternatives, at_path, descend, is_recursive, list_field, structs


class Row(msgspec.Struct):
    name: str


class Listed(msgspec.Struct):
    rows: list[Row] | None
    total: int


class Tuples(msgspec.Struct):
    rows: tuple[Row, ...] = ()


class Names(msgspec.Struct):
    names: dict[str, list[str]]


class Two(msgspec.Struct):
    left: list[Row]
    right: list[Row]


class PageBeside(Two):
    next_page_token: str | None = None


def node(type: Any) -> inspect.Type:
    return inspect.type_info(type)


def classes_at(path: str) -> set[type]:
    return {found.cls for place in at_path(node(Everything), path) for found in structs(place)}


def test_what_is_annotated_has_the_alternatives_of_what_it_annotates() -> None:
    annotated = Annotated[Literal["a", "b"], Meta(description="a choice")]
    assert alternatives(node(annotated)) == (node(Literal["a", "b"]),)


def test_the_alternatives_of_a_union_are_its_members() -> None:
    assert {type(found) for found in alternatives(node(int | None))} == {inspect.IntType, inspect.NoneType}


def test_anything_else_is_its_own_alternative() -> None:
    assert alternatives(node(int)) == (node(int),)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("", {Everything}),
        ("items", set[type]()),
        ("items[3]", {Inner}),
        ("items[...]", {Inner}),
        ("by_name[...]", {Inner}),
        ("by_name.x", {Inner}),
        ("nothing.here", set[type]()),
    ],
)
def test_a_path_leads_to_the_structs_that_may_stand_there(path: str, found: set[type]) -> None:
    assert classes_at(path) == found


def test_a_path_leads_through_maps_and_tuples() -> None:
    assert at_path(node(tuple[int, Inner]), "[1]")[1:] == [node(Inner)]


def test_every_struct_is_met_once() -> None:
    met = [found.cls for found in descend(node(Everything)) if isinstance(found, inspect.StructType)]
    assert sorted(met, key=str) == sorted([Everything, Inner], key=str)


@pytest.mark.parametrize(("type", "recursive"), [(Tree, True), (list[Tree], True), (Everything, False), (int, False)])
def test_a_struct_that_holds_itself_is_recursive(type: Any, recursive: bool) -> None:
    assert is_recursive(node(type)) is recursive


def test_what_carries_more_than_constraints_is_looked_into() -> None:
    described = Annotated[Annotated[float, Meta(gt=0)] | None, Meta(description="a rate")]
    assert any(isinstance(found, inspect.FloatType) for found in descend(node(described)))


def test_alternatives_are_looked_for_in_what_carries_more_than_constraints() -> None:
    number: Any = Annotated[int, Meta(ge=1, description="a count")]
    described = node(number | None)
    assert {type(found) for found in alternatives(described)} == {inspect.IntType, inspect.NoneType}


@pytest.mark.parametrize(
    ("message", "name"),
    [(Listed, "rows"), (Tuples, "rows"), (Row, None), (Names, None), (Two, None), (PageBeside, "left")],
)
def test_a_message_with_one_list_of_messages_and_a_page_are_told_by_their_list(
    message: type[msgspec.Struct], name: str | None
) -> None:
    assert list_field(message) == name
