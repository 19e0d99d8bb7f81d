"""Example messages, made from the shapes of their types, to begin a request with."""

from __future__ import annotations

from typing import Any

from msgspec import NODEFAULT, inspect

from soundstage.core.operation import Operation
from soundstage.core.size import Size
from soundstage.core.time import Duration, Instant

_BYTES = "aGVsbG8="
_DEPTH_MAX = 6
_SCALARS: dict[Any, Any] = {Instant: "2026-11-24T08:15:00Z", Duration: "10s", Size: 4_096}


def example_of(operation: Operation[..., Any]) -> dict[str, Any]:
    """A request with every field that must be given; valid in shape, not always in meaning."""
    return _struct(inspect.type_info(operation.request), _DEPTH_MAX)


def _struct(info: Any, depth: int) -> dict[str, Any]:
    example: dict[str, Any] = {}
    for field in info.fields:
        if field.encode_name == "namespace" and field.default == "":
            example["namespace"] = "example"
        elif field.default is NODEFAULT and field.default_factory is NODEFAULT:
            example[field.encode_name] = _value(field.type, depth - 1)
    return example or _choice(info, depth)


def _choice(info: Any, depth: int) -> dict[str, Any]:
    """For a message of which any one field will do: the first that is a message itself."""
    for field in info.fields:
        options = getattr(field.type, "types", (field.type,))
        found = next((option for option in options if isinstance(option, inspect.StructType)), None)
        if found is not None and depth > 0 and len(info.fields) <= 3:
            return {field.encode_name: _struct(found, depth - 1)}
    return {}


def _value(info: Any, depth: int) -> Any:
    if isinstance(info, inspect.StructType):
        return _struct(info, depth) if depth > 0 else {}
    if isinstance(info, inspect.ListType):
        return [_value(info.item_type, depth - 1)] if depth > 0 else []
    if isinstance(info, inspect.UnionType):
        return _value(next(option for option in info.types if not isinstance(option, inspect.NoneType)), depth)
    if isinstance(info, inspect.CustomType):
        return _SCALARS.get(info.cls)
    if isinstance(info, inspect.LiteralType):
        return info.values[0]
    if isinstance(info, inspect.BytesType):
        return _BYTES
    return _PLAIN.get(type(info), "example")


_PLAIN: dict[Any, Any] = {
    inspect.IntType: 1,
    inspect.FloatType: 1.0,
    inspect.BoolType: True,
    inspect.DictType: {},
    inspect.StrType: "example",
}
