from __future__ import annotations

import sys

import pytest
from tests.surface.cli.conftest import Cli

from soundstage.catalogue import SYSTEMS
from soundstage.core.operation import operations_of
from soundstage.surface.cli.commands import COMMANDS, front_page
from soundstage.surface.cli.help import Section, page


def test_the_front_page_lists_every_system_with_its_stability() -> None:
    text = " ".join(front_page().split())
    for system in SYSTEMS:
        assert f"{system.name} {system.summary} [{system.stability}]" in text


def test_the_front_page_lists_every_command() -> None:
    text = front_page()
    assert [name for name in COMMANDS if name not in text] == []


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_pages_fit_the_terminal(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert max(map(len, front_page().splitlines())) <= min(columns, 110)


def test_a_long_label_has_its_text_below() -> None:
    long = "--a-flag-with-a-name-that-takes-most-of-the-line TEXT"
    lines = page("Usage: x", "About.", [Section("Flags", "", [(long, "what it does"), ("--b", "more")])]).splitlines()
    assert lines[5:] == [f"  {long}", "       what it does", "  --b  more"]


def test_an_intro_keeps_its_paragraphs() -> None:
    assert "one\n\ntwo" in page("Usage: x", "one\n\ntwo", [])


@pytest.mark.parametrize(("terminal", "begins"), [(True, "\033[1mFlags\033[0m"), (False, "Flags")])
def test_titles_are_bold_on_a_terminal(monkeypatch: pytest.MonkeyPatch, terminal: bool, begins: str) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    assert begins in page("Usage: x", "", [Section("Flags", "", [("--b", "")])]).splitlines()


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_the_help_of_a_system_lists_its_operations(cli: Cli, system: object) -> None:
    from importlib import import_module

    ended = cli(system.name, "--help")  # type: ignore[attr-defined]
    calls = import_module(f"{system.path}.api").CALLS  # type: ignore[attr-defined]
    listed = {line.split()[0] for line in ended.out.splitlines() if line.startswith("  ") and line.strip()}
    assert ended.code == 0
    assert {name.replace("_", "-") for name in operations_of(calls)} <= listed


def test_the_help_of_an_operation_says_what_it_does_and_takes(cli: Cli) -> None:
    out = cli("kv", "put-items", "--help").out
    assert out.startswith("Usage: soundstage kv put-items --namespace TEXT --id TEXT --item KEY=VALUE [OPTIONS]")
    assert "they become visible together" in out
    assert "--item KEY=VALUE" in out
    assert "--url URL" in out


def test_switches_show_their_opposite_and_empty_messages_have_none(cli: Cli) -> None:
    out = cli("kv", "get-items", "--help").out
    assert "--selection.[no-]include-values" in out
    assert "--predicate.match-all " in out


@pytest.mark.parametrize("command", ["up", "config", "engines", "data", "datasets", "bench", "demo"])
def test_every_command_has_help(cli: Cli, command: str) -> None:
    ended = cli(command, "--help")
    assert ended.code == 0
    assert ended.out.startswith(f"Usage: soundstage {command}")
