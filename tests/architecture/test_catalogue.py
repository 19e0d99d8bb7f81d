"""Every system has the same shape, so that whoever knows one knows all."""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest
from tests.architecture.source import ROOT, SOURCE, TESTS, modules

from soundstage.catalogue import SYSTEMS
from soundstage.core.operation import AsyncFace, Operation, SyncFace, operations_of
from soundstage.core.system import System
from soundstage.runtime.door import ListenerConfig, MountConfig

NAMES = {system.name for system in SYSTEMS}
PUBLIC = ("", ".api")
"""The parts of a system that others may import: the package and its messages."""

TOUR_LINES_MAX = 80
SNAKE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*$")

for_each_system = pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)


for_each_door = pytest.mark.parametrize(
    ("system", "kind"), [pytest.param(system, kind, id=kind) for system in SYSTEMS for kind in system.doors]
)


def folder(system: System) -> Path:
    return SOURCE.joinpath(*system.path.split("."))


def part(system: System, name: str) -> ModuleType:
    return importlib.import_module(f"{system.path}.{name}")


def declared(system: System) -> dict[str, Operation[..., Any]]:
    return operations_of(part(system, "api").CALLS)


def faces(system: System, kind: type[Any]) -> list[type[Any]]:
    api = part(system, "api")
    return [
        value
        for value in vars(api).values()
        if inspect.isclass(value) and issubclass(value, kind) and value.__module__ == api.__name__
    ]


def owner(module_name: str) -> System | None:
    """The system in whose folder the module is."""
    return next((system for system in SYSTEMS if f"{module_name}.".startswith(f"{system.path}.")), None)


@cache
def foreign_imports() -> tuple[tuple[str, str, System], ...]:
    """Each import of something in a system's folder by a module outside of it."""
    return tuple(
        (f"{module.name}:{line}", name, system)
        for module in modules()
        for name, line in module.imports()
        if (system := owner(name)) is not None and owner(module.name) != system
    )


def test_names_and_numbers_are_unique() -> None:
    numbers = [system.number for system in SYSTEMS if system.number is not None]
    assert len(NAMES) == len(SYSTEMS)
    assert len(set(numbers)) == len(numbers)


@for_each_system
def test_the_folder_has_the_systems_name(system: System) -> None:
    assert system.path.rpartition(".")[2] == system.name
    assert SNAKE.fullmatch(system.name)


@for_each_system
def test_the_summary_is_one_phrase(system: System) -> None:
    assert 20 <= len(system.summary) <= 100
    assert not system.summary.endswith(".")


@for_each_system
def test_the_folder_has_its_tour_messages_and_service(system: System) -> None:
    assert {"__init__", "api", "service"} <= {path.stem for path in folder(system).iterdir()}


@for_each_system
def test_the_tour_is_one_screen(system: System) -> None:
    assert len((folder(system) / "__init__.py").read_text().splitlines()) <= TOUR_LINES_MAX


@for_each_system
def test_the_tour_loads_no_implementation(system: System) -> None:
    code = f"import sys, {system.path}; print(*(name for name in sys.modules if name.startswith('soundstage')))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    loaded = set(run.stdout.split())
    assert f"{system.path}.service" not in loaded
    assert not any(name.startswith("soundstage.engines.") for name in loaded)


@for_each_system
def test_there_is_one_face_of_each_kind_and_the_tour_names_both(system: System) -> None:
    package = importlib.import_module(system.path)
    both = [*faces(system, AsyncFace), *faces(system, SyncFace)]
    assert len(both) == 2
    assert {face.__name__ for face in both} <= set(package.__all__)
    assert all(getattr(package, face.__name__) is face for face in both)


@for_each_system
def test_the_faces_share_the_declared_calls(system: System) -> None:
    calls = part(system, "api").CALLS
    assert calls.system == system.name
    assert all(issubclass(face, calls) for face in [*faces(system, AsyncFace), *faces(system, SyncFace)])


@for_each_system
def test_every_operation_is_documented_and_takes_and_returns_messages(system: System) -> None:
    operations = declared(system)
    assert operations
    for name, operation in operations.items():
        assert SNAKE.fullmatch(name)
        assert operation.doc, f"{name} says nothing of what is true after the call"
        assert issubclass(operation.request, msgspec.Struct)
        assert issubclass(operation.reply, msgspec.Struct)


@for_each_system
def test_message_fields_are_snake_case(system: System) -> None:
    structs = [
        value
        for value in vars(part(system, "api")).values()
        if inspect.isclass(value) and issubclass(value, msgspec.Struct)
    ]
    assert [
        f"{struct.__name__}.{field}"
        for struct in structs
        for field in struct.__struct_fields__
        if not SNAKE.match(field)
    ] == []


@for_each_system
def test_the_service_handles_every_operation_with_a_coroutine(system: System) -> None:
    service = part(system, "service").SERVICE
    operations = declared(system)
    by_attribute = {operation.attribute: operation for operation in operations.values()}
    for name in [*by_attribute, "start", "stop"]:
        feeds = name in by_attribute and by_attribute[name].kind == "feed"
        fits = inspect.isasyncgenfunction if feeds else inspect.iscoroutinefunction
        assert fits(getattr(service, name, None)), f"{name} is no {fits.__name__[2:]} of {service}"


_BESIDE = {"job": ["job"], "upload": ["body"]}


@for_each_system
def test_handlers_take_the_call_and_the_request(system: System) -> None:
    service = part(system, "service").SERVICE
    for operation in declared(system).values():
        wanted = ["self", "call", "request", *_BESIDE.get(operation.kind, [])]
        assert list(inspect.signature(getattr(service, operation.attribute)).parameters) == wanted


@for_each_system
def test_the_knobs_have_defaults(system: System) -> None:
    if not (folder(system) / "config.py").exists():
        return
    config = part(system, "config")
    struct = getattr(config, "NamespaceConfig", None) or config.SystemConfig
    assert issubclass(struct, msgspec.Struct)
    assert struct() == struct()


@for_each_system
def test_a_page_of_the_docs_and_a_folder_of_tests_mirror_it(system: System) -> None:
    assert (ROOT / "docs" / "systems" / f"{system.name}.md").is_file()
    assert (TESTS.joinpath(*system.path.split(".")[1:])).is_dir()


@for_each_door
def test_a_kind_of_door_has_a_name_of_its_own(system: System, kind: str) -> None:
    assert SNAKE.fullmatch(kind)
    assert [other.name for other in SYSTEMS if kind in other.doors] == [system.name]


@for_each_door
def test_the_doors_are_in_a_module_of_their_own(system: System, kind: str) -> None:
    assert set(part(system, "doors").DOORS) == set(system.doors)
    assert kind in part(system, "doors").DOORS


@for_each_door
def test_a_door_is_configured_by_a_struct_that_adds_to_that_of_all_doors(system: System, kind: str) -> None:
    config = part(system, "doors").DOORS[kind].config
    assert issubclass(config, ListenerConfig | MountConfig)
    required = {field.name for field in msgspec.structs.fields(config) if field.required}
    assert required <= {"listen", "prefix"}


@for_each_door
def test_a_door_starts_and_stops_by_coroutines(system: System, kind: str) -> None:
    opens = part(system, "doors").DOORS[kind].open
    for name in ("start", "stop"):
        assert inspect.iscoroutinefunction(getattr(opens, name))
    listens = issubclass(part(system, "doors").DOORS[kind].config, ListenerConfig)
    assert callable(getattr(opens, "connect" if listens else "__call__"))


@for_each_door
def test_a_door_is_explained_in_the_docs(system: System, kind: str) -> None:
    assert f"[doors.{kind}]" in (ROOT / "docs" / "doors.md").read_text()


@for_each_door
def test_a_door_is_loaded_by_nothing_but_its_use(system: System, kind: str) -> None:
    code = f"import sys, {system.path}.service; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert f"{system.path}.doors" not in run.stdout.split(), kind


@for_each_system
def test_it_says_which_systems_it_uses(system: System) -> None:
    assert set(system.uses) <= NAMES
    used = {found.name for importer, _, found in foreign_imports() if owner(importer.partition(":")[0]) == system}
    assert used <= set(system.uses)


def test_the_insides_of_a_system_are_its_own() -> None:
    strays = [
        f"{importer} imports {name}"
        for importer, name, system in foreign_imports()
        if name.removeprefix(system.path) not in PUBLIC and not importer.startswith("soundstage.testing")
    ]
    assert strays == []


def test_no_generic_part_knows_a_system_by_name() -> None:
    generic = ("soundstage.core", "soundstage.runtime", "soundstage.surface", "soundstage.client")
    strays = [
        f"{importer} imports {name}"
        for importer, name, _ in foreign_imports()
        if importer.startswith(generic) and owner(importer.partition(":")[0]) is None
    ]
    assert strays == []
