"""Every key of the configuration with its meaning: for `config show`, `config default` and the docs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import msgspec
from msgspec import inspect

from soundstage.core.size import Size
from soundstage.core.time import Duration
from soundstage.runtime.bounds import bounds_of
from soundstage.runtime.config import StageConfig
from soundstage.runtime.secrecy import HIDDEN, is_secret
from soundstage.runtime.stagefile import LoadedConfig

_PLAIN_TYPES: tuple[tuple[type[inspect.Type], str], ...] = (
    (inspect.StrType, "text"),
    (inspect.BoolType, "true | false"),
    (inspect.IntType, "integer"),
    (inspect.FloatType, "number"),
    (inspect.DictType, "table"),
)
_BARE = re.compile(r"[A-Za-z0-9_-]+")


class Key(NamedTuple):
    """One key. `path` is dotted, with NAME where the user chooses; `default` is as TOML, None without one."""

    path: str
    type: str
    default: str | None
    meaning: str
    bounds: str


class Setting(NamedTuple):
    """One value in force, as text, and where it came from."""

    path: str
    value: str
    source: str


def keys(struct: type[Any] = StageConfig, at: str = "") -> list[Key]:
    """Every key that a stage file may hold, or the knobs of another `struct`, below the path `at`."""
    structure = _struct(inspect.type_info(struct))
    return [] if structure is None else list(_keys(structure, at))


def settings(loaded: LoadedConfig) -> list[Setting]:
    """Every value in force; what may be a secret is hidden."""
    found: list[Setting] = []
    for path, value in _leaves(loaded.config, ""):
        hidden = value is not None and is_secret(path.rpartition(".")[2])
        found.append(Setting(path, HIDDEN if hidden else _text(value), loaded.source(path)))
    return found


def default_text() -> str:
    """A stage file that says what is so without one, with every key explained."""
    lines = ["# The stage file: every key with its default. NAME stands for names of your own choice.", ""]
    table: str | None = ""
    for key in keys():
        of, _, name = key.path.rpartition(".")
        if of != table:
            lines += ["", f"{'# ' if 'NAME' in of else ''}[{of}]"]
            table = of
        bounds = f" ({key.bounds})" if key.bounds else ""
        lines.append(f"# {key.meaning}{bounds}")
        # What has no default, or is under a name of the user's, is shown and not set.
        set_here = key.default is not None and "NAME" not in key.path
        lines.append(f"{name} = {key.default}" if set_here else f"# {name} = {key.default or key.type}")
    return "\n".join(lines) + "\n"


def _keys(node: inspect.StructType, at: str) -> Iterator[Key]:
    # Keys before tables: in TOML whatever follows a table's head belongs to the table.
    tables: list[tuple[str, inspect.StructType]] = []
    for field in node.fields:
        inner = _struct(field.type)
        if inner is None:
            yield _key(field, f"{at}{field.name}")
        else:
            named = ".NAME." if isinstance(_plain(field.type), inspect.DictType) else "."
            tables.append((f"{at}{field.name}{named}", inner))
    for path, inner in tables:
        yield from _keys(inner, path)


def _key(field: inspect.Field, path: str) -> Key:
    default = None
    if field.default is not msgspec.NODEFAULT:
        default = None if field.default is None else _text(field.default)
    elif field.default_factory is not msgspec.NODEFAULT:
        default = _text(field.default_factory())
    schema: Any = getattr(field.type, "extra_json_schema", None) or {}
    return Key(path, type_text(field.type), default, str(schema.get("description", "")), _bounds_text(field.type))


def _struct(node: inspect.Type) -> inspect.StructType | None:
    """The table that a field of this type is, if it is one or holds one by name."""
    plain = _plain(node)
    if isinstance(plain, inspect.DictType):
        plain = _plain(plain.value_type)
    return plain if isinstance(plain, inspect.StructType) else None


def _plain(node: inspect.Type) -> inspect.Type:
    while isinstance(node, inspect.Metadata):
        node = node.type
    if isinstance(node, inspect.UnionType):
        kinds = [kind for kind in node.types if not isinstance(kind, inspect.NoneType)]
        return _plain(kinds[0]) if len(kinds) == 1 else node
    return node


def type_text(node: inspect.Type) -> str:
    """What kind of value a key takes, for people."""
    plain = _plain(node)
    if isinstance(plain, inspect.CustomType):
        return {Duration: "duration", Size: "size"}.get(plain.cls, plain.cls.__name__)
    if isinstance(plain, inspect.LiteralType):
        return " | ".join(f'"{value}"' for value in plain.values)
    if isinstance(plain, inspect.ListType):
        return f"list of {type_text(plain.item_type)}"
    for kind, text in _PLAIN_TYPES:
        if isinstance(plain, kind):
            return text
    return "value"


def _bounds_text(node: inspect.Type) -> str:
    declared = bounds_of(node)
    if declared is not None:
        return f"{declared[0]} to {declared[1]}"
    plain = _plain(node)
    low, high = getattr(plain, "ge", None), getattr(plain, "le", None)
    above = getattr(plain, "gt", None)
    if high is None:
        return ""
    return f"{_number(low)} to {high:,.0f}" if low is not None else f"above {above:,}, up to {high:,.0f}"


def _number(bound: float) -> str:
    return f"{bound:,.0f}" if bound == int(bound) else f"{bound:.9f}".rstrip("0")


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, msgspec.Struct):
        members: dict[str, Any] = {name: getattr(value, name) for name in value.__struct_fields__}
    elif isinstance(value, dict) and value:
        members = cast("dict[str, Any]", value)
    else:
        yield path, value
        return
    for name, inner in members.items():
        yield from _leaves(inner, f"{path}.{name}" if path else name)


def _text(value: Any) -> str:
    """`value` as TOML writes it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Duration | Size | str):
        escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value).items()
        inner = ", ".join(f"{name if _BARE.fullmatch(name) else _text(name)} = {_text(each)}" for name, each in members)
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_text(each) for each in cast('list[Any]', value))}]"
    return str(value)
