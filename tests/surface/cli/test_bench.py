from __future__ import annotations

from pathlib import Path

import pytest
from tests.surface.cli.conftest import Cli

from soundstage.surface.cli import bench as command
from soundstage.surface.cli.bench import Benchmark, benchmarks, checkout
from soundstage.surface.cli.root import run

RUNNABLE = '''"""How fast is it?

And more.
"""
import sys

if __name__ == "__main__":
    print("run with", sys.argv[1:])
    sys.exit("--quick" in sys.argv)
'''


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A source checkout with one benchmark, as the working folder, of a package installed from elsewhere."""
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "__init__.py").write_text("")
    (tmp_path / "benchmarks" / "speed.py").write_text(RUNNABLE)
    (tmp_path / "benchmarks" / "convention.py").write_text('"""No benchmark: nothing runs it."""\n')
    monkeypatch.setattr(command.soundstage, "__file__", str(tmp_path / "lib" / "site" / "soundstage" / "__init__.py"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_can_be_run_is_a_benchmark_with_its_question(source: Path) -> None:
    assert benchmarks(source / "benchmarks") == [Benchmark("speed", "How fast is it?")]


@pytest.mark.usefixtures("source")
def test_without_a_name_all_are_listed(cli: Cli) -> None:
    assert cli("bench").json == {"benchmarks": [{"name": "speed", "question": "How fast is it?"}]}


@pytest.mark.usefixtures("source")
def test_a_benchmark_is_run_with_what_it_prints(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(("bench", "speed")) == 0
    assert capfd.readouterr().out == "run with []\n"


@pytest.mark.usefixtures("source")
def test_a_benchmark_that_fails_fails_the_command(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(("bench", "speed", "--quick")) == 1
    assert capfd.readouterr().out == "run with ['--quick']\n"


@pytest.mark.usefixtures("source")
@pytest.mark.parametrize(
    ("name", "hint"), [("sped", "did you mean 'speed'?"), ("zzz", "see soundstage bench"), ("convention", "see")]
)
def test_a_name_that_is_none_is_refused(cli: Cli, name: str, hint: str) -> None:
    ended = cli("bench", name)
    assert ended.code == 2
    assert f"there is no benchmark {name!r}" in ended.err
    assert hint in ended.err


def test_the_package_itself_tells_its_checkout() -> None:
    assert (checkout() / "pyproject.toml").is_file()


def test_an_installed_package_has_no_benchmarks(source: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    (source / "elsewhere").mkdir()
    monkeypatch.chdir(source / "elsewhere")
    ended = cli("bench")
    assert ended.code == 2
    assert "part of a source checkout" in ended.err
    assert str(source / "elsewhere") in ended.err
