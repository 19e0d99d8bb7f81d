from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from tests.surface.cli.conftest import Cli


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder of the test's own: completion writes into it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("ZDOTDIR", raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return tmp_path


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_gets_all_commands_and_flags(cli: Cli, shell: str) -> None:
    ended = cli("--install-completion", "--shell", shell, "--file", "written")
    assert ended.code == 0
    script = Path(ended.out.strip()).read_text()
    assert [word for word in ("put-items", "namespaces", "datasets", "--metrics-listen") if word not in script] == []


def test_it_is_written_where_the_shell_looks(cli: Cli, home: Path) -> None:
    ended = cli("--install-completion", "--shell", "fish")
    assert ended.code == 0
    assert Path(ended.out.strip()).is_relative_to(home)


def test_the_start_up_file_of_bash_gets_a_line(cli: Cli, home: Path) -> None:
    written = cli("--install-completion", "--shell", "bash").out.strip()
    assert written in (home / ".bashrc").read_text()


def test_with_a_file_of_ones_own_no_start_up_file_is_touched(cli: Cli, home: Path) -> None:
    cli("--install-completion", "--shell", "bash", "--file", "written")
    assert not (home / ".bashrc").exists()


def test_a_shell_that_cannot_be_told_is_asked_for(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", "/bin/false")
    monkeypatch.setenv("PATH", "")  # without `ps`, by which the parent would be asked
    for name in [name for name in os.environ if name.endswith("_VERSION")]:
        monkeypatch.delenv(name)
    ended = cli("--install-completion")
    assert ended.code == 2
    assert "--shell" in ended.err


def test_bash_completes_by_it(cli: Cli, home: Path) -> None:
    cli("--install-completion", "--shell", "bash", "--file", "written")
    asked = (
        "source written; COMP_WORDS=(soundstage kv put-); COMP_CWORD=2; "
        "_$(complete -p soundstage | sed 's/.*-F _\\([^ ]*\\).*/\\1/'); echo ${COMPREPLY[@]}"
    )
    shown = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, cwd=home, timeout=60, check=False)
    assert shown.stdout.split() == ["put-items", "put-value"], shown.stderr
