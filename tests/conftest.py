"""What holds for every test: no callback of an event loop holds it for long."""

from __future__ import annotations

from tests.slow_callbacks import (
    pytest_configure,
    pytest_runtest_call,
    pytest_terminal_summary,
    pytest_unconfigure,
)

__all__ = ["pytest_configure", "pytest_runtest_call", "pytest_terminal_summary", "pytest_unconfigure"]
