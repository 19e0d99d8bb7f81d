"""Example messages, made from the shapes of their types, to begin a request with."""

from __future__ import annotations

from typing import Any, cast

import msgspec
from msgspec import NODEFAULT, inspect

from soundstage.core.codec import json_encode
from soundstage.core.operation import Operation
from soundstage.core.shape import alternatives
from soundstage.core.size import Size
from soundstage.core.time import Duration, Instant

_BYTES = "aGVsbG8="
_NAMESPACE = "example"
_CHOICE_MAX_FIELDS = 3
"""Messages of so few fields, none of which must be given, are taken for a choice between them."""

_SCALARS: dict[Any, Any] = {Instant: "2026-11-24T08:15:00Z", Duration: "10s", Size: 4_096}


def example_of(operation: Operation[..., Any]) -> dict[str, Any]:
    """A request with every field that must be given; valid in shape, not always in meaning."""
    return _request(inspect.type_info(operation.request), ())


def reply_example(operation: Operation[..., Any]) -> dict[str, Any]:
    """A reply with every field that always comes."""
    return _reply(inspect.type_info(operation.answer), ())


def _request(info: Any, within: tuple[Any, ...]) -> dict[str, Any]:
    example: dict[str, Any] = {}
    for field in info.fields:
        if field.encode_name == "namespace" and field.default == "":
            example["namespace"] = _NAMESPACE
        elif field.required:
            example[field.encode_name] = _value(field.type, (*within, info.cls), _request)
    return example or _choice(info, within)


def _choice(info: Any, within: tuple[Any, ...]) -> dict[str, Any]:
    """For a message of which any one field will do: the first that is a message itself."""
    for field in info.fields:
        found = next((each for each in alternatives(field.type) if isinstance(each, inspect.StructType)), None)
        if found is not None and len(info.fields) <= _CHOICE_MAX_FIELDS and found.cls not in within:
            return {field.encode_name: _request(found, (*within, info.cls))}
    return {}


def _reply(info: Any, within: tuple[Any, ...]) -> dict[str, Any]:
    example: dict[str, Any] = {}
    for field in info.fields:
        if field.default is None or any(isinstance(each, inspect.NoneType) for each in alternatives(_bare(field.type))):
            continue
        if field.default is not NODEFAULT:
            example[field.encode_name] = msgspec.json.decode(json_encode(field.default))
        else:
            example[field.encode_name] = _value(field.type, (*within, info.cls), _reply)
    return example


def _value(info: Any, within: tuple[Any, ...], struct: Any) -> Any:
    info = _bare(info)
    match info:
        case inspect.StructType():
            return struct(info, within)
        case inspect.ListType():
            item = _bare(info.item_type)
            # A message that holds a list of its own kind ends with an empty one.
            return [] if getattr(item, "cls", None) in within else [_value(item, within, struct)]
        case inspect.UnionType():
            return _value(next(each for each in info.types if not isinstance(each, inspect.NoneType)), within, struct)
        case inspect.CustomType():
            return _SCALARS.get(info.cls)
        case inspect.LiteralType():
            return info.values[0]
        case inspect.IntType():
            return max(1, info.ge or 1)
        case _:
            return _PLAIN.get(type(info), _NAMESPACE)


def _bare(info: Any) -> inspect.Type:
    while isinstance(info, inspect.Metadata):
        info = info.type
    return cast("inspect.Type", info)


_PLAIN: dict[Any, Any] = {
    inspect.BoolType: True,
    inspect.BytesType: _BYTES,
    inspect.DictType: {},
    inspect.FloatType: 1.0,
}
