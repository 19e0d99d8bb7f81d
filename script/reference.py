"""Writes the reference pages of the docs from the code: errors, operations, configuration, metrics, engines.

`poe reference` writes them; `tests/docs/test_reference.py` fails when they are not what the code says.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast, get_args

import msgspec
from msgspec import inspect as shapes

from soundstage.catalogue import SYSTEMS
from soundstage.core.call import DEFAULT_OPTIONS
from soundstage.core.codec import convert
from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import ERRORS, SoundstageError
from soundstage.core.operation import Operation, operations_of
from soundstage.core.system import System
from soundstage.runtime.config import EngineConfig
from soundstage.runtime.engines import SCHEMES, Engines
from soundstage.runtime.metrics import DescribedMetric
from soundstage.runtime.namespaces import Namespaces, NamespaceSpec
from soundstage.runtime.openers import HostedPort
from soundstage.runtime.settings import Key, keys
from soundstage.runtime.stage import Stage
from soundstage.surface.examples import example_of

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "reference"
NOTE = "<!-- Written from the code by `poe reference`; edits here are lost. -->"

ERRORS_INTRODUCTION = (
    "Every failure is one of these, in process and over HTTP alike: `except soundstage.errors.NotFound` catches the "
    "same from a Stage and from a connection. Over HTTP the body is an RFC 9457 problem with `code`, `detail`, "
    "`hint`, `retryable` and, where known, `field`, `retry_after_ms` and `outcome`. The column *retryable* is the "
    "usual value; what an error says of itself holds."
)

OPERATIONS_INTRODUCTION = (
    "Each operation is called in process by a client's method, over HTTP by `POST` of one message, and on the "
    "command line. A field without a default must be given. The running server describes the same at "
    "`/openapi.json` and `/docs`."
)

CONFIGURATION_INTRODUCTION = (
    "What a stage file may hold; `soundstage config default` prints the same as a file. A key is also an environment "
    "variable: `SOUNDSTAGE_` and its dotted path in capitals, with `__` between the levels, so that `http.port` is "
    "`SOUNDSTAGE_HTTP__PORT`. NAME stands for names of your own choice. Durations are written `250ms`, `10s`, `36h`; "
    "sizes `64KiB`, `4MiB`, or a number of bytes."
)

METRICS_INTRODUCTION = (
    "What `GET /metrics` serves, in the text format of Prometheus, besides the `process_…` metrics of its client "
    "library. Counters also end in `_total` there."
)


ENGINES_INTRODUCTION = (
    "An engine is opened by its URL. Each port has calls that every engine of it answers in the same way, and "
    "capabilities beyond those that some have: a namespace or a program that needs one is refused where it lacks. "
    "A capability is marked as an engine with default options has it, and *as there* where that depends on the engine "
    "of another process. Engines *in several processes* may be open in some at once, and those that are `shared` too "
    "hold the same for all of them, on other hosts as well; of the others one process has each, and offers it to its "
    "workers by `host:`. The extra is what is installed for it, as "
    'in `pip install "soundstage[cassandra]"`. `soundstage engines check URL` tells the same of one that runs.'
)

ENGINE_URLS = (
    "memory:",
    "rocksdb:records",
    "cassandra://127.0.0.1/soundstage",
    "kafka://127.0.0.1:9092",
    "file:blobs",
    "s3://bucket?endpoint=http://127.0.0.1:9000",
    "lru:",
    "lfu:",
    "memcached://127.0.0.1:11211",
    "opensearch://127.0.0.1:9200",
    "tantivy:indexes",
    "arrow:",
    "iceberg:tables",
    "iceberg+postgresql://127.0.0.1/soundstage?warehouse=/srv/tables",
    "host:",
)
"""One of each scheme."""

ELSEWHERE = "host:"
"""Engines of another process, which know what they can once they are connected."""

PORT_PAGES = {
    "records": "records-port.md",
    "log": "log-port.md",
    "cache": "cache-port.md",
    "search": "search-port.md",
    "tables": "tables-port.md",
    "blobs": "blobs-port.md",
}


def first_sentence(text: str) -> str:
    return " ".join(text.split("\n\n")[0].split())


def cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def table(heads: list[str], rows: list[list[str]]) -> list[str]:
    return [
        "| " + " | ".join(heads) + " |",
        "| " + " | ".join("---" for _ in heads) + " |",
        *("| " + " | ".join(cell(value) for value in row) + " |" for row in rows),
        "",
    ]


def errors_page() -> str:
    """The codes of every problem a caller can get."""
    rows = [
        [
            f"`{error.code}`",
            str(error.status),
            f"`{error.__name__}`",
            "yes" if error.retryable_by_default else "no",
            first_sentence(inspect.getdoc(error) or ""),
        ]
        for error in sorted(ERRORS.values(), key=lambda error: (error.status, error.code))
    ]
    return page(
        "Errors",
        ERRORS_INTRODUCTION,
        table(["code", "status", "class", "retryable", "meaning"], rows),
    )


def page(title: str, introduction: str, *parts: list[str]) -> str:
    lines = [f"# {title}", "", NOTE, "", introduction, ""]
    for part in parts:
        lines += part
    return "\n".join(lines).rstrip() + "\n"


def operations_page() -> str:
    """Every operation of the catalogue with its messages."""
    parts = [part for system in SYSTEMS for part in system_part(system)]
    return page(
        "Operations",
        OPERATIONS_INTRODUCTION,
        *parts,
    )


def system_part(system: System) -> Iterator[list[str]]:
    yield [f"## {system.name}", "", f"{system.summary}.", f"Stability: {system.stability}.", ""]
    for name, operation in operations_of(import_module(f"{system.path}.api").CALLS).items():
        yield operation_part(name, operation)


def operation_part(name: str, operation: Operation[..., Any]) -> list[str]:
    errors = ", ".join(f"`{error.code}`" for error in sorted(operation.errors, key=code))
    safe = "safe to repeat under the same token or key" if operation.idempotent else "not safe to repeat blindly"
    return [
        f"### {operation.system} {name}",
        "",
        operation.doc,
        "",
        f"`{operation.method} {operation.path}` · `soundstage {operation.system} {name.replace('_', '-')}` · "
        f"needs `{operation.access}` · {safe}",
        "",
        *fields_part("Request", operation.request),
        *fields_part("Reply", operation.reply),
        *([f"Besides what every call may raise: {errors}.", ""] if errors else []),
    ]


def code(error: type[SoundstageError]) -> str:
    return error.code


def fields_part(head: str, struct: type[Any]) -> list[str]:
    info = shapes.type_info(struct)
    assert isinstance(info, shapes.StructType)
    if not info.fields:
        return [f"{head}: an empty message.", ""]
    rows = [
        [f"`{field.encode_name}`", f"`{name_of(field.type)}`", default_of(field), described(field.type)]
        for field in info.fields
    ]
    return [f"{head}, `{struct.__name__}`:", "", *table(["field", "type", "default", ""], rows)]


def name_of(node: shapes.Type) -> str:
    """A type as a reader writes it."""
    match node:
        case shapes.Metadata():
            return name_of(node.type)
        case shapes.StructType() | shapes.CustomType():
            return node.cls.__name__
        case shapes.ListType():
            return f"list[{name_of(node.item_type)}]"
        case shapes.DictType():
            return f"dict[{name_of(node.key_type)}, {name_of(node.value_type)}]"
        case shapes.UnionType():
            return " | ".join(name_of(part) for part in node.types if not isinstance(part, shapes.NoneType))
        case shapes.LiteralType():
            return " | ".join(repr(value) for value in node.values)
        case _:
            return type(node).__name__.removesuffix("Type").lower()


def default_of(field: shapes.Field) -> str:
    if field.required:
        return "—"
    value = field.default_factory() if field.default_factory is not msgspec.NODEFAULT else field.default
    if value is None:
        return "none"
    if isinstance(value, msgspec.Struct):
        return "as below"
    return f"`{value!s}`" if not isinstance(value, str) else f"`{value!r}`"


def described(node: Any) -> str:
    if not isinstance(node, shapes.Metadata):
        return ""
    schema = cast("dict[str, Any]", getattr(node, "extra_json_schema", None) or {})
    extra = cast("dict[str, Any]", getattr(node, "extra", None) or {})
    bounds = extra.get("bounds")
    text = str(schema.get("description", ""))
    return f"{text} ({bounds[0]} to {bounds[1]})" if bounds else text


def configuration_page() -> str:
    """Every key of the stage file, one table per table of the file."""
    tables: dict[str, list[list[str]]] = {}
    own = [*keys(), *(key for system in SYSTEMS for key in [*knobs(system), *door_keys(system)])]
    for key in own:
        table_name, _, name = key.path.rpartition(".")
        default = "" if key.default is None else f"`{key.default}`"
        tables.setdefault(table_name, []).append([f"`{name}`", key.type, default, key.meaning, key.bounds])
    parts = [
        [f"## `[{name}]`" if name else "## At the top", "", *table(["key", "type", "default", "", "bounds"], rows)]
        for name, rows in tables.items()
    ]
    return page("Configuration", CONFIGURATION_INTRODUCTION, *parts)


def knobs(system: System) -> list[Key]:
    """The knobs of a system's namespaces, or of the system itself."""
    if find_spec(f"{system.path}.config") is None:
        return []
    config = import_module(f"{system.path}.config")
    found = [
        key._replace(path=f"namespaces.NAME.config ({system.name}).{key.path}")
        for key in keys(getattr(config, "NamespaceConfig", None) or NoKnobs)
    ]
    return found + keys(getattr(config, "SystemConfig", None) or NoKnobs, f"systems.{system.name}.")


def door_keys(system: System) -> list[Key]:
    """The keys of a system's doors, by the name of their kind."""
    if not system.doors:
        return []
    doors = import_module(f"{system.path}.doors").DOORS
    return [key for kind in system.doors for key in keys(doors[kind].config, f"doors.{kind}.")]


class NoKnobs(msgspec.Struct):
    """What a system without knobs has."""


def engines_page() -> str:
    """Every engine by its ports, with what it can."""
    parts: list[list[str]] = []
    for port, document in PORT_PAGES.items():
        found = {url: engine for url in ENGINE_URLS if (engine := opened(url, port)) is not None}
        known = sorted({str(each) for engine in found.values() for each in engine.capabilities})
        rows = [engine_row(url, engine, known) for url, engine in found.items()]
        heads = ["engine", "in several processes", "extra", *(f"`{each}`" for each in known)]
        parts.append([f"## {port}", "", f"[The port](../{document}).", "", *table(heads, rows)])
    return page("Engines", ENGINES_INTRODUCTION, *parts)


def opened(url: str, port: str) -> Any:
    """An engine that was made and not started, None for one without that port."""
    is_elsewhere = url.startswith(ELSEWHERE)
    if is_elsewhere and port not in get_args(HostedPort):
        return None
    options: dict[str, Any] = {"ports": [port]} if is_elsewhere else {}
    engines = Engines({"engine": EngineConfig(url=url, options=options)}, "soundstage-data", VirtualEnvironment())
    return {str(each): found for each, found in engines.ports("engine").items()}.get(port)


def engine_row(url: str, engine: Any, known: list[str]) -> list[str]:
    scheme = SCHEMES[url.partition(":")[0]]
    mine = {str(each) for each in engine.capabilities}
    other = "as there" if url.startswith(ELSEWHERE) else ""
    return [
        f"`{url}`",
        "yes" if scheme.shared else "",
        f"`{scheme.extra}`" if scheme.extra else "",
        *("yes" if each in mine else other for each in known),
    ]


def metrics_page() -> str:
    """Every metric that a stage has of its own."""
    rows = [
        [f"`{family.name}`", family.kind, ", ".join(f"`{label}`" for label in family.labels), family.help]
        for family in asyncio.run(described_metrics())
    ]
    return page("Metrics", METRICS_INTRODUCTION, table(["metric", "kind", "labels", ""], rows))


async def described_metrics() -> list[DescribedMetric]:
    """The metrics of a stage with a namespace of every abstraction, each of which has been read from."""
    with TemporaryDirectory() as folder:
        async with Stage.open(data=folder, variables={}, background=False) as stage:
            for name in stage.systems.abstractions():
                await stage.client(Namespaces).put(namespace=NamespaceSpec(name="example", abstraction=name))
                await read_from(stage, name)
                await stage.client(Namespaces).delete(name="example")
            return stage.described_metrics()


async def read_from(stage: Stage, system: str) -> None:
    """Every reading operation of `system` has been called with its example, and what counts by what it accepts."""
    for operation in stage.systems.operations(system).values():
        if operation.kind == "call" and (operation.access == "read" or operation.name == "mutate_items"):
            with contextlib.suppress(SoundstageError):
                await stage.invoke(operation, convert(example_of(operation), operation.request), DEFAULT_OPTIONS)


def pages() -> dict[str, str]:
    """The pages by file name."""
    return {
        "configuration.md": configuration_page(),
        "engines.md": engines_page(),
        "errors.md": errors_page(),
        "metrics.md": metrics_page(),
        "operations.md": operations_page(),
    }


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    main()
