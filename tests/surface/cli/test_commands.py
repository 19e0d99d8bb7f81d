from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import EntryPoint

import pytest

from soundstage.catalogue import SYSTEMS
from soundstage.core.system import System
from soundstage.surface.cli import commands
from soundstage.surface.cli.commands import COMMANDS, front_page, systems

MARS = System("mars", "elsewhere.mars", "What a package adds", stability="experimental")
NO_SYSTEM = {"name": "venus"}
FALSE_KV = System("kv", "elsewhere.kv", "What would take our name", stability="stable")


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    systems.cache_clear()
    yield
    systems.cache_clear()


def offer(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Installed packages add these attributes of this module as systems."""
    points = [EntryPoint(name, f"tests.surface.cli.test_commands:{name}", commands.ENTRY_POINTS) for name in names]

    def installed(group: str) -> list[EntryPoint]:
        return points if group == commands.ENTRY_POINTS else []

    monkeypatch.setattr(commands, "entry_points", installed)


@pytest.mark.parametrize("path", [path for path, _ in COMMANDS.values()])
def test_every_command_is_where_the_list_says(path: str) -> None:
    module, _, name = path.partition(":")
    assert callable(getattr(import_module(module), name))


def test_no_command_has_the_name_of_a_system() -> None:
    assert set(COMMANDS) & {system.name for system in SYSTEMS} == set()


def test_the_systems_are_those_of_the_catalogue() -> None:
    assert list(systems().values()) == list(SYSTEMS)


def test_a_package_may_add_a_system(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, "MARS")
    assert systems()["mars"] == MARS
    assert "mars" in front_page()
    assert "What a package adds [experimental]" in " ".join(front_page().split())


def test_a_package_cannot_take_the_name_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, "FALSE_KV")
    assert systems()["kv"].path == "soundstage.data.kv"


def test_a_package_that_is_broken_is_told_and_breaks_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    offer(monkeypatch, "VENUS", "MARS")
    assert {"kv", "mars"} <= set(systems())
    assert "test_commands:VENUS' of an installed package is missing" in capsys.readouterr().err


def test_an_entry_point_that_is_no_system_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    offer(monkeypatch, "NO_SYSTEM", "MARS")
    assert "mars" in systems()
    assert capsys.readouterr().err == (
        "soundstage: the system 'tests.surface.cli.test_commands:NO_SYSTEM' of an installed package is missing: "
        "it is no System but dict (mend the package, or uninstall it)\n"
    )


def test_flags_and_commands_are_apart() -> None:
    flags = front_page().partition("Flags\n")[2]
    assert "--install-completion" in flags
    assert "--version" in flags
    assert "datasets" not in flags
