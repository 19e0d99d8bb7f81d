"""Conditions on rows, which hold or do not: a comparison with a missing value does not, and neither does its opposite.

    where = both(equal("genre", "drama"), at_least("year", 1990))

Plain data, which engines translate. `normal` has them without negations, with what is missing made
explicit, for engines whose own logic takes another view of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import date, datetime
from typing import Literal, TypeAlias

import msgspec

from soundstage.core.errors import InvalidArgument

Scalar: TypeAlias = bool | int | float | str | bytes | date | datetime
Sign: TypeAlias = Literal["=", "!=", "<", "<=", ">", ">="]

VALUES_MAX = 10_000
DEPTH_MAX = 32

_OPPOSITE: dict[Sign, Sign] = {"=": "!=", "!=": "=", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}


class Everything(msgspec.Struct, frozen=True):
    """Holds for every row."""


class Compare(msgspec.Struct, frozen=True):
    """The column has a value, which stands so to `value`."""

    column: str
    sign: Sign
    value: Scalar


class Among(msgspec.Struct, frozen=True):
    """The column has one of these values; or `out`: it has another."""

    column: str
    values: tuple[Scalar, ...]
    out: bool = False


class Missing(msgspec.Struct, frozen=True):
    """The column has no value; or `out`: it has one."""

    column: str
    out: bool = False


class Both(msgspec.Struct, frozen=True):
    """All of them hold."""

    parts: tuple[Filter, ...]


class Either(msgspec.Struct, frozen=True):
    """At least one of them holds."""

    parts: tuple[Filter, ...]


class Opposite(msgspec.Struct, frozen=True):
    """What it is of could be told of the row, and did not hold."""

    of: Filter


Filter: TypeAlias = Everything | Compare | Among | Missing | Both | Either | Opposite

ALL = Everything()


def equal(column: str, value: Scalar) -> Filter:
    """The column has that value."""
    return Compare(column, "=", value)


def unequal(column: str, value: Scalar) -> Filter:
    """The column has another value."""
    return Compare(column, "!=", value)


def below(column: str, value: Scalar) -> Filter:
    """The column's value is less."""
    return Compare(column, "<", value)


def above(column: str, value: Scalar) -> Filter:
    """The column's value is more."""
    return Compare(column, ">", value)


def at_most(column: str, value: Scalar) -> Filter:
    """The column's value is that or less."""
    return Compare(column, "<=", value)


def at_least(column: str, value: Scalar) -> Filter:
    """The column's value is that or more."""
    return Compare(column, ">=", value)


def among(column: str, *values: Scalar) -> Filter:
    """The column has one of these values."""
    return Among(column, values)


def missing(column: str) -> Filter:
    """The column has no value."""
    return Missing(column)


def both(*parts: Filter) -> Filter:
    """All of them hold."""
    return Both(parts)


def either(*parts: Filter) -> Filter:
    """At least one of them holds."""
    return Either(parts)


def opposite(of: Filter) -> Filter:
    """The opposite could be told and holds."""
    return Opposite(of)


def columns_of(where: Filter) -> Iterator[str]:
    """The columns that a filter asks about."""
    match where:
        case Compare() | Among() | Missing():
            yield where.column
        case Both(parts) | Either(parts):
            for part in parts:
                yield from columns_of(part)
        case Opposite(of):
            yield from columns_of(of)
        case Everything():
            return


def normal(where: Filter, *, negated: bool = False, depth: int = 0) -> Filter:
    """The same of `Compare`, `Among`, `Missing`, `Both`, `Either` and, for whole filters, `Everything` alone.

    Raises `InvalidArgument` for what is too deep or too long, for a filter of no parts and for what is no number.
    """
    if depth > DEPTH_MAX:
        raise InvalidArgument(f"the filter is more than {DEPTH_MAX} deep", field="where", hint="make it flatter")
    match where:
        case Everything():
            if negated or depth:
                raise InvalidArgument("a filter that always holds stands alone", field="where", hint="leave it out")
            return where
        case Compare(column, sign, value):
            _check_value(value)
            return Compare(column, _OPPOSITE[sign] if negated else sign, value)
        case Among(column, values, out):
            if not 1 <= len(values) <= VALUES_MAX:
                raise InvalidArgument(f"a filter has 1 to {VALUES_MAX} values, not {len(values)}", field="where")
            for value in values:
                _check_value(value)
            return Among(column, values, out is not negated)
        case Missing(column, out):
            return Missing(column, out is not negated)
        case Opposite(of):
            return normal(of, negated=not negated, depth=depth + 1)
        case Both(parts) | Either(parts):
            if not parts:
                raise InvalidArgument("a filter of no parts says nothing", field="where", hint="leave it out")
            inner = tuple(normal(part, negated=negated, depth=depth + 1) for part in parts)
            return Both(inner) if isinstance(where, Both) is not negated else Either(inner)


def _check_value(value: Scalar) -> None:
    if isinstance(value, float) and math.isnan(value):
        raise InvalidArgument("nothing compares to what is no number", field="where", hint="ask for what is missing")
