"""Messages as maps, and which types need to be made so before they are encoded."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import UNSET, UnsetType, inspect
from tests.core.messages import Everything, Inner, OnlyNone

from soundstage.core.plain import encode_function, omits_none_only, plain


class Tagged(msgspec.Struct, tag="t", tag_field="kind"):
    a: int | None = None


class Row(msgspec.Struct, array_like=True):
    a: int | None = None
    b: int = 1


class Unset(msgspec.Struct, omit_defaults=True):
    a: int | UnsetType = UNSET


class Defaulted(msgspec.Struct, omit_defaults=True):
    a: int = 5


@pytest.mark.parametrize(
    ("type", "alone"), [(OnlyNone, True), (Inner, False), (Defaulted, False), (Row, True), (Unset, True), (int, True)]
)
def test_msgspec_alone_is_enough_where_only_none_is_left_out(type: Any, alone: bool) -> None:
    assert omits_none_only(inspect.type_info(type)) is alone


@pytest.mark.parametrize(
    ("value", "made"),
    [
        (Inner(key=b"k"), {"key": b"k"}),
        ([Inner(key=b"k", note="n")], [{"key": b"k", "note": "n"}]),
        ({"x": Tagged(5)}, {"x": {"kind": "t", "a": 5}}),
        (Tagged(), {"kind": "t"}),
        (Row(), [None, 1]),
        (Unset(), {}),
        ((1, {"a": None}), [1, {"a": None}]),
    ],
)
def test_structs_become_maps_of_what_is_not_none(value: Any, made: Any) -> None:
    assert plain(value) == made


def test_a_default_that_is_no_none_is_written() -> None:
    assert encode_function(Defaulted, True)(Defaulted()) == b'{"a":5}'


def test_a_default_may_be_left_out_where_exactness_is_not_asked() -> None:
    assert encode_function(Defaulted, True, exact=False)(Defaulted()) == b"{}"


def test_bytes_that_look_like_nan_are_none() -> None:
    message = Everything(id="a", ratio=1.0, items=[Inner(key=b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00")])
    assert msgspec.msgpack.decode(encode_function(Everything, False)(message))["ratio"] == 1.0


def test_nan_inside_a_free_value_is_named() -> None:
    with pytest.raises(ValueError, match=r"the message\.free\.a\[0\]"):
        encode_function(Everything, True)(Everything(id="a", free={"a": [float("nan")]}))
