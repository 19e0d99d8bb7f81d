"""Addresses of uploads and downloads: the fields of a request as a path and a query, and back.

    /v1/kv/value/films/heat/poster?ttl=30d

The last parts of the path are fields in their order, percent-encoded, text as UTF-8 and bytes as they are. The query
has the others: text, numbers and the like as they are written, and anything else as JSON.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, quote, unquote_to_bytes, urlencode

import msgspec
from msgspec import NODEFAULT, inspect

from soundstage.core.codec import convert, json_encode
from soundstage.core.errors import InvalidArgument, NotFound
from soundstage.core.shape import alternatives
from soundstage.core.streaming import RANGE, StreamOperation

_EXAMPLE = "?name=value&other=value"


def address_of(operation: StreamOperation[..., Any], request: Any) -> str:
    """Path and query of a request; the range that it asks for is not told."""
    path = "".join(f"/{_quoted(getattr(request, name))}" for name in operation.placed)
    told: dict[str, str] = {}
    written = msgspec.json.decode(json_encode(request))
    for field in queried(operation):
        value = getattr(request, field.name)
        if value != _default(field):
            text = written[field.encode_name]
            told[field.encode_name] = text if isinstance(text, str) and is_simple(field) else json.dumps(text)
    return operation.prefix.rstrip("/") + path + (f"?{urlencode(told)}" if told else "")


def request_at(operation: StreamOperation[..., Any], path: bytes, query: bytes) -> Any:
    """The request that an address spells. Raises `NotFound` for a path of other parts, `InvalidArgument` as a body."""
    prefix = operation.prefix.encode()
    parts = path[len(prefix) :].split(b"/")
    if not path.startswith(prefix) or len(parts) != len(operation.placed):
        raise NotFound(
            "the address has not the parts that one has here",
            hint=f"write {operation.path}, each part percent-encoded, slashes within them too",
        )
    types = {field.encode_name: field.type for field in _fields(operation)}
    placed = zip(operation.placed, parts, strict=True)
    found: dict[str, Any] = {name: _read(name, part, types[name]) for name, part in placed}
    fields = {field.encode_name: field for field in queried(operation)}
    for name, text in _pairs(query):
        if name in found:
            raise InvalidArgument(f"{name} is given twice", field=name, hint="give each field once")
        if name in RANGE and name in types:
            raise InvalidArgument(f"{name} is no part of a query", field=name, hint="send the header Range")
        found[name] = text if name not in fields or is_simple(fields[name]) else _json(name, text)
    return convert(found, operation.request, from_text=True)


def is_simple(field: inspect.Field) -> bool:
    """Whether a field's values are written as they are, and not as JSON."""
    return not any(isinstance(each, _NESTED) for each in alternatives(field.type))


_NESTED = (inspect.StructType, inspect.ListType, inspect.DictType, inspect.AnyType)


@cache
def _fields(operation: StreamOperation[..., Any]) -> tuple[inspect.Field, ...]:
    info = inspect.type_info(operation.request)
    assert isinstance(info, inspect.StructType)
    return info.fields


def queried(operation: StreamOperation[..., Any]) -> list[inspect.Field]:
    """The fields of a request that the query has."""
    apart = {*operation.placed, *(RANGE if operation.kind == "download" else ())}
    return [field for field in _fields(operation) if field.encode_name not in apart]


def _default(field: inspect.Field) -> Any:
    return field.default_factory() if field.default is NODEFAULT and field.default_factory else field.default


def _quoted(value: Any) -> str:
    data: bytes = value if isinstance(value, bytes) else str(value).encode()
    # Steps up and on the spot are taken out of addresses on their way, by many programs.
    return "%2E" * len(data) if data in (b".", b"..") else quote(data, safe="")


def _read(name: str, part: bytes, type: inspect.Type) -> Any:
    data = unquote_to_bytes(part)
    if any(isinstance(each, inspect.BytesType) for each in alternatives(type)):
        return data
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise InvalidArgument(f"{name} is no UTF-8", field=name, hint="percent-encode the bytes of its UTF-8") from None


def _pairs(query: bytes) -> list[tuple[str, str]]:
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, strict_parsing=bool(query), errors="strict")
    except ValueError:
        raise InvalidArgument("the query is malformed", field="query", hint=f"write {_EXAMPLE}") from None
    return pairs


def _json(name: str, text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        raise InvalidArgument(
            f"{name} is no JSON", field=name, hint="write it as in a message, percent-encoded"
        ) from None
