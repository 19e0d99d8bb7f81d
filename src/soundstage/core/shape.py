"""The shape of message types, as `msgspec.inspect` tells it, and ways to walk it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TypeAlias, cast

import msgspec
from msgspec import inspect

Node: TypeAlias = inspect.Type

_STEP = re.compile(r"\.([^.\[]+)|\[(?:\d+|\.\.\.)\]")


def alternatives(node: Node) -> tuple[Node, ...]:
    """The types that a value of type `node` may have."""
    if isinstance(node, inspect.Metadata):
        return alternatives(node.type)
    if isinstance(node, inspect.UnionType):
        return tuple(found for each in node.types for found in alternatives(each))
    return (node,)


def structs(node: Node) -> list[inspect.StructType]:
    """The structs that a value of type `node` may be."""
    return [found for found in alternatives(node) if isinstance(found, inspect.StructType)]


def parts(node: Node) -> tuple[Node, ...]:
    """The types of what a value of type `node` directly holds."""
    match node:
        case inspect.Metadata():
            return (node.type,)
        case inspect.UnionType():
            return node.types
        case inspect.StructType():
            return tuple(field.type for field in node.fields)
        case inspect.DictType():
            return (node.key_type, node.value_type)
        case inspect.TupleType():
            return node.item_types
        case inspect.ListType() | inspect.SetType() | inspect.FrozenSetType() | inspect.VarTupleType():
            return (node.item_type,)
        case _:
            return ()


def descend(node: Node) -> Iterator[Node]:
    """`node` and every type inside it, each struct once."""
    waiting, seen = [node], set[type[msgspec.Struct]]()
    while waiting:
        found = waiting.pop()
        if isinstance(found, inspect.StructType):
            if found.cls in seen:
                continue
            seen.add(found.cls)
        yield found
        waiting.extend(parts(found))


def is_recursive(node: Node, within: frozenset[type[msgspec.Struct]] = frozenset()) -> bool:
    """Whether a value of type `node` may hold others of a type that it is in itself."""
    if isinstance(node, inspect.StructType):
        if node.cls in within:
            return True
        within |= {node.cls}
    return any(is_recursive(part, within) for part in parts(node))


def list_field(message: type[msgspec.Struct]) -> str | None:
    """The one field of a message type that is a list of messages, or the first one of a page; None without any.

    None as well when there are several in what is no page.
    """
    node = cast("inspect.StructType", inspect.type_info(message))
    found = [field.encode_name for field in node.fields if _lists_messages(field.type)]
    is_page = any(field.encode_name == "next_page_token" for field in node.fields)
    return found[0] if len(found) == 1 or (found and is_page) else None


def _lists_messages(node: Node) -> bool:
    return any(
        isinstance(kind, inspect.ListType | inspect.VarTupleType)
        and any(isinstance(part, inspect.StructType) for part in alternatives(kind.item_type))
        for kind in alternatives(node)
    )


def at_path(node: Node, path: str) -> list[Node]:
    """The types that may stand at `path`, written `items[0].key`, inside a value of type `node`."""
    found = [node]
    for step in _STEP.finditer("." + path if path[:1] not in (".", "[", "") else path):
        found = [part for candidate in found for part in _inside(candidate, step[1])]
    return found


def _inside(node: Node, name: str | None) -> list[Node]:
    inside: list[Node] = []
    for found in alternatives(node):
        if isinstance(found, inspect.StructType):
            inside += [field.type for field in found.fields if field.encode_name == name]
        elif isinstance(found, inspect.DictType):
            inside.append(found.value_type)
        elif name is None:
            inside += parts(found)
    return inside
