"""Which systems and parts of the stage are simulated, and by what."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from soundstage.catalogue import SYSTEMS
from soundstage.core.errors import NotFound
from soundstage.core.names import nearest
from soundstage.testing.simulation.scenario import Scenario
from soundstage.testing.simulation.storage import STORAGES, Storages

PACKAGE = "soundstage.testing.simulation"

PARTS = ("caches", "changes", "dictionaries", "files", "leases", "schedule")
"""What systems stand on, and is simulated by itself."""


def simulated() -> list[str]:
    """The systems that the catalogue says are simulated, and the parts of the stage that are, by name."""
    return sorted([*PARTS, *(system.name for system in SYSTEMS if system.simulated)])


def find_scenario(name: str) -> Scenario:
    """The scenario of a system or a part, or the one at `module:attribute`. Raises `NotFound` with what there is."""
    if ":" in name:
        return _load(name)
    module = f"{PACKAGE}.{name}"
    if name in simulated() and find_spec(module) is not None:
        return _load(f"{module}:SCENARIO")
    raise NotFound(f"no system {name!r} is simulated", hint=_hint(name, simulated(), "a scenario"))


def find_storages(name: str) -> Storages:
    """What opens the engine of that name, or the one at `module:attribute`. Raises `NotFound` with what there is."""
    if ":" in name:
        return _load(name)
    found = STORAGES.get(name)
    if found is None:
        raise NotFound(f"there is no engine {name!r} to simulate on", hint=_hint(name, list(STORAGES), "an engine"))
    return found


def _load(path: str) -> Any:
    module, _, attribute = path.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise NotFound(f"{path} cannot be loaded: {error}", hint="write package.module:attribute") from error


def _hint(name: str, known: list[str], what: str) -> str:
    close = nearest(name, known)
    listed = f"did you mean {close!r}?" if close else f"there are {', '.join(known)}"
    return f"{listed}; {what} of your own is named as package.module:attribute"
