"""Strict twins: the same messages, read without forgiveness."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, NewType, TypedDict

import msgspec
import pytest
from tests.core.messages import Everything, Inner, Tree

from soundstage.core.strict import strict_twin, text_twin

UserId = NewType("UserId", int)


class Frozen(msgspec.Struct, frozen=True):
    name: str
    of: UserId = UserId(0)


class Renamed(msgspec.Struct, rename="camel"):
    a_field: int


class Point(NamedTuple):
    x: int


@dataclass
class Plain:
    x: int


class Keyed(TypedDict):
    x: int


def test_a_twin_is_a_kind_of_its_original() -> None:
    assert issubclass(strict_twin(Everything), Everything)


def test_one_struct_always_has_the_same_twin() -> None:
    assert strict_twin(Everything) is strict_twin(Everything)


def test_the_two_kinds_of_twins_are_apart() -> None:
    assert strict_twin(Everything) is not text_twin(Everything)


def test_a_twin_keeps_name_module_and_documentation() -> None:
    twin = strict_twin(Everything)
    assert (twin.__name__, twin.__module__, twin.__doc__) == (
        "Everything",
        Everything.__module__,
        Everything.__doc__,
    )


def test_a_twin_keeps_names_on_the_wire() -> None:
    assert msgspec.json.decode(b'{"aField":5}', type=strict_twin(Renamed)) == Renamed(5)


def test_a_twin_refuses_unknown_fields_all_the_way_down() -> None:
    with pytest.raises(msgspec.ValidationError, match="kay"):
        msgspec.json.decode(b'{"id":"a","items":[{"key":"","kay":1}]}', type=strict_twin(Everything))


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1])
def test_a_twin_bounds_integers(value: int) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"name": "a", "of": value}, strict_twin(Frozen))


def test_a_twin_keeps_bounds_that_are_there() -> None:
    with pytest.raises(msgspec.ValidationError, match="<= 10"):
        msgspec.convert(11, strict_twin(Annotated[int, msgspec.Meta(ge=1, le=10)]))


def test_a_twin_refuses_nan() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(float("nan"), strict_twin(float))


def test_equal_structs_are_equal_whichever_type_made_them() -> None:
    made, read = Frozen("a"), msgspec.json.decode(b'{"name":"a"}', type=strict_twin(Frozen))
    assert (made == read, read == made, hash(made) == hash(read)) == (True, True, True)


def test_structs_that_differ_are_not_equal() -> None:
    read = msgspec.json.decode(b'{"name":"b"}', type=strict_twin(Frozen))
    assert (read != Frozen("a"), read == "b") == (True, False)


def test_a_twin_of_an_unhashable_struct_is_unhashable() -> None:
    with pytest.raises(TypeError):
        hash(strict_twin(Inner)(key=b""))


def test_a_struct_that_holds_itself_has_a_twin() -> None:
    with pytest.raises(msgspec.ValidationError, match="unknown"):
        msgspec.json.decode(b'{"below":[{"below":[{"x":1}]}]}', type=strict_twin(Tree))


def test_text_twins_read_digits() -> None:
    from soundstage.core.digits import decode_text_scalar

    read = msgspec.json.decode(b'{"name":"a","of":"17"}', type=text_twin(Frozen), dec_hook=decode_text_scalar)
    assert read == Frozen("a", UserId(17))


@pytest.mark.parametrize("foreign", [Plain, Keyed])
def test_records_of_other_kinds_are_no_messages(foreign: Any) -> None:
    with pytest.raises(TypeError, match=r"msgspec\.Struct"):
        strict_twin(foreign)


def test_named_tuples_are_no_messages() -> None:
    with pytest.raises(TypeError, match=r"msgspec\.Struct"):
        strict_twin(Point)
