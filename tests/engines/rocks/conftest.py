from __future__ import annotations

from pathlib import Path

import pytest

from soundstage.core.environment import VirtualEnvironment


@pytest.fixture
def environment() -> VirtualEnvironment:
    return VirtualEnvironment(seed=7)


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return str(tmp_path / "database")
