from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from soundstage.core.errors import Unavailable
from soundstage.servers import wheels as module
from soundstage.servers.programs import Toolbox
from soundstage.servers.shelf import Shelf
from soundstage.servers.wheels import Wheels, installer, wheels

KINDS = Path(module.__file__).parent / "kinds"


def no_module(name: str) -> None:
    """No module is found, whatever its name."""


def no_program(name: str) -> None:
    """No program is found, whatever its name."""


def every_program(name: str) -> str:
    return f"/usr/bin/{name}"


@pytest.mark.parametrize("listed", sorted(path.name for path in KINDS.glob("*.txt")))
def test_every_package_of_a_list_has_one_version_and_its_digests(listed: str) -> None:
    text = (KINDS / listed).read_text()
    entries = [entry for entry in re.split(r"\n(?=\S)", text) if entry and not entry.startswith("#")]
    assert entries
    assert all(re.match(r"[a-z0-9-]+==\S+", entry) and "--hash=sha256:" in entry for entry in entries)


def test_what_is_on_the_shelf_is_not_brought_again(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    heard: list[str] = []
    toolbox = Toolbox(shelf, heard.append)
    names: list[str] = []

    class Noting(Shelf):
        def bring(self, name: str, install: object, note: object) -> Path:
            names.append(name)
            return self.place(name)

    found = wheels("moto", "s3.txt", Toolbox(Noting(tmp_path), heard.append))
    assert (heard, toolbox.shelf.holds(names[0])) == ([], False)
    assert names[0].startswith("moto-")
    assert names[0].endswith(f"-python{sys.version_info.major}.{sys.version_info.minor}")
    assert (found.folder, found.python) == (shelf.place(names[0]), sys.executable)


def test_a_program_of_the_wheels_sees_them_and_no_others_of_the_users(tmp_path: Path) -> None:
    (tmp_path / "of_ours.py").write_text("print('found')")
    brought = Wheels(tmp_path, sys.executable)
    run = subprocess.run(
        [brought.python, "-m", "of_ours"], env={**os.environ, **brought.variables}, capture_output=True, text=True
    )
    assert (run.stdout, (tmp_path / "__pycache__").exists()) == ("found\n", False)


def test_the_pip_of_this_interpreter_is_used() -> None:
    assert installer() == (sys.executable, "-m", "pip", "install")


def test_another_pip_is_told_for_whom(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", no_module)
    monkeypatch.setattr(shutil, "which", every_program)
    assert installer() == ("/usr/bin/pip", "--python", sys.executable, "install")


def test_without_any_pip_the_refusal_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", no_module)
    monkeypatch.setattr(shutil, "which", no_program)
    with pytest.raises(Unavailable) as refused:
        installer()
    assert "ensurepip" in str(refused.value.hint)
