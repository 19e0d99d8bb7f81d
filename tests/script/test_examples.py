"""Properties are held to what they say, and not to how long an example takes on the machine of the day."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

TESTS = """
import time

from hypothesis import given, settings
from hypothesis.strategies import integers


@settings(max_examples=1)
@given(integers())
def test_that_takes_its_time(number):
    time.sleep(0.3)
"""


@pytest.mark.slow
def test_an_example_that_takes_its_time_does_not_fail(tmp_path: Path) -> None:
    (tmp_path / "test_examples.py").write_text(TESTS)
    asked = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "tests.conftest", str(tmp_path / "test_examples.py"))
    run = subprocess.run((sys.executable, *asked), cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert "1 passed" in run.stdout, run.stdout
