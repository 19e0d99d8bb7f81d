"""What can be read of a stored entry that cannot be read as a whole, so that it can be listed, mended and deleted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

import msgspec

from soundstage.core.errors import InvalidArgument
from soundstage.core.scalars import decode_scalar

T = TypeVar("T", bound=msgspec.Struct)


def raw_map(body: bytes) -> dict[str, Any]:
    """The map that `body` holds in MessagePack; empty where it holds none."""
    try:
        return _as_map(msgspec.msgpack.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}


def salvaged(type: type[T], raw: Any, instead: Mapping[str, Any]) -> T:
    """A `type` of the fields of `raw` that can be read; of the others `instead`, or else their defaults."""
    given = _as_map(raw)
    parts = dict(instead)
    for field in msgspec.structs.fields(type):
        # Whatever is wrong with one part says nothing about the next.
        if field.encode_name in given:
            try:
                parts[field.name] = msgspec.convert(given[field.encode_name], field.type, dec_hook=decode_scalar)
            except (msgspec.ValidationError, InvalidArgument, RecursionError):
                continue
    return type(**parts)


def _as_map(raw: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", raw) if isinstance(raw, dict) else {}
