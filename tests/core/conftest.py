from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from soundstage.core.environment import VirtualEnvironment


@pytest.fixture(scope="package", autouse=True)
def repeatable_examples() -> Iterator[None]:
    """Hypothesis draws the same examples in every run of these tests."""
    before = settings.get_current_profile_name()
    settings.register_profile("core", derandomize=True, deadline=None, database=None)
    settings.load_profile("core")
    yield
    settings.load_profile(before)


@pytest.fixture
def environment() -> VirtualEnvironment:
    return VirtualEnvironment(seed=7)
