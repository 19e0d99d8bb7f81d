"""Replies as rows and columns, whatever their type.

A reply with one list of messages, or a page, which begins with what it is a page of, is a table of these, and
the fields beside the list follow it. A list in the rows, like the items of scanned records, makes a row of each
of its elements. Any other reply is one line per field.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import msgspec

from soundstage.core.shape import list_field
from soundstage.core.time import Duration, Instant
from soundstage.surface.cli.notation import harmless, write_bytes

Row = dict[str, str]


class Listing(msgspec.Struct, frozen=True):
    """A reply in three parts: its list, or None; the list's name; and what stands beside it."""

    elements: list[Any] | None
    name: str
    beside: dict[str, Any]


def listing(reply: msgspec.Struct) -> Listing:
    """`reply` as JSON would carry it, but with bytes in the notation of the command line."""
    members = cast("dict[str, Any]", readable(reply))
    name = list_field(type(reply))
    if name is None:
        return Listing(None, "", members)
    return Listing(members.pop(name, []), name, members)


class Map(dict[str, Any]):
    """A map of data, unlike a message: its keys are no fields."""


def readable(value: Any) -> Any:
    """A message as a map of its fields that are not None, with bytes, instants and durations as text."""
    if isinstance(value, msgspec.Struct):
        config = value.__struct_config__
        tag = {} if config.tag is None else {str(config.tag_field): config.tag}
        fields = zip(value.__struct_encode_fields__, value.__struct_fields__, strict=True)
        members = {name: getattr(value, field) for name, field in fields}
        return tag | {name: readable(member) for name, member in members.items() if member is not None}
    if isinstance(value, dict):
        return Map({str(name): readable(item) for name, item in cast("dict[Any, Any]", value).items()})
    if isinstance(value, list | tuple):
        return [readable(item) for item in cast("list[Any]", value)]
    if isinstance(value, bytes):
        return write_bytes(value)
    return str(value) if isinstance(value, Instant | Duration) else value


class Spread(str):
    """A cell that holds a map of data, which JSON shows better."""

    __slots__ = ()


def rows(elements: list[Any]) -> list[Row]:
    """Rows of flat cells; a nested message gives cells with dotted names, a nested list further rows."""
    return [row for element in elements for row in _rows(element)]


def cells(members: dict[str, Any], prefix: str = "", *, open_maps: bool = False) -> Row:
    """Name and text of every field, in order; those of nested messages, or of maps too, under dotted names."""
    flat: Row = {}
    for name, value in members.items():
        if isinstance(value, dict) and value and (open_maps or not isinstance(value, Map)):
            flat |= cells(cast("dict[str, Any]", value), f"{prefix}{harmless(name)}.", open_maps=open_maps)
        else:
            flat[prefix + harmless(name)] = _cell(value)
    return flat


def headings(columns: list[str]) -> list[str]:
    """The last part of each dotted name, or more of it where that would name two."""
    return [_heading(column, columns) for column in columns]


def _heading(column: str, columns: list[str]) -> str:
    parts = column.split(".")
    for start in range(len(parts) - 1, 0, -1):
        short = ".".join(parts[start:])
        if sum(other == short or other.endswith(f".{short}") for other in columns) == 1:
            return short
    return column


def _rows(element: Any) -> Iterator[Row]:
    if not isinstance(element, dict):
        yield {"": _cell(element)}
        return
    members = cast("dict[str, Any]", element)
    nested = [name for name, value in members.items() if _is_list_of_maps(value)]
    if len(nested) != 1:
        yield cells(members)
        return
    outer = cells({name: value for name, value in members.items() if name != nested[0]})
    for inner in members[nested[0]]:
        yield outer | cells(inner)


def _is_list_of_maps(value: Any) -> bool:
    items = cast("list[Any]", value) if isinstance(value, list) else []
    return bool(items) and all(isinstance(item, dict) for item in items)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return harmless(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        pairs = cast("dict[str, Any]", value).items()
        return Spread(", ".join(f"{harmless(name)}={_cell(item)}" for name, item in pairs))
    if isinstance(value, list):
        items = cast("list[Any]", value)
        if all(isinstance(item, str | int) for item in items):
            return harmless(", ".join(map(str, items)))
        return harmless(msgspec.json.encode(items).decode())
    return str(value)
