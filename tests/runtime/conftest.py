from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import pytest

from soundstage.catalogue import SYSTEMS
from soundstage.core.environment import Environment, VirtualEnvironment
from soundstage.core.system import System
from soundstage.runtime.stage import Stage

NOTES = System("notes", "tests.runtime.notes", "Text by name")

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
