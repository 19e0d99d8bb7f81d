"""Who may import what: third-party libraries where they belong, `api` modules a graph of their own, a light package."""

from __future__ import annotations

import graphlib
import json
import subprocess
import sys
from collections.abc import Iterator

import pytest
from tests.architecture.source import Module, modules

HOMES = {
    "cachetools": ("soundstage.engines",),
    "cronsim": ("soundstage.runtime",),
    "cyclopts": ("soundstage.surface.cli",),
    "httptools": ("soundstage.surface.http",),
    "httpx2": (
        "soundstage.client",
        "soundstage.engines.search.opensearch",
        "soundstage.surface.cli",
        "soundstage.testing",
    ),
    "hypothesis": ("soundstage.testing",),
    "jinja2": ("soundstage.surface",),
    "lz4": ("soundstage.core.compression",),
    "msgspec": ("soundstage",),
    "numpy": ("soundstage.engines.search.tantivy",),
    "opentelemetry": ("soundstage.runtime", "soundstage.surface", "soundstage.client"),
    "pebble": ("soundstage.runtime",),
    "prometheus_client": ("soundstage.runtime",),
    "pytest": ("soundstage.testing",),
    "pytest_asyncio": ("soundstage.testing",),
    "rich": ("soundstage.surface.cli", "soundstage.demo"),
    "rocksdict": ("soundstage.engines",),
    "service_capacity_modeling": ("soundstage.runtime.namespaces.second_opinion",),
    "structlog": ("soundstage.runtime",),
    "tantivy": ("soundstage.engines",),
    "uvicorn": ("soundstage.surface.http",),
    "uvloop": ("soundstage.surface", "soundstage.demo"),
    "xxhash": (
        "soundstage.client.streams",
        "soundstage.data.kv",
        "soundstage.data.timeseries",
        "soundstage.engines",
        "soundstage.runtime.streaming",
    ),
    "zstandard": ("soundstage.core", "soundstage.runtime.transfer", "soundstage.surface.http", "soundstage.client"),
}
"""Every third-party library with the packages that may import it."""

HEAVY = {
    "asyncio", "cyclopts", "httptools", "httpx2", "hypothesis", "jinja2", "opentelemetry", "prometheus_client",
    "numpy", "pytest", "rich", "rocksdict", "structlog", "tantivy", "uvicorn", "uvloop", "zstandard",
}  # fmt: skip
"""What `import soundstage` loads none of."""

IMPORT_CPU_MS_MAX = 100

MEASURE = """
import json, resource, sys
def cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
before, started = set(sys.modules), cpu()
import soundstage
spent = cpu() - started
print(json.dumps({"cpu_ms": spent * 1000, "loaded": sorted(set(sys.modules) - before)}))
"""


def inside(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def third_party(module: Module) -> Iterator[tuple[str, int]]:
    for name, line in module.imports():
        top = name.partition(".")[0]
        if top != "soundstage" and top not in sys.stdlib_module_names:
            yield top, line


def api_modules() -> list[Module]:
    return [module for module in modules() if is_api(module.name)]


def is_api(name: str) -> bool:
    """Whether a module holds messages: `api`, or one of a package of that name."""
    return f"{name}.".partition(".api.")[1] != ""


def measure() -> dict[str, object]:
    run = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True, timeout=60)
    return json.loads(run.stdout)


def test_each_library_is_imported_only_where_it_belongs() -> None:
    strays = [
        f"{module.name}:{line} imports {library}"
        for module in modules()
        for library, line in third_party(module)
        if not any(inside(module.name, home) for home in HOMES.get(library, ()))
    ]
    assert strays == []


def test_every_library_with_a_home_is_used() -> None:
    used = {library for module in modules() for library, _ in third_party(module)}
    assert set(HOMES) == used


def test_there_is_an_api_module_to_look_at() -> None:
    assert "soundstage.data.kv.api" in {module.name for module in api_modules()}


def test_api_modules_import_only_the_standard_library_msgspec_core_and_each_other() -> None:
    strays = [
        f"{module.name}:{line} imports {name}"
        for module in api_modules()
        for name, line in module.imports()
        if name.partition(".")[0] not in {*sys.stdlib_module_names, "msgspec"}
        and not inside(name, "soundstage.core")
        and not is_api(name)
    ]
    assert strays == []


def test_api_modules_have_no_cycle() -> None:
    names = {module.name for module in api_modules()}
    graph = {module.name: {name for name, _ in module.imports() if name in names} for module in api_modules()}
    assert len(list(graphlib.TopologicalSorter(graph).static_order())) == len(names)


def test_core_imports_nothing_of_ours_but_core() -> None:
    strays = [
        f"{module.name}:{line} imports {name}"
        for module in modules()
        if inside(module.name, "soundstage.core")
        for name, line in module.imports()
        if inside(name, "soundstage") and not inside(name, "soundstage.core")
    ]
    assert strays == []


def test_nothing_imports_testing() -> None:
    strays = [
        f"{module.name}:{line}"
        for module in modules()
        if not inside(module.name, "soundstage.testing")
        for name, line in module.imports()
        if inside(name, "soundstage.testing")
    ]
    assert strays == []


def test_importing_soundstage_loads_no_driver_server_or_metrics_library() -> None:
    loaded = measure()["loaded"]
    assert isinstance(loaded, list)
    assert {name.partition(".")[0] for name in loaded} & HEAVY == set()


def test_importing_soundstage_takes_less_than_100_ms_of_cpu() -> None:
    assert min(float(str(measure()["cpu_ms"])) for _ in range(3)) < IMPORT_CPU_MS_MAX


@pytest.mark.parametrize(
    "name", ["soundstage.data.kv.api", "soundstage.runtime.namespaces.api", "soundstage.catalogue"]
)
def test_a_declaration_loads_no_implementation(name: str) -> None:
    code = f"import sys, {name}; print([m for m in sys.modules if m.startswith('soundstage.')])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert "engines" not in run.stdout
    assert ".service'" not in run.stdout
