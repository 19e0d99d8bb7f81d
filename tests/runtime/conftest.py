from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, TypeAlias

import pytest
from tests.runtime.notes.api import Notes
from tests.runtime.notes.service import NotesService

from soundstage.catalogue import SYSTEMS
from soundstage.core.environment import Environment, VirtualEnvironment
from soundstage.core.namespace import NamespaceSpec
from soundstage.core.system import System
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.stage import Stage

NOTES = System("notes", "tests.runtime.notes", "Text by name", doors=("lines", "sheets"))

OpenStage: TypeAlias = Callable[..., Stage]


@pytest.fixture
def environment() -> VirtualEnvironment:
    return VirtualEnvironment(seed=7)


@pytest.fixture
def open_stage(environment: VirtualEnvironment) -> OpenStage:
    """Opens a stage in memory on the virtual clock, with the system `notes`."""

    def open(config: Mapping[str, Any] | None = None, env: Environment | None = None, **options: Any) -> Stage:
        return Stage.open(
            config=config, data="memory:", environment=env or environment, systems=(*SYSTEMS, NOTES), **options
        )

    return open


async def make(stage: Stage, name: str = "home", **parts: Any) -> None:
    """A namespace of notes exists."""
    await stage.client(Namespaces).put(namespace=NamespaceSpec(name=name, abstraction="notes", **parts))


def service_of(stage: Stage) -> NotesService:
    service = stage.systems.service("notes")
    assert isinstance(service, NotesService)
    return service


@pytest.fixture
async def stage(open_stage: OpenStage) -> AsyncIterator[Stage]:
    """A running stage with the namespace `home`."""
    async with open_stage() as stage:
        await make(stage)
        yield stage


@pytest.fixture
def notes(stage: Stage) -> Notes:
    return stage.client(Notes, "home")
