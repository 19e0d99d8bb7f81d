"""The values of fields: which a kind takes, and the form in which they are kept and compared."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeGuard, cast

from soundstage.core.errors import InvalidArgument, TooLarge
from soundstage.engines.search import refusals
from soundstage.engines.search.port import (
    DIMENSIONS_MAX,
    INSTANT_MAX_US,
    KEYWORD_MAX_BYTES,
    VALUES_MAX,
    Field,
    Kind,
)
from soundstage.engines.search.queries import Scalar

INTEGER_MIN, INTEGER_MAX = 1 - (1 << 63), (1 << 63) - 2
"""The two outermost of 64 bits are what some engine sorts those by that have none."""

DOUBLE_MAX = sys.float_info.max
"""The greatest number of 64 bits that is finite."""

_SINGLE_MAX = 3.4028234663852886e38
"""The greatest number of 32 bits."""


_INFINITE = math.inf
_TEXT, _KEYWORD, _INTEGER, _DOUBLE, _BOOLEAN = Kind.TEXT, Kind.KEYWORD, Kind.INTEGER, Kind.DOUBLE, Kind.BOOLEAN
_INSTANT = Kind.INSTANT

_SHORT = KEYWORD_MAX_BYTES // 4
"""Characters of a keyword that is short enough, whatever they are."""


def scalar(field: Field, value: Any, place: str) -> Scalar:
    """`value` as fields of this kind have it. Raises `InvalidArgument`, and `TooLarge` for a keyword over 4 KiB."""
    return _SCALARS[field.kind](value, place)


def normal(field: Field, value: Any, place: str) -> Any:
    """The value of a field of a document, lists and objects too. Raises like `scalar`."""
    if field.kind is Kind.VECTOR:
        return vector(field, value, place)
    if field.kind is Kind.NESTED:
        return [_object(field.fields, each, f"{place}[{n}]") for n, each in enumerate(_several(value, place))]
    if not field.many:
        return _SCALARS[field.kind](value, place)
    take = _SCALARS[field.kind]
    found = [take(each, f"{place}[{number}]") for number, each in enumerate(_several(value, place))]
    if len(set(found)) < len(found):
        raise InvalidArgument("a list holds no value twice", field=place, hint="leave out the second one")
    return found


def vector(field: Field, value: Any, place: str) -> list[float]:
    """The numbers of a vector, as they were given. Raises `InvalidArgument`, for one that has no direction too."""
    numbers = _numbers(value)
    if numbers is None or len(numbers) != field.dimensions:
        raise InvalidArgument(f"expected a list of {field.dimensions} numbers", field=place)
    if not all(abs(number) <= _SINGLE_MAX for number in numbers):
        raise InvalidArgument("the numbers of a vector have 32 bits", field=place)
    if field.similarity == "cosine" and not any(abs(number) > 1e-30 for number in numbers):
        raise InvalidArgument("a vector without a length has no direction", field=place, hint="leave the field out")
    return numbers


def _numbers(value: Any) -> list[float] | None:
    if not isinstance(value, list | tuple) or len(cast("list[Any]", value)) > DIMENSIONS_MAX:
        return None
    several = cast("list[Any]", value)
    return [float(each) for each in several] if all(map(_is_number, several)) else None


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool))


def plain(known: Mapping[str, Field], given: Mapping[str, Any]) -> dict[str, Any] | None:
    """What `fields_of` gives for fields that are plainly right, as most are; None where it has to look closer."""
    found: dict[str, Any] = {}
    for name, value in given.items():
        field = known.get(name)
        if field is None or field.many:
            return None
        kind = field.kind
        form: object = value.__class__
        if form is str:
            if not value.isascii() or not (kind is _TEXT or (kind is _KEYWORD and len(value) <= _SHORT)):
                return None
        elif form is int:
            if kind is _INSTANT:
                if not -INSTANT_MAX_US <= value <= INSTANT_MAX_US:
                    return None
            elif kind is not _INTEGER or not INTEGER_MIN <= value <= INTEGER_MAX:
                return None
        elif form is float:
            if kind is not _DOUBLE or not -_INFINITE < value < _INFINITE:
                return None
            # There is one zero: engines order two of them.
            value += 0.0
        elif form is not bool or kind is not _BOOLEAN:
            return None
        found[name] = value
    return found


def fields_of(known: Mapping[str, Field], given: Mapping[str, Any], place: str) -> dict[str, Any]:
    """The fields of a document, each as its kind has it. Raises `InvalidArgument` for one that is not known."""
    found: dict[str, Any] = {}
    for name, value in given.items():
        field = known.get(name)
        if field is None:
            raise refusals.no_field(name, known, f"{place}.{name}")
        found[name] = normal(field, value, f"{place}.{name}")
    return found


def _object(known: Mapping[str, Field], value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidArgument("expected an object", field=place)
    return fields_of(known, cast("dict[str, Any]", value), place)


def _several(value: Any, place: str) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise InvalidArgument("expected a list", field=place)
    several = list(cast("list[Any]", value))
    if len(several) > VALUES_MAX:
        raise refusals.too_many("values in a field", VALUES_MAX, place)
    return several


def text(value: Any, place: str) -> str:
    """A string that can be written. Raises `InvalidArgument`."""
    if not isinstance(value, str):
        raise InvalidArgument("expected a string", field=place)
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InvalidArgument("the string has half a character", field=place) from None
    return value


def _keyword(value: Any, place: str) -> str:
    found = text(value, place)
    if len(found) * 4 > KEYWORD_MAX_BYTES and len(found.encode()) > KEYWORD_MAX_BYTES:
        raise TooLarge(f"a keyword has at most {KEYWORD_MAX_BYTES} bytes", field=place, hint="use a text field")
    return found


def _integer(value: Any, place: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not INTEGER_MIN <= value <= INTEGER_MAX:
        raise InvalidArgument("expected an integer of 64 bits", field=place)
    return value


def _instant(value: Any, place: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not abs(value) <= INSTANT_MAX_US:
        raise InvalidArgument("expected microseconds since 1970, within 2^53", field=place)
    return value


def _double(value: Any, place: str) -> float:
    if not _is_number(value):
        raise InvalidArgument("expected a number", field=place)
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise InvalidArgument("the number is not finite", field=place)
    # There is one zero: engines order two of them.
    return found + 0.0


def _boolean(value: Any, place: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidArgument("expected true or false", field=place)
    return value


_SCALARS: Mapping[Kind, Callable[[Any, str], Scalar]] = {
    Kind.KEYWORD: _keyword,
    Kind.TEXT: text,
    Kind.INTEGER: _integer,
    Kind.DOUBLE: _double,
    Kind.BOOLEAN: _boolean,
    Kind.INSTANT: _instant,
}
