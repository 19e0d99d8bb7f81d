"""From flags and `--input` to the message that an operation takes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import msgspec

from soundstage.core.codec import JSON, decoder
from soundstage.core.errors import InvalidArgument
from soundstage.core.names import nearest
from soundstage.surface.cli.flags import Flag
from soundstage.surface.cli.notation import read_file

INPUT_BYTES_MAX = 1 << 30
"""What `--input` may hold; a stage takes far less."""


def read_input(path: str | None) -> dict[str, Any]:
    """The JSON object in the file `path`, on standard input for `-`; empty without a path."""
    if path is None:
        return {}
    text = sys.stdin.buffer.read(INPUT_BYTES_MAX) if path == "-" else read_file(path)
    if not text.strip():
        raise InvalidArgument("what --input brings is empty", field="input", hint="send one whole message as JSON")
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"what --input brings is no JSON: {error}", field="input") from None
    if not isinstance(found, dict):
        raise InvalidArgument("what --input brings is no JSON object", field="input", hint="send one whole message")
    return cast("dict[str, Any]", found)


def assemble(message: type[Any], flags: Sequence[Flag], given: Mapping[str, Any], brought: dict[str, Any]) -> Any:
    """The message that `brought` (from `--input`) holds, with the flags `given`, by name, over it.

    Raises `InvalidArgument` naming the field, by the rules of the door.
    """
    for flag in flags:
        value = given.get(flag.names[0])
        if value is not None and not flag.each:
            _put(brought, flag, _read(flag, value))
    for flag in flags:
        value = given.get(flag.names[0])
        if value is not None and flag.each:
            _put_each(brought, flag, _read(flag, value))
    _check_known(message, brought)
    for field in msgspec.structs.fields(message):
        if field.required and field.encode_name not in brought:
            raise _missing(field.encode_name, flags)
    return decoder(message, JSON).decode(msgspec.json.encode(brought))


def _check_known(message: type[Any], brought: Mapping[str, Any]) -> None:
    """Raise `InvalidArgument` for a field that the message has not: a mistyped name is why another is missing."""
    known = [field.encode_name for field in msgspec.structs.fields(message)]
    for name in brought:
        if name not in known:
            close = nearest(name, known)
            hint = f"did you mean {close}?" if close else f"known here: {', '.join(known)}"
            raise InvalidArgument(f"{name} is no known field", field=name, hint=hint)


def _read(flag: Flag, value: Any) -> Any:
    try:
        return flag.read(value)
    except InvalidArgument as error:
        raise InvalidArgument(f"{flag.names[0]}: {error.detail}", field=".".join(flag.path), hint=error.hint) from None


def _put(message: dict[str, Any], flag: Flag, value: Any) -> None:
    if value is None:
        return
    for name in flag.path[:-1]:
        inner = message.setdefault(name, {})
        if not isinstance(inner, dict):
            raise InvalidArgument(f"{flag.names[0]} does not go with what --input brings for `{name}`", field=name)
        message = cast("dict[str, Any]", inner)
    message[flag.path[-1]] = value


def _put_each(message: dict[str, Any], flag: Flag, value: Any) -> None:
    """Every element of the list that does not say it itself says `value`."""
    found: Any = message
    for name in flag.path[:-1]:
        found = cast("dict[str, Any]", found).get(name) if isinstance(found, dict) else None
    elements: list[Any] = cast("list[Any]", found) if isinstance(found, list) else []
    if not elements:
        raise InvalidArgument(
            f"{flag.names[0]} has nothing to hold for", field=flag.path[-1], hint=f"give {flag.path[-2]} too"
        )
    for element in elements:
        if isinstance(element, dict):
            cast("dict[str, Any]", element).setdefault(flag.path[-1], value)


def _missing(field: str, flags: Iterable[Flag]) -> InvalidArgument:
    names = [flag.names[0] for flag in flags if flag.path[0] == field]
    return InvalidArgument(f"{field} is missing", field=field, hint=f"give {' or '.join(names[:2])}, or --input")


def variable(name: str) -> str | None:
    """The environment variable `SOUNDSTAGE_<name>`; None when it is unset or empty."""
    return os.environ.get(f"SOUNDSTAGE_{name}") or None
