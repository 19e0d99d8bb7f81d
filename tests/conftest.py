"""What holds for every test: no callback holds an event loop for long, and the public suites tell what they saw."""

from __future__ import annotations

import pytest
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
