"""Integers that arrive as text, or with a fraction of nothing.

A JSON number is a double to many clients, so integers are accepted as strings of digits too, and `5.0` is 5, as
JSON Schema has it, as long as a double is exact. The first decoding does not look for them; one that fails for
such a value is repeated with `TextInteger` types in the place of integers.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from soundstage.core.scalars import decode_scalar

_EXACT_MAX = 2**53
"""Beyond it doubles skip integers."""

_DIGITS = re.compile(r"-?(?:0|[1-9][0-9]{0,39})")


class TextInteger(type):
    """A type whose values are plain integers, and whose decoding accepts text: `TextInteger.of(bounded)`."""

    bounded: Any

    @staticmethod
    def of(bounded: Any) -> TextInteger:
        """The type of those integers that `bounded`, an annotated `int`, allows."""
        return TextInteger("int", (), {"bounded": bounded})

    def __instancecheck__(cls, value: Any) -> bool:
        return type(value) is int

    def read(cls, value: Any) -> int:
        """The integer that `value` is or spells. Raises `ValueError`, to which msgspec adds the path."""
        if (isinstance(value, str) and _DIGITS.fullmatch(value)) or _is_whole(value):
            value = int(value)
        try:
            return msgspec.convert(value, cls.bounded)
        except msgspec.ValidationError as error:
            raise ValueError(str(error)) from None


def _is_whole(value: Any) -> bool:
    return isinstance(value, float) and value.is_integer() and abs(value) <= _EXACT_MAX


def decode_text_scalar(expected: type[Any], value: Any) -> Any:
    """As `decode_scalar`, for the types of `TextInteger` too."""
    return expected.read(value) if isinstance(expected, TextInteger) else decode_scalar(expected, value)
