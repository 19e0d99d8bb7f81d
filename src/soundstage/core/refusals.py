"""What a caller is told about a body that could not be read: which field, where, and what to write instead."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, cast

import msgspec
from msgspec import inspect

from soundstage.core.depth import json_depth_position, msgpack_depth_position
from soundstage.core.errors import InvalidArgument
from soundstage.core.limits import DEPTH_MAX
from soundstage.core.names import nearest
from soundstage.core.shape import Node, alternatives, at_path, structs

_AT = re.compile(r"(?P<reason>.*?)(?: - at (?P<key>`key` in )?`\$(?P<path>.*)`)?", re.DOTALL)
_FIELD = re.compile(r"Object (contains unknown|missing required) field `(.*)`", re.DOTALL)
_EXPECTED = re.compile(r"Expected `(\w+)(?: \| \w+)*`")
_BOUND = re.compile(r"(>=|<=|>|<) (\S+)")
_TRAILING = re.compile(r"(JSON is malformed: trailing characters \(byte )(\d+)\)")
_NOT_FINITE = re.compile(r"1\.7976931348623157e\+308|Number out of range")
_LONE_SURROGATE = re.compile(rb"(?<!\\)(?:\\\\)*(\\u[dD][89abAB][0-9a-fA-F]{2})(?!\\u[dD][c-fC-F])")
_NAME_MAX_CHARS = 80

_HINTS = {
    ("bytes", "json"): "bytes are text in standard base64, with padding",
    ("bytes", "msgpack"): "bytes are of the type bin: in Python text.encode()",
    ("str", "json"): "send text, in quotes",
    ("str", "msgpack"): "text is of the type str",
    ("int", "json"): "integers have 64 bits and no fraction; a string of digits is read too",
    ("int", "msgpack"): "integers have 64 bits",
    ("float", "json"): "send a number",
    ("float", "msgpack"): "send a number",
    ("bool", "json"): "send true or false",
    ("bool", "msgpack"): "send true or false",
    ("array", "json"): "send a list, in brackets",
    ("array", "msgpack"): "send an array",
    ("object", "json"): "send an object with fields, in braces",
    ("object", "msgpack"): "send a map of fields",
    ("null", "json"): "leave it out",
    ("null", "msgpack"): "leave it out",
}
_BOUND_HINTS = {">=": "give {} or more", "<=": "give {} or less", ">": "give more than {}", "<": "give less than {}"}


def refusal(error: Exception, body: bytes, wire: str, node: Node) -> InvalidArgument:
    """What to tell the sender of `body`, which is no message of type `node` in the format `wire`.

    `wire` is `json` or `msgpack`; `error` is what msgspec raised.
    """
    if isinstance(error, RecursionError):
        return too_deep(body, wire)
    if isinstance(error, UnicodeDecodeError):
        return InvalidArgument(
            f"the body holds text that is not UTF-8{_at(_unicode_position(error, body))}", hint="send text as UTF-8"
        )
    if isinstance(error, msgspec.ValidationError):
        return invalid(error, node, wire, _at(_leading(body, wire)))
    return _malformed(str(error), body, wire)


def unwritable(message: Any, error: Exception, encode: Callable[[Any], bytes]) -> InvalidArgument:
    """What to tell who made `message`, which failed to be encoded by `error`; `encode` tries its parts."""
    if isinstance(error, RecursionError):
        return InvalidArgument("the message nests too deep", hint=f"at most {DEPTH_MAX} levels")
    path, part, reason = _unwritable_part(message, "", error, encode)
    if isinstance(reason, UnicodeEncodeError):
        detail, hint = "is not Unicode text", "it holds a lone surrogate"
    elif isinstance(reason, OverflowError):
        detail, hint = "does not fit 64 bits", "send a smaller number"
    elif isinstance(part, float):
        detail, hint = f"is {part}, which messages cannot carry", "send a finite number"
    else:
        detail, hint = f"is {type(part).__name__}, which messages cannot carry", "pass what the field is declared as"
    return InvalidArgument(f"{path or 'the message'} {detail}", field=path or None, hint=hint)


def _unwritable_part(
    value: Any, path: str, error: Exception, encode: Callable[[Any], bytes]
) -> tuple[str, Any, Exception]:
    """The first part of `value` that cannot be encoded by itself, where it is, and why."""
    parts: list[tuple[str, Any]] = []
    if isinstance(value, msgspec.Struct):
        parts = [(f"{path}.{name}" if path else name, getattr(value, name)) for name in value.__struct_fields__]
    elif isinstance(value, dict):
        parts = [(f"{path}.{name}", part) for name, part in cast("dict[Any, Any]", value).items()]
    elif isinstance(value, list | tuple):
        parts = [(f"{path}[{index}]", part) for index, part in enumerate(cast("list[Any]", value))]
    for place, part in parts:
        try:
            encode(part)
        except (TypeError, ValueError, OverflowError) as reason:
            return _unwritable_part(part, place, reason, encode)
    return path, cast("Any", value), error


def invalid(error: msgspec.ValidationError, node: Node, wire: str = "json", place: str = "") -> InvalidArgument:
    """The refusal of a value whose parts are of the wrong types; `place` is told where no field can be."""
    match = _AT.fullmatch(str(error))
    reason, path = (match["reason"], match["path"] or "") if match else (str(error), "")
    path = path.removeprefix(".")
    field = _FIELD.fullmatch(reason)
    if field is not None:
        return _wrong_field(field[2], path, node, unknown=field[1] == "contains unknown")
    cause = error.__cause__
    if isinstance(cause, InvalidArgument):
        reason, hint = cause.detail, cause.hint
    elif _NOT_FINITE.search(reason):
        reason, hint = "NaN and numbers beyond a double are refused", "send a finite number"
    else:
        reason, hint = reason[:1].lower() + reason[1:], _hint(reason, path, node, wire)
    key = "a key: " if match and match["key"] else ""
    return InvalidArgument(f"{path or 'the body'}: {key}{reason}{'' if path else place}", field=path or None, hint=hint)


def too_deep(body: bytes, wire: str) -> InvalidArgument:
    """The refusal of a body whose lists and maps are too many inside one another."""
    scan = json_depth_position if wire == "json" else msgpack_depth_position
    return InvalidArgument(
        f"the body nests deeper than {DEPTH_MAX} levels{_at(scan(body, DEPTH_MAX))}", hint="flatten it"
    )


def _wrong_field(name: str, path: str, node: Node, *, unknown: bool) -> InvalidArgument:
    name = name[:_NAME_MAX_CHARS]
    field = f"{path}.{name}" if path else name
    if not unknown:
        return InvalidArgument(f"{field} is missing", field=field, hint="it is required")
    known = [found.encode_name for place in at_path(node, path) for struct in structs(place) for found in struct.fields]
    meant = nearest(name, known)
    hint = f"did you mean {meant}?" if meant else f"known here: {', '.join(known) or 'no fields at all'}"
    return InvalidArgument(f"{field} is no known field", field=field, hint=hint)


def _hint(reason: str, path: str, node: Node, wire: str) -> str | None:
    if "base64" in reason:
        return _HINTS["bytes", "json"]
    choices = [choice for place in at_path(node, path) for choice in _choices(place)]
    if "Invalid" in reason and choices:
        return f"one of {', '.join(choices)}"
    bound = _BOUND.search(reason)
    if bound is not None:
        return _BOUND_HINTS[bound[1]].format(bound[2])
    expected = _EXPECTED.match(reason)
    return _HINTS.get((expected[1], wire)) if expected else None


def _choices(node: Node) -> list[str]:
    choices: list[Any] = []
    for found in alternatives(node):
        if isinstance(found, inspect.LiteralType):
            choices += found.values
        elif isinstance(found, inspect.EnumType):
            choices += [member.value for member in found.cls]
    return [str(choice) for choice in choices]


def _malformed(reason: str, body: bytes, wire: str) -> InvalidArgument:
    name = "JSON" if wire == "json" else "MessagePack"
    if _leading(body, wire) == len(body):
        return InvalidArgument("the body is empty (byte 0)", hint=f"send one {name} object, at least {{}}")
    # Of these alone the position that msgspec tells is the one behind them.
    reason = _TRAILING.sub(lambda match: f"{match[1]}{int(match[2]) - 1})", reason)
    if "truncated" in reason:
        surrogate = _LONE_SURROGATE.search(body) if wire == "json" else None
        if surrogate is not None:
            reason = f"JSON is malformed: a surrogate without its other half (byte {surrogate.start(1)})"
        else:
            reason = f"{name} is cut short (byte {len(body)})"
    return InvalidArgument(f"the body: {reason}", hint=f"send one {name} object and nothing else")


def _leading(body: bytes, wire: str) -> int:
    """The position of the message: JSON may have blanks before it."""
    return len(body) - len(body.lstrip(b" \t\r\n")) if wire == "json" else 0


def _unicode_position(error: UnicodeDecodeError, body: bytes) -> int | None:
    text_at = body.find(error.object)
    return None if text_at < 0 else text_at + error.start


def _at(position: int | None) -> str:
    return "" if position is None else f" (byte {position})"
