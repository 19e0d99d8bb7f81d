from __future__ import annotations

from importlib import import_module

import pytest
from tests.surface.cli.conftest import Cli

from soundstage.catalogue import SYSTEMS
from soundstage.core.operation import operations_of
from soundstage.surface.cli.commands import COMMANDS
from soundstage.surface.cli.flags import GLOBAL_NAMES

TARGET = ("--url", "--stage", "--data", "--token", "--timeout")

VERBS = [
    (system.name, name.replace("_", "-"))
    for system in SYSTEMS
    for name in operations_of(import_module(f"{system.path}.api").CALLS)
]


def flags_in(help: str) -> set[str]:
    return {word for line in help.splitlines() if line.startswith("  --") for word in line.split() if word[:2] == "--"}


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_every_operation_takes_the_flags_that_say_where_and_how(cli: Cli, verb: tuple[str, str]) -> None:
    assert {*TARGET, "--output", "--input"} <= flags_in(cli(*verb, "--help").out)


@pytest.mark.parametrize(
    "command",
    [("up",), ("config", "check"), ("config", "show"), ("engines", "list"), ("data", "backup"), ("data", "restore")],
    ids=" ".join,
)
def test_what_works_on_a_folder_takes_no_address(cli: Cli, command: tuple[str, ...]) -> None:
    found = flags_in(cli(*command, "--help").out)
    assert {"--stage", "--data", "--output"} <= found
    assert {"--url", "--token", "--timeout"} & found == set()


def test_every_flag_of_a_target_names_its_variable(cli: Cli) -> None:
    text = " ".join(cli("kv", "get-items", "--help").out.split())
    assert [flag for flag in TARGET if f"SOUNDSTAGE_{flag.removeprefix('--').upper()}" not in text] == []


def test_every_flag_of_up_names_its_variable(cli: Cli) -> None:
    text = cli("up", "--help").out
    assert [flag for flag in flags_in(text) if "SOUNDSTAGE_" not in text.partition(flag)[2][:160]] == []


def test_global_names_are_no_fields_of_a_message() -> None:
    assert {flag.removeprefix("--") for flag in TARGET} <= GLOBAL_NAMES


def test_every_command_of_the_list_prints_by_the_same_flag(cli: Cli) -> None:
    """The others draw on a screen: the demo, and what installs completion."""
    printing = [name for name in COMMANDS if name not in ("demo", "--install-completion")]
    verbs = {
        "config": "show",
        "engines": "list",
        "data": "backup",
        "datasets": "list",
        "files": "upload",
        "servers": "status",
    }
    for name in printing:
        assert "--output" in cli(*filter(None, (name, verbs.get(name))), "--help").out
