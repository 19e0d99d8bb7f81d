"""Which indexes can be made, what each kind of field can be used for, and the capabilities it needs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TypeAlias

from soundstage.core.errors import InvalidArgument
from soundstage.engines.search import refusals
from soundstage.engines.search.port import (
    DIMENSIONS_MAX,
    FIELDS_MAX,
    NAME_MAX_CHARS,
    Field,
    IndexSpec,
    Kind,
    SearchCapability,
)

Fields: TypeAlias = Mapping[str, Field]

VALUED = frozenset({Kind.KEYWORD, Kind.INTEGER, Kind.DOUBLE, Kind.BOOLEAN, Kind.INSTANT})
"""Kinds whose values are compared as a whole, sorted by and counted."""

ORDERED = VALUED - {Kind.BOOLEAN}
NUMERIC = frozenset({Kind.INTEGER, Kind.DOUBLE, Kind.INSTANT})

_NAME = re.compile(rf"[a-z0-9][a-z0-9_-]{{0,{NAME_MAX_CHARS - 1}}}")
_FIELD = re.compile(r"[a-z][a-z0-9_]{0,63}")
_MANY = frozenset({Kind.KEYWORD, Kind.INTEGER, Kind.DOUBLE, Kind.BOOLEAN, Kind.INSTANT})


def check_name(name: str, place: str = "name") -> None:
    """Raises `InvalidArgument` for what is no name of an index or alias."""
    if not _NAME.fullmatch(name):
        raise InvalidArgument(
            f"{name!r} is no name of an index",
            field=place,
            hint=f"1 to {NAME_MAX_CHARS} lower-case letters, digits, - and _, the first a letter or digit",
        )


def check_spec(spec: IndexSpec, capabilities: frozenset[SearchCapability]) -> None:
    """Raises `InvalidArgument` for an index that an engine of these capabilities does not make."""
    check_name(spec.name)
    every = list(_every(spec.fields, "fields"))
    if not every:
        raise InvalidArgument("an index has at least one field", field="fields")
    if len(every) > FIELDS_MAX:
        raise refusals.too_many("fields in an index", FIELDS_MAX, "fields")
    for place, field, inside in every:
        _check_field(field, inside, place, capabilities)


def is_field_name(name: str) -> bool:
    """Whether fields, and what is counted, may be called so."""
    return _FIELD.fullmatch(name) is not None


def field_of(fields: Fields, name: str, kinds: frozenset[Kind], used: str, place: str) -> Field:
    """The field of that name. Raises `InvalidArgument` where there is none, or one of another kind than `kinds`."""
    field = fields.get(name)
    if field is None:
        raise refusals.no_field(name, fields, place)
    if field.kind not in kinds:
        fitting = ", ".join(sorted(kind.value for kind in kinds))
        raise InvalidArgument(
            f"{name!r} is of kind {field.kind.value} and cannot be {used}",
            field=place,
            hint=f"fields that can are {fitting}",
        )
    return field


def _every(fields: Fields, place: str, inside: bool = False) -> Iterator[tuple[str, Field, bool]]:
    for name, field in fields.items():
        here = f"{place}.{name}"
        if not is_field_name(name):
            raise InvalidArgument(
                f"{name!r} is no name of a field",
                field=here,
                hint="1 to 64 lower-case letters, digits and _, the first a letter",
            )
        yield here, field, inside
        if not inside:
            yield from _every(field.fields, f"{here}.fields", inside=True)


def _check_field(field: Field, inside: bool, place: str, capabilities: frozenset[SearchCapability]) -> None:
    if field.many and field.kind not in _MANY:
        raise InvalidArgument(f"a field of kind {field.kind.value} has one value", field=f"{place}.many")
    if bool(field.fields) != (field.kind is Kind.NESTED):
        raise InvalidArgument("nested fields have fields, and no others do", field=f"{place}.fields")
    if not (1 <= field.dimensions <= DIMENSIONS_MAX if field.kind is Kind.VECTOR else field.dimensions == 0):
        raise InvalidArgument(
            f"vectors have 1 to {DIMENSIONS_MAX} dimensions, other fields none", field=f"{place}.dimensions"
        )
    if inside and field.kind in (Kind.VECTOR, Kind.NESTED):
        raise InvalidArgument(f"nested objects have no {field.kind.value} fields", field=place)
    for kind, capability in ((Kind.NESTED, SearchCapability.NESTED), (Kind.VECTOR, SearchCapability.VECTORS)):
        if field.kind is kind and capability not in capabilities:
            raise refusals.lacks(capability, place)
