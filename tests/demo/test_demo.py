"""`soundstage demo --once` on the real data, as a visitor runs it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """The demo, run to its end with a temporary folder of its own."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("SOUNDSTAGE_")}
    variables["TMPDIR"] = str(tmp_path_factory.mktemp("demo"))
    return subprocess.run(
        [sys.executable, "-m", "soundstage", "demo", "--once"],
        env=variables,
        capture_output=True,
        text=True,
        timeout=380,
    )


def test_it_ends_with_0_and_without_complaint(ended: subprocess.CompletedProcess[str]) -> None:
    assert (ended.returncode, ended.stderr) == (0, "")


def test_every_rating_was_played(ended: subprocess.CompletedProcess[str]) -> None:
    assert "played    100,000 ratings in " in ended.stdout


def test_what_was_read_equals_the_source(ended: subprocess.CompletedProcess[str]) -> None:
    assert re.findall(r"(\S.*): ([\d,]+) equal the source", ended.stdout) == [
        ("titles", "1,682"),
        ("profiles", "943"),
        ("ratings in profiles", "100,000"),
        ("ratings as played", "100,000"),
    ]


def test_reads_and_writes_are_measured(ended: subprocess.CompletedProcess[str]) -> None:
    assert re.search(r"^reads     32,448, p50 \d+\.\d ms, p99 \d+\.\d ms$", ended.stdout, re.MULTILINE)
    assert re.search(r"^writes    10,816, p50 \d+\.\d ms, p99 \d+\.\d ms$", ended.stdout, re.MULTILINE)


def test_the_console_is_named(ended: subprocess.CompletedProcess[str]) -> None:
    assert re.fullmatch(r"console   http://127\.0\.0\.1:\d+/", ended.stdout.splitlines()[-1])


def test_its_folder_is_gone(ended: subprocess.CompletedProcess[str]) -> None:
    found = re.search(r"^data      (\S+)$", ended.stdout, re.MULTILINE)
    assert found is not None
    assert not Path(found[1]).exists()
