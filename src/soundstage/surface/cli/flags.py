"""The flags that a message's fields become.

    text, numbers, durations …  --id TEXT
    instants                    --since INSTANT, or how long ago that was
    booleans                    --reverse / --no-reverse
    bytes                       --key BYTES, in the notation of `notation`
    lists of such               --id TEXT, once per element, under the field's singular
    lists of {key, value}       --item KEY=VALUE, once per element; so are maps
    what else such elements say --ttl DURATION, for every element that does not say it itself
    files                       --file PATH, which is sent before the call
    messages                    --selection JSON, and a flag per field: --selection.item-limit INTEGER
    anything else               --condition JSON

Nothing is required on the command line, for `--input` may bring the whole message; the door's rules are
applied to the message that comes out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from time import time_ns
from typing import Any, Literal, cast

import msgspec
from msgspec import NODEFAULT, inspect

from soundstage.core.errors import InvalidArgument
from soundstage.core.files import File
from soundstage.core.time import Instant
from soundstage.runtime.bounds import bounds_of
from soundstage.surface.cli.attachments import read_attachment
from soundstage.surface.cli.notation import read_bytes, read_file, read_instant, split_pair

GLOBAL_NAMES = frozenset(
    (
        "url",
        "stage",
        "data",
        "output",
        "input",
        "timeout",
        "token",
        "detach",
        "all_pages",
        "out",
        "plot",
        "plot_interval",
    )
)
"""Flags of every operation; a message's field of such a name is set by `--input` alone."""

Read = Callable[[Any], Any]


class Flag(msgspec.Struct, frozen=True, kw_only=True):
    """One flag: `path` is where its value goes in the message, `names` how it is called.

    `annotation` is the Python type that the command line is parsed to, `read` makes a plain value of that:
    what JSON would carry. `meaning` is what the message's declaration says of it. `panel` is the heading that it
    stands under in the help. `empty` says that the field is a message without fields, `each` that the value is for
    every element of the list before it in `path` that has none.
    """

    path: tuple[str, ...]
    names: tuple[str, ...]
    annotation: Any
    metavar: str | None
    read: Read
    help: str
    meaning: str
    panel: tuple[str, str]
    empty: bool = False
    each: bool = False


class Leaf(msgspec.Struct, frozen=True):
    """How one value is written on the command line."""

    annotation: Any
    metavar: str | None
    read: Read
    note: str = ""


def flags_of(message: type[msgspec.Struct]) -> list[Flag]:
    """The flags of a message type, in the order of its fields."""
    node = cast("inspect.StructType", inspect.type_info(message))
    return list(_struct_flags(node, (), ("Message", ""), frozenset((message,))))


def own_doc(struct: type[Any]) -> str:
    """The docstring of a struct itself, on one line; empty when it has none of its own."""
    return " ".join(str(struct.__dict__.get("__doc__") or "").split())


def _struct_flags(
    node: inspect.StructType, path: tuple[str, ...], panel: tuple[str, str], within: frozenset[type[Any]]
) -> Iterator[Flag]:
    names = {field.name for field in node.fields}
    for field in node.fields:
        if not path and field.name in GLOBAL_NAMES:
            continue
        yield from _field_flags(field, (*path, field.encode_name), panel, within, names)


def _field_flags(
    field: inspect.Field,
    path: tuple[str, ...],
    panel: tuple[str, str],
    within: frozenset[type[Any]],
    siblings: set[str],
) -> Iterator[Flag]:
    kind, description = _bare(field.type)
    flag = partial(_flag, field=field, path=path, panel=panel, description=description)
    leaf = _leaf(kind)
    if leaf is not None:
        yield flag(leaf)
    elif isinstance(kind, inspect.StructType) and not kind.fields:
        yield flag(Leaf(bool, None, _empty_message, own_doc(kind.cls)))
    elif isinstance(kind, inspect.StructType) and kind.cls not in within:
        if len(path) == 1:
            panel = (f"--{path[0]}".replace("_", "-"), own_doc(kind.cls))
            yield flag(_JSON, panel=panel)
        yield from _struct_flags(kind, path, panel, within | {kind.cls})
    else:
        yield from _many_flags(kind, flag, siblings)


def _many_flags(kind: inspect.Type, flag: Callable[..., Flag], siblings: set[str]) -> Iterator[Flag]:
    """Flags of a list or a map."""
    element = _bare(kind.item_type)[0] if isinstance(kind, inspect.ListType) else None
    leaf = None if element is None else _leaf(element)
    pair = None if element is None else _pair(element)
    if leaf is not None:
        yield flag(_repeated(leaf), element_of=siblings)
    elif pair is not None:
        yield flag(
            Leaf(list[str], "KEY=VALUE", _each(pair), "repeatable, or JSON of one"), element_of=siblings, alone=True
        )
        yield flag(Leaf(str, "JSON", _read_json, "the whole list"))
        yield from _shared_flags(cast("inspect.StructType", element), flag, siblings)
    elif isinstance(kind, inspect.DictType) and isinstance(_bare(kind.key_type)[0], inspect.StrType):
        yield flag(Leaf(list[str], "KEY=VALUE", partial(_read_map, _map_value(kind.value_type)), "repeatable, or JSON"))
    else:
        yield flag(_JSON)


def _shared_flags(element: inspect.StructType, flag: Callable[..., Flag], siblings: set[str]) -> Iterator[Flag]:
    """Flags of the fields beside key and value, said once for all elements."""
    for field in element.fields:
        kind, description = _bare(field.type)
        leaf = _leaf(kind)
        if leaf is not None and field.encode_name not in _PAIR:
            of_list = flag(leaf)
            name = field.encode_name.replace("_", "-")
            free = field.encode_name not in siblings | GLOBAL_NAMES
            single = singular(of_list.path[-1]).replace("_", "-")
            yield msgspec.structs.replace(
                of_list,
                path=(*of_list.path, field.encode_name),
                names=(f"--{name}" if free and len(of_list.path) == 1 else f"--{single}.{name}",),
                help="; ".join(filter(None, (description, leaf.note, f"for every --{single} without one"))),
                meaning=description,
                each=True,
            )


def _flag(
    leaf: Leaf,
    *,
    field: inspect.Field,
    path: tuple[str, ...],
    panel: tuple[str, str],
    description: str,
    element_of: set[str] | None = None,
    alone: bool = False,
) -> Flag:
    """The flag of `field`. For one element of a list: also, or with `alone` only, under its singular."""
    last = path[-1]
    if element_of is not None and (single := singular(last)) not in element_of | GLOBAL_NAMES:
        lasts = (single,) if alone else (single, last)
    else:
        lasts = (last,)
    prefix = "".join(f"{part}." for part in path[:-1])
    bounds = bounds_of(field.type)
    notes = (
        "required" if field.required and len(path) == 1 else "",
        description,
        leaf.note,
        f"{bounds[0]} to {bounds[1]}" if bounds else "",
        _default(field),
    )
    return Flag(
        path=path,
        names=tuple(f"--{prefix}{name}".replace("_", "-") for name in lasts),
        annotation=leaf.annotation,
        metavar=leaf.metavar,
        read=leaf.read,
        help="; ".join(filter(None, notes)),
        meaning=description or (leaf.note if leaf.read is _empty_message else ""),
        panel=panel,
        empty=leaf.read is _empty_message,
    )


def singular(name: str) -> str:
    """`item` for `items`, `query` for `queries`."""
    if name.endswith("ies"):
        return f"{name[:-3]}y"
    return name[:-1] if name.endswith("s") and not name.endswith("ss") else name


def _bare(node: inspect.Type) -> tuple[inspect.Type, str]:
    """`node` without notes and null, and its description."""
    description = ""
    while True:
        if isinstance(node, inspect.Metadata):
            schema = cast("dict[str, Any]", node.extra_json_schema or {})
            description = description or str(schema.get("description", ""))
            node = node.type
        elif isinstance(node, inspect.UnionType):
            left = [kind for kind in node.types if not isinstance(kind, inspect.NoneType)]
            if len(left) != 1:
                return node, description
            node = left[0]
        else:
            return node, description


def _leaf(node: inspect.Type) -> Leaf | None:
    match node:
        case inspect.BytesType():
            return Leaf(str, "BYTES", read_bytes, "text, @file, hex: or base64:")
        case inspect.StrType():
            return Leaf(str, "TEXT", _as_is)
        case inspect.IntType():
            return Leaf(int, "INTEGER", _as_is, _bounds(node))
        case inspect.FloatType():
            return Leaf(float, "NUMBER", _as_is, _bounds(node))
        case inspect.BoolType():
            return Leaf(bool, None, _as_is)
        case inspect.LiteralType():
            return Leaf(Literal[node.values], None, _as_is)
        case inspect.StructType() if node.cls is File:
            return Leaf(str, "PATH", read_attachment, "a path, or the id of a file that the stage has")
        case inspect.CustomType() if node.cls is Instant:
            return Leaf(str, "INSTANT", lambda text: read_instant(text, time_ns()), "or so long ago, such as 1h")
        case inspect.CustomType():
            return Leaf(str, node.cls.__name__.upper(), _as_is)
        case _:
            return None


def _bounds(node: inspect.IntType | inspect.FloatType) -> str:
    low = node.ge if node.ge is not None else node.gt
    high = node.le if node.le is not None else node.lt
    # The ends of int64 are no news to anyone.
    low, high = (None if bound is None or abs(bound) >= 2**53 else bound for bound in (low, high))
    if low is not None and high is not None:
        return f"{low} to {high}"
    return f"from {low}" if low is not None else f"up to {high}" if high is not None else ""


def _default(field: inspect.Field) -> str:
    if field.default in (NODEFAULT, None, "", False) or isinstance(field.default, msgspec.Struct):
        return ""
    return f"default {str(field.default).lower() if field.default is True else field.default}"


def _repeated(leaf: Leaf) -> Leaf:
    note = f"{leaf.note}; repeatable" if leaf.note else "repeatable"
    return Leaf(list[leaf.annotation], leaf.metavar, _each(leaf.read), note)


def _pair(node: inspect.Type) -> Read | None:
    """How `KEY=VALUE` becomes a message of type `node`; None when it is no pair of key and value."""
    if not isinstance(node, inspect.StructType):
        return None
    fields = {field.encode_name: field for field in node.fields}
    key, value = (None if field is None else _leaf(_bare(field.type)[0]) for field in map(fields.get, ("key", "value")))
    if key is None or value is None or any(field.required for name, field in fields.items() if name not in _PAIR):
        return None
    return partial(_read_pair, key.read, value.read)


_PAIR = ("key", "value")


def _read_pair(read_key: Read, read_value: Read, text: str) -> dict[str, Any]:
    if text.startswith("{") and (whole := _object(text)) is not None:
        return whole
    key, value = split_pair(text, "KEY=VALUE")
    return {"key": read_key(key), "value": read_value(value)}


def _object(text: str) -> dict[str, Any] | None:
    """The element as a JSON object, which has more fields than a pair; None when `text` is none."""
    found = _read_loosely(text)
    return cast("dict[str, Any]", found) if isinstance(found, dict) and "key" in found else None


def _map_value(node: inspect.Type) -> Read:
    leaf = _leaf(_bare(node)[0])
    return leaf.read if leaf is not None and leaf.annotation is str else _read_loosely


def _read_map(read_value: Read, texts: list[str]) -> dict[str, Any]:
    if len(texts) == 1 and texts[0].startswith(("{", "@")):
        return cast("dict[str, Any]", _read_json(texts[0]))
    pairs = (split_pair(text, "KEY=VALUE") for text in texts)
    return {key: read_value(value) for key, value in pairs}


def _each(read: Read) -> Read:
    return lambda texts: [read(text) for text in texts]


def _as_is(value: Any) -> Any:
    return value


def _empty_message(given: bool) -> dict[str, Any] | None:
    return {} if given else None


def _read_json(text: str) -> Any:
    """The value that JSON, or a file of it after `@`, holds."""
    try:
        return msgspec.json.decode(read_file(text[1:]) if text.startswith("@") else text)
    except msgspec.DecodeError as error:
        raise InvalidArgument(
            f"{text[:40]!r} is no JSON: {_lower(str(error))}", hint="quote it for the shell"
        ) from None


def _read_loosely(text: str) -> Any:
    """A number, boolean, list or map where `text` is JSON of one, else the text itself."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def _lower(sentence: str) -> str:
    return re.sub(r"^[A-Z](?=[a-z])", lambda found: found[0].lower(), sentence)


_JSON = Leaf(str, "JSON", _read_json)
