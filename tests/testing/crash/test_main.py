from __future__ import annotations

import re
from pathlib import Path

import pytest

from soundstage.testing.crash import __main__ as module
from soundstage.testing.crash.__main__ import main


@pytest.mark.slow
def test_a_run_prints_its_seed_and_what_was_kept(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--rounds", "1", "--seed", "7", "--calls", "40", "--writers", "3"]) == 0
    first, killed, powerless = capsys.readouterr().out.splitlines()
    assert first == "seed 7 rounds 1 writers 3 durability group"
    pattern = r"{}: 1 rounds, \d+ calls acknowledged, \d+ in doubt, {} bytes lost, every promise kept"
    assert re.fullmatch(pattern.format("SIGKILL", "0"), killed)
    assert re.fullmatch(pattern.format("power loss", r"\d+"), powerless)


@pytest.mark.slow
def test_a_broken_promise_is_printed_with_the_seed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--rounds", "1", "--seed", "7", "--calls", "40", "--durability", "os", "--losses", "power"]) == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith("power loss: broken with seed 7: ")


def test_without_a_compiler_it_is_said_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    assert main(["--rounds", "1"]) == 2
    assert "apt-get install gcc" in (errors := capsys.readouterr().err)
    assert "--losses process" in errors


def test_a_seed_is_drawn_and_printed_when_none_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    seeds: set[str] = set()
    for _ in range(3):
        main([])
        seeds |= set(re.findall(r"^seed (\d+) ", capsys.readouterr().out))
    assert len(seeds) == 3


def test_help_says_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "a server killed N times" in " ".join(capsys.readouterr().out.split())
    assert module.__doc__ is not None
