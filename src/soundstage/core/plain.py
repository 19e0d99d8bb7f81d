"""How messages become bytes with every None left out and nothing else.

msgspec leaves out fields that equal their defaults, for structs that ask for it. Where a struct's only
defaults are None that is the rule we want, at no cost; for every other type the message is first made plain:
maps, lists and scalars. A type whose messages may hold floats is watched for NaN, which has no place on the
wire: JSON would carry it as null.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, cast

import msgspec
from msgspec import NODEFAULT, inspect

from soundstage.core.scalars import encode_json_scalar, encode_msgpack_scalar
from soundstage.core.shape import Node, alternatives, descend

Encode = Callable[[Any], bytes]

_NOT_FINITE_JSON = re.compile(rb"null")
_NOT_FINITE_MSGPACK = re.compile(rb"\xcb[\x7f\xff][\xf0-\xff]")
"""What NaN and infinities look like; other bytes may look the same."""


def encode_function(type: type[Any], as_json: bool, exact: bool = True) -> Encode:
    """The function that encodes messages of `type` as JSON, or else as MessagePack.

    Without `exact`, fields at their defaults may come or not, as the struct's own options say.
    """
    encode: Encode
    if as_json:
        encode = msgspec.json.Encoder(enc_hook=encode_json_scalar).encode
    else:
        encode = msgspec.msgpack.Encoder(enc_hook=encode_msgpack_scalar).encode
    nodes = list(descend(_node(type)))
    if exact and not all(map(omits_none_only, nodes)):
        encode = _plainly(encode)
    if any(isinstance(node, inspect.FloatType | inspect.AnyType) for node in nodes):
        encode = _finitely(encode, _NOT_FINITE_JSON if as_json else _NOT_FINITE_MSGPACK)
    return encode


def _node(type: type[Any]) -> Node:
    # Of a list or a map alone, as of an unknown class, the type says nothing about what it holds.
    return inspect.type_info(type) if issubclass(type, msgspec.Struct) else inspect.AnyType()


def omits_none_only(node: Node) -> bool:
    """Whether msgspec alone encodes a value of this type, without its parts, by the rule."""
    if isinstance(node, inspect.AnyType):
        return False
    if not isinstance(node, inspect.StructType) or node.array_like:
        return True
    omits = node.cls.__struct_config__.omit_defaults
    return all(_field_omits_none_only(field, omits) for field in node.fields)


def _field_omits_none_only(field: inspect.Field, omits: bool) -> bool:
    if omits and field.default is None:
        return True
    nullable = any(isinstance(found, inspect.NoneType) for found in alternatives(field.type))
    required = field.default is NODEFAULT and field.default_factory is NODEFAULT
    return not nullable and (not omits or required or field.default is msgspec.UNSET)


def _plainly(encode: Encode) -> Encode:
    def encode_plain(message: Any) -> bytes:
        return encode(plain(message))

    return encode_plain


def plain(value: Any) -> Any:
    """`value` with every struct as a map of those fields that are not None."""
    if isinstance(value, msgspec.Struct):
        return _members(value)
    if isinstance(value, dict):
        return {name: plain(item) for name, item in cast("dict[Any, Any]", value).items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in cast("list[Any]", value)]
    return value


def _members(struct: msgspec.Struct) -> Any:
    config = struct.__struct_config__
    values = [plain(getattr(struct, name)) for name in struct.__struct_fields__]
    if config.array_like:
        return values if config.tag is None else [config.tag, *values]
    members: dict[Any, Any] = {} if config.tag is None else {config.tag_field: config.tag}
    members |= zip(struct.__struct_encode_fields__, values, strict=True)
    return {name: value for name, value in members.items() if value is not None and value is not msgspec.UNSET}


def _finitely(encode: Encode, suspicious: re.Pattern[bytes]) -> Encode:
    def encode_finite(message: Any) -> bytes:
        body = encode(message)
        if suspicious.search(body):
            _check_finite(plain(message), "the message")
        return body

    return encode_finite


def _check_finite(value: Any, path: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{path} is {value}, which messages cannot carry")
    if isinstance(value, dict):
        for name, item in cast("dict[Any, Any]", value).items():
            _check_finite(item, f"{path}.{name}")
    elif isinstance(value, list):
        for index, item in enumerate(cast("list[Any]", value)):
            _check_finite(item, f"{path}[{index}]")
