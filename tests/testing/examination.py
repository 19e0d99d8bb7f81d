"""Suites that are themselves under test: each runs over an engine with a mistake, in a run of pytest of its own."""

from __future__ import annotations

from pathlib import Path

import pytest


class Examination:
    """A plugin of pytest: counts the tests that `ran`, and keeps those that failed."""

    def __init__(self) -> None:
        self.failed: list[str] = []
        self.ran = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.ran += report.when == "call"
        if report.failed:
            self.failed.append(f"{report.nodeid} ({report.when})")

    def run(self, subject: Path, *options: str) -> None:
        """The tests of `subject` have run, and at least one of them did."""
        quiet = ["-q", "-p", "no:cacheprovider", "--no-header", "--no-summary", "--tb=no", "-W", "ignore"]
        code = pytest.main([str(subject), *options, *quiet], plugins=[self])
        assert code in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED), code
        assert self.ran, f"nothing of {subject} has run"
