"""What is wrong with a message that a caller in the same process made, who may pass anything.

Those that come from elsewhere are checked by their decoder, and those of this process are read as if they did, by
`soundstage.core.given`. This gives what was refused there its name in Python. Operations that check types themselves
are spared that reading for its cost; a message that one of them failed on is looked at afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

import msgspec
from msgspec import inspect

from soundstage.core.errors import InvalidArgument
from soundstage.core.shape import Node, alternatives

ENCODE = 'text becomes bytes by encode(): "name".encode()'
"""What to do with text where bytes are wanted."""

_PLAIN: tuple[tuple[type[Node], type[Any] | tuple[type[Any], ...], str], ...] = (
    (inspect.BoolType, bool, "a boolean"),
    (inspect.IntType, int, "an integer"),
    (inspect.FloatType, (int, float), "a number"),
    (inspect.StrType, str, "text"),
    (inspect.BytesType, bytes, "bytes"),
    (inspect.ListType, (list, tuple), "a list"),
    (inspect.DictType, Mapping, "a map"),
    (inspect.NoneType, type(None), "nothing"),
)


def misfit(message: msgspec.Struct) -> InvalidArgument | None:
    """What of `message` is not of the type that it is declared with; None when all of it is."""
    for path, value, node in _walk("", message, inspect.type_info(type(message))):
        wanted = [_fit(value, each) for each in alternatives(node)]
        if None not in wanted:
            return _told(path, value, [each for each in wanted if each])
    return None


def _walk(path: str, value: Any, node: Node) -> Iterator[tuple[str, Any, Node]]:
    """Every value of a message with its place and its declared type, the outer ones first."""
    if path:
        yield path, value, node
    for each in alternatives(node):
        if _fit(value, each) is not None:
            continue
        if isinstance(each, inspect.StructType):
            for field in each.fields:
                inner = f"{path}.{field.name}" if path else field.name
                yield from _walk(inner, getattr(value, field.name), field.type)
        elif isinstance(each, inspect.ListType):
            for index, element in enumerate(cast("Iterable[Any]", value)):
                yield from _walk(f"{path}[{index}]", element, each.item_type)


def _fit(value: object, node: Node) -> str | None:
    """What a value of type `node` is called, unless `value` is one."""
    if isinstance(node, inspect.StructType | inspect.CustomType):
        return None if isinstance(value, node.cls) else node.cls.__name__
    for kind, type, name in _PLAIN:
        if isinstance(node, kind):
            return None if isinstance(value, type) else name
    return None


def _told(path: str, value: object, wanted: list[str]) -> InvalidArgument:
    names = [name for name in wanted if name != "nothing"] or wanted
    hint = None
    if isinstance(value, str) and "bytes" in names:
        hint = ENCODE
    elif isinstance(value, bytes) and "text" in names:
        hint = "bytes become text by decode()"
    elif names[0][0].isupper():
        hint = f"pass {names[0]}(…)"
    return InvalidArgument(f"{path} is {type(value).__name__}, not {' or '.join(names)}", field=path, hint=hint)
