from __future__ import annotations

import pytest

from soundstage.core.environment import VirtualEnvironment


@pytest.fixture
def environment() -> VirtualEnvironment:
    return VirtualEnvironment()
