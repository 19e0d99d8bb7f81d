"""What holds for every test: no callback holds an event loop for long, the public suites tell what they saw, and no
example that was drawn fails for what a clock on the wall says, which on a busy machine is chance."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from tests.frozen import pytest_collection
from tests.slow_callbacks import (
    pytest_configure,
    pytest_runtest_call,
    pytest_terminal_summary,
    pytest_unconfigure,
)

__all__ = [
    "pytest_collection",
    "pytest_configure",
    "pytest_runtest_call",
    "pytest_terminal_summary",
    "pytest_unconfigure",
]

pytest.register_assert_rewrite("soundstage.testing")

settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
