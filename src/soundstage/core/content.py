"""What the types of a message cannot say: bounds inside free-form values, and how deep values nest.

A field of type `Any` takes whatever a format can write. At the door that is narrowed to what every format
and every engine can carry: text keys, 64-bit integers, finite numbers, no extension types.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime
from typing import Any, cast

import msgspec
from msgspec import inspect

from soundstage.core.errors import InvalidArgument
from soundstage.core.shape import Node, descend, is_recursive
from soundstage.core.time import INT64_MAX, INT64_MIN


class Fault(Exception):
    """What is wrong with a value, found while walking it; gathers its path on the way out."""

    def __init__(self, detail: str, hint: str) -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = hint
        self.path: str = ""

    def below(self, step: str) -> Fault:
        """The same fault as seen one level up."""
        self.path = step + self.path
        return self

    def refusal(self, note: str = "") -> InvalidArgument:
        field = self.path.removeprefix(".")
        return InvalidArgument(f"{field or 'the body'}: {self.detail}{note}", field=field or None, hint=self.hint)


class TooDeep(Fault):
    """Lists and maps inside one another beyond the limit."""


def needs_walk(node: Node) -> bool:
    """Whether values of type `node` can hold what only a walk finds."""
    return is_recursive(node) or any(isinstance(found, inspect.AnyType) for found in descend(node))


def check_content(value: Any, levels: int) -> None:
    """Raise `Fault` when a part of `value` breaks the rules above or is more than `levels` deep."""
    if isinstance(value, str | bytes | bool | None):
        return
    if isinstance(value, float):
        _check_finite(value)
    elif isinstance(value, int):
        _check_int64(value)
    elif isinstance(value, msgspec.Struct):
        _check_parts(((f".{name}", getattr(value, name)) for name in value.__struct_fields__), levels)
    elif isinstance(value, dict):
        _check_parts(_members(cast("dict[Any, Any]", value)), levels)
    elif isinstance(value, list | tuple | set | frozenset):
        items = cast("list[Any]", value)
        _check_parts(((f"[{index}]", item) for index, item in enumerate(items)), levels)
    elif isinstance(value, msgspec.msgpack.Ext | datetime):
        raise Fault("extension types are refused", "send plain MessagePack types; instants as integers or text")


def _check_finite(value: float) -> None:
    if not math.isfinite(value):
        raise Fault("NaN and infinities are refused", "leave the field out, or send a finite number")


def _check_int64(value: int) -> None:
    if not INT64_MIN <= value <= INT64_MAX:
        raise Fault("the integer does not fit 64 bits", "send it as text")


def _check_parts(parts: Iterable[tuple[str, Any]], levels: int) -> None:
    if levels == 0:
        raise TooDeep("it nests too deep", "flatten it")
    for step, part in parts:
        try:
            check_content(part, levels - 1)
        except Fault as fault:
            raise fault.below(step) from None


def _members(members: dict[Any, Any]) -> Iterable[tuple[str, Any]]:
    for name, value in members.items():
        if not isinstance(name, str | int):
            raise Fault("a map has a key that is no text", "use text keys")
        yield f".{name}", value
