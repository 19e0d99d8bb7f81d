"""What senders are told of bodies that cannot be read; the codec's tests cover the common cases."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any

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


class Bounded(msgspec.Struct):
    count: Annotated[int, msgspec.Meta(ge=1, lt=9)] = 1
    ratio: Annotated[float, msgspec.Meta(gt=0, le=2)] = 1.0
    names: Annotated[list[str], msgspec.Meta(min_length=1)] = []
    flag: bool = False
    maybe: int | None = None


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ({"count": 0}, "give 1 or more"),
        ({"count": 9}, "give 8 or less"),
        ({"ratio": 0.0}, "give more than 0.0"),
        ({"ratio": 3.0}, "give 2.0 or less"),
        ({"names": []}, "give 1 or more"),
        ({"names": 5}, "send a list, in brackets"),
        ({"names": [5]}, "send text, in quotes"),
        ({"flag": "yes"}, "send true or false"),
        ({"ratio": "much"}, "send a number"),
        ({"maybe": "x"}, "integers have 64 bits and no fraction; a string of digits is read too"),
        (5, "send an object with fields, in braces"),
    ],
)
def test_every_refusal_says_what_to_do(value: Any, hint: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(value, Bounded)
    assert invalid(caught.value, inspect.type_info(Bounded)).hint == hint


def test_what_follows_a_message_is_told_where_it_begins() -> None:
    body = b'{"colour":"red"}  x'
    with pytest.raises(msgspec.DecodeError) as caught:
        msgspec.json.decode(body, type=Painted)
    assert "(byte 18)" in str(refusal(caught.value, body, "json", NODE))
