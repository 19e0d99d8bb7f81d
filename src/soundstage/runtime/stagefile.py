"""Where the configuration comes from: flag, environment, file, default, in this order of precedence.

Every key is known by its dotted path, such as `http.port`: `port` under `[http]` in the file,
`SOUNDSTAGE_HTTP__PORT` in the environment.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import msgspec
from msgspec import inspect

from soundstage.core.codec import convert
from soundstage.core.errors import InvalidArgument
from soundstage.core.names import nearest
from soundstage.runtime.bounds import check_bounds
from soundstage.runtime.config import BLOBS, StageConfig, default_url, with_default_engines
from soundstage.runtime.urls import split_url

PREFIX = "SOUNDSTAGE_"

OPEN = "[...]"
"""How the codec writes whichever entry of a table."""

STRUCTURE = inspect.type_info(StageConfig)


class LoadedConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration and, per dotted path that is not a default, where its value came from.

    `ignored` names environment variables that look like ours and are none, for `config check` to show.
    """

    config: StageConfig
    sources: dict[str, str] = {}
    ignored: list[str] = []
    path: str | None = None

    def source(self, key: str) -> str:
        """Where the value of the dotted path `key` came from."""
        while key:
            if key in self.sources:
                return self.sources[key]
            key = key.rpartition(".")[0]
        return "default"


def load_config(
    path: str | os.PathLike[str] | None = None,
    *,
    tree: Mapping[str, Any] | None = None,
    variables: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> LoadedConfig:
    """The configuration of the file `path` or the nested map `tree`, under `variables`, under `flags`.

    `variables` are those of an environment (none by default), of which empty ones count for nothing; `flags` maps
    dotted paths to values, None for flags that were not given.

    Raises `InvalidArgument` naming the key, its source and the nearest valid name.
    """
    merged: dict[str, Any] = {}
    sources: dict[str, str] = {}
    if path is not None:
        _merge(merged, sources, _read(Path(path)), str(path))
    if tree is not None:
        _merge(merged, sources, tree, "the configuration given")
    ignored: list[str] = []
    for name, text in sorted((variables or {}).items()):
        # What starts programs often sets variables that mean nothing to empty text.
        if text and name.startswith(PREFIX) and not _put_variable(merged, sources, name, text):
            ignored.append(name)
    for key, value in (flags or {}).items():
        if value is not None:
            _put(merged, key.split("."), value)
            sources[key] = f"flag --{key.rpartition('.')[2].replace('_', '-')}"
    _complete(merged)
    config = _convert(merged, sources)
    return LoadedConfig(config=config, sources=sources, ignored=ignored, path=None if path is None else str(path))


def _complete(tree: dict[str, Any]) -> None:
    """Engines that need no line of their own need no URL either, when some other key of theirs is set."""
    data = tree.get("data", StageConfig().data)
    engines: Any = tree.get("engines")
    found = cast("dict[str, Any]", engines) if isinstance(engines, dict) else {}
    for name in ("default", BLOBS):
        if isinstance(found.get(name), dict):
            found[name].setdefault("url", default_url(name, data))


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidArgument(f"the stage file {path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"the stage file {path} is no TOML: {error}") from None


def _merge(into: dict[str, Any], sources: dict[str, str], tree: Mapping[str, Any], source: str, at: str = "") -> None:
    for name, value in tree.items():
        key = f"{at}{name}"
        if isinstance(value, Mapping):
            below = into.setdefault(name, {})
            _merge(below, sources, cast("Mapping[str, Any]", value), source, key + ".")
        else:
            into[name] = value
            sources[key] = source


def _put(into: dict[str, Any], path: list[str], value: Any) -> None:
    for name in path[:-1]:
        into = into.setdefault(name, {})
    into[path[-1]] = value


def _put_variable(into: dict[str, Any], sources: dict[str, str], name: str, text: str) -> bool:
    """Apply one environment variable; False when its first part is no key of the stage file.

    Those are left alone: other programs of ours have such variables (`SOUNDSTAGE_URL`), and a cluster's
    service discovery makes up more (`SOUNDSTAGE_PORT`).
    """
    parts = name[len(PREFIX) :].lower().split("__")
    path: list[str] = []
    node: inspect.Type = STRUCTURE
    tree: dict[str, Any] = into
    for part in parts:
        found = _step(node, part, tree)
        if found is None:
            if not path:
                return False
            raise _unknown_variable(name, part, node)
        step, node = found
        path.append(step)
        below: Any = tree.get(step)
        tree = cast("dict[str, Any]", below) if isinstance(below, dict) else {}
    _put(into, path, _parse(text, node))
    sources[".".join(path)] = f"environment {name}"
    return True


def _step(node: inspect.Type, part: str, present: Mapping[str, Any]) -> tuple[str, inspect.Type] | None:
    """The key that the upper-cased `part` of a variable's name means below `node`, and its type."""
    node = _plain(node)
    if isinstance(node, inspect.StructType):
        return next(((field.name, field.type) for field in node.fields if field.name == part), None)
    if isinstance(node, inspect.DictType):
        # Names of engines and namespaces may hold what a variable's name cannot.
        known = next((name for name in present if name.lower().replace("-", "_") == part), part)
        return known, node.value_type
    return (part, node) if isinstance(node, inspect.AnyType) else None


def _plain(node: inspect.Type) -> inspect.Type:
    while isinstance(node, inspect.Metadata):
        node = node.type
    return node


def _unknown_variable(name: str, part: str, node: inspect.Type) -> InvalidArgument:
    plain = _plain(node)
    known = [field.name for field in plain.fields] if isinstance(plain, inspect.StructType) else []
    close = nearest(part, known)
    hint = f"did you mean {name[: -len(part)]}{close.upper()}?" if close else "see `soundstage config default`"
    return InvalidArgument(f"the environment variable {name} sets no known key", field=name, hint=hint)


def _parse(text: str, node: inspect.Type) -> Any:
    """`text` as TOML where the key holds a number, a switch, a list or a table, else as it is."""
    plain = _plain(node)
    kinds = plain.types if isinstance(plain, inspect.UnionType) else (plain,)
    if any(isinstance(_plain(kind), inspect.StrType | inspect.CustomType) for kind in kinds):
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _convert(tree: dict[str, Any], sources: Mapping[str, str]) -> StageConfig:
    try:
        config = _read_tree(tree)
        check_bounds(config)
        for name, engine in config.engines.items():
            split_url(name, engine.url)
    except InvalidArgument as error:
        raise _located(error, sources) from None
    return with_default_engines(config)


def _read_tree(tree: dict[str, Any]) -> StageConfig:
    """The configuration; errors name the entries of tables, which the codec leaves open (`engines[...].url`)."""
    try:
        return convert(tree, StageConfig)
    except InvalidArgument as error:
        raw = field = error.field or ""
        while OPEN in field:
            tree, field = _entry(tree, field, raw)
        detail = error.detail.replace(error.field or "", field) if error.field else error.detail
        raise InvalidArgument(detail, field=field or None, hint=error.hint) from None


def _entry(tree: dict[str, Any], field: str, raw: str) -> tuple[dict[str, Any], str]:
    """`field` with the name of its first open entry: the one that alone fails the same way; and that tree."""
    table, _, rest = field.partition(OPEN)
    path = table.split(".")
    entries: Any = tree
    for name in path:
        entries = entries[name]
    for entry in cast("dict[str, Any]", entries):
        alone = _with(tree, path, {entry: entries[entry]})
        try:
            convert(alone, StageConfig)
        except InvalidArgument as error:
            if error.field == raw:
                return alone, f"{table}.{entry}{rest}"
    return tree, f"{table}.*{rest}"


def _with(tree: dict[str, Any], path: list[str], value: Any) -> dict[str, Any]:
    """`tree` with `value` at `path`."""
    inner = value if len(path) == 1 else _with(tree[path[0]], path[1:], value)
    return {**tree, path[0]: inner}


def _located(error: InvalidArgument, sources: Mapping[str, str]) -> InvalidArgument:
    """`error` with the source of the key it names."""
    field = error.field or ""
    keys = [key for key in sources if key == field or key.startswith(field + ".") or field.startswith(key + ".")]
    where = f" ({sources[keys[0]]})" if keys else ""
    return InvalidArgument(f"{error.detail}{where}", field=error.field, hint=error.hint)
