"""Each example is a folder with one command, and that command prints what its page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
FOLDERS = sorted(path for path in EXAMPLES.iterdir() if path.is_dir())

for_each_example = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)


def fence(page: Path, language: str) -> str:
    """The page's only fenced block in `language`."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    return found


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The command of an example, run from the root as its page says, with temporary files under `folder`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SOUNDSTAGE_")}
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
    environment["TMPDIR"] = str(folder)
    return subprocess.run(["sh", "-c", command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100)


class Ran(NamedTuple):
    """An example that has ended: how, and what it left in its folder for temporary files and in the checkout."""

    folder: Path
    done: subprocess.CompletedProcess[str]
    left: list[Path]


@pytest.fixture(scope="module", params=FOLDERS, ids=lambda folder: folder.name)
def ran(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder: Path = request.param
    temporary = tmp_path_factory.mktemp(folder.name)
    before = set(ROOT.iterdir())
    done = run(fence(folder / "README.md", "sh"), temporary)
    return Ran(folder, done, [*temporary.iterdir(), *(set(ROOT.iterdir()) - before)])


@pytest.mark.slow
def test_the_command_succeeds_without_complaint(ran: Ran) -> None:
    assert (ran.done.returncode, ran.done.stderr) == (0, "")


@pytest.mark.slow
def test_the_command_prints_what_the_page_says(ran: Ran) -> None:
    assert ran.done.stdout == fence(ran.folder / "README.md", "text")


@pytest.mark.slow
def test_the_command_leaves_nothing_behind(ran: Ran) -> None:
    assert ran.left == []


@for_each_example
def test_an_example_is_one_command(folder: Path) -> None:
    assert len(fence(folder / "README.md", "sh").splitlines()) == 1


@for_each_example
def test_the_list_names_the_example_and_its_command(folder: Path) -> None:
    command = fence(folder / "README.md", "sh").strip()
    rows = [line for line in (EXAMPLES / "README.md").read_text().splitlines() if f"]({folder.name}/README.md)" in line]
    assert len(rows) == 1
    assert f"`{command}`" in rows[0]
