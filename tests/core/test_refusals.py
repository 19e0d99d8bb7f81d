"""What senders are told of bodies that cannot be read; the codec's tests cover the common cases."""

from __future__ import annotations

from enum import Enum
from typing import Any

import msgspec
import pytest
from msgspec import inspect

from soundstage.core.refusals import invalid, refusal, too_deep


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Painted(msgspec.Struct):
    colour: Colour
    shades: dict[str, int] = {}


NODE = inspect.type_info(Painted)


def error_of(value: Any) -> msgspec.ValidationError:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(value, Painted)
    return caught.value


def test_the_members_of_an_enumeration_are_its_choices() -> None:
    assert invalid(error_of({"colour": "green"}), NODE).hint == "one of red, blue"


def test_a_wrong_key_is_said_to_be_a_key() -> None:
    refused = invalid(error_of({"colour": "red", "shades": {5: 5}}), NODE)
    assert "a key: expected `str`" in str(refused)


def test_a_body_of_the_wrong_kind_is_told_where() -> None:
    assert str(invalid(error_of([]), NODE, place=" (byte 3)")).endswith("(byte 3)")


def test_long_names_are_cut() -> None:
    strict = msgspec.defstruct("Strict", [("a", int)], forbid_unknown_fields=True)
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert({"a": 1, "x" * 1_000: 1}, strict)
    assert len(invalid(caught.value, inspect.type_info(strict)).detail) < 200


def test_too_deep_says_where_the_limit_is_passed() -> None:
    assert "(byte 100)" in str(too_deep(b"[" * 200, "json"))
    assert "(byte 100)" in str(too_deep(b"\x91" * 200, "msgpack"))


def test_a_stack_that_ran_out_is_told_as_depth() -> None:
    assert "nests deeper" in str(refusal(RecursionError(), b"[" * 5_000, "json", NODE))


def test_text_that_is_no_utf8_is_told_where() -> None:
    with pytest.raises(UnicodeDecodeError) as caught:
        b"ab\xff".decode()
    assert "(byte 4)" in str(refusal(caught.value, b'{"ab\xff"}', "json", NODE))
