"""Suites of a test file written for the occasion, by a pytest that nothing of this project reaches."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from suite_run import Outcome, Suite, run

PYTEST = (
    f"env PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 {sys.executable} -m pytest -q -p no:cacheprovider -c /dev/null --rootdir=."
)


def suite_of(folder: Path, code: str, at_least: int = 1) -> Suite:
    """A suite, to be run in `folder`, of one file of tests with the text `code`."""
    (folder / "test_sample.py").write_text(code)
    return Suite("sample", at_least, (*shlex.split(PYTEST), "test_sample.py"))


def ran(suite: Suite, folder: Path) -> Outcome:
    """What `suite` came to in `folder`, where its log and its report are, too."""
    return run(suite, folder, place=folder)
