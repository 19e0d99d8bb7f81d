"""Finds the tokens in a reply, so that a client's clock goes past everything its caller has read."""

from __future__ import annotations

import typing
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeAlias, TypeVar

import msgspec
from msgspec import inspect as shape

from soundstage.core.message import IdempotencyToken

M = TypeVar("M", bound=msgspec.Struct)

Observer: TypeAlias = Callable[[Any], int]
"""Takes a message; returns its greatest token time in microseconds, 0 when it holds none."""


@lru_cache(maxsize=1_024)
def observer(message: type[Any]) -> Observer | None:
    """How to find the greatest token time in messages of this type; None when they can hold none.

    Tokens are looked for in fields, and in lists of messages, to any depth of declaration.
    """
    if message is IdempotencyToken:
        return lambda token: int(token.generation_time) // 1_000
    parts = [
        (name, found)
        for name, hint in typing.get_type_hints(message).items()
        if (found := _field_observer(shape.type_info(hint))) is not None
    ]
    if not parts:
        return None

    def greatest(reply: Any) -> int:
        return max(found(value) if (value := getattr(reply, name)) is not None else 0 for name, found in parts)

    return greatest


def _field_observer(info: shape.Type) -> Observer | None:
    if isinstance(info, shape.UnionType):
        found = [each for each in map(_field_observer, info.types) if each is not None]
        return found[0] if len(found) == 1 else None
    if isinstance(info, shape.ListType):
        inner = _field_observer(info.item_type)
        return None if inner is None else lambda values: max(map(inner, values), default=0)
    if isinstance(info, shape.StructType):
        return observer(info.cls)
    return None
