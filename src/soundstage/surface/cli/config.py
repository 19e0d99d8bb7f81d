"""`soundstage config`: what a stage would be started with, and why."""

from __future__ import annotations

import sys
from typing import Any

import msgspec
from cyclopts import App

from soundstage.runtime.checking import problems
from soundstage.runtime.settings import default_text, keys, settings
from soundstage.surface.cli.failure import DONE, USAGE, line_of
from soundstage.surface.cli.help import HelpPages
from soundstage.surface.cli.options import Folder, Output
from soundstage.surface.cli.output import chosen_format, show
from soundstage.surface.cli.target import load

app = App(
    name="config",
    help="The configuration: flags over environment over stage file over defaults.",
    help_format="plaintext",
    help_formatter=HelpPages(),
    version_flags=(),
)

_NO_FOLDER = Folder()


class Checked(msgspec.Struct, frozen=True):
    """What a check found. `ignored` are variables of the environment that look like ours and set nothing."""

    stage: str | None
    ok: bool
    problems: list[dict[str, Any]]
    ignored: list[str]


class ShownSetting(msgspec.Struct, frozen=True):
    key: str
    value: str
    source: str


class Settings(msgspec.Struct, frozen=True):
    """Every value in force."""

    settings: list[ShownSetting]


class ShownKey(msgspec.Struct, frozen=True):
    key: str
    type: str
    default: str | None
    bounds: str
    meaning: str


class Keys(msgspec.Struct, frozen=True):
    """Every key of the stage file."""

    keys: list[ShownKey]


@app.command
def check(*, folder: Folder = _NO_FOLDER, output: Output = None) -> int:
    """Say whether a stage could start with this configuration, and else everything that is wrong with it.

    Opens no engine. Exits with 2 when something is wrong.
    """
    loaded = load(folder)
    found = problems(loaded.config)
    if chosen_format(output) != "table":
        wrong = [error.problem() for error in found]
        show(Checked(loaded.path, not found, wrong, loaded.ignored), chosen_format(output))
        return USAGE if found else DONE
    for error in found:
        print(line_of(error), file=sys.stderr)
    for name in loaded.ignored:
        print(f"soundstage: the environment variable {name} is no key of the stage file", file=sys.stderr)
    if not found:
        print(f"ok: {loaded.path or 'no stage file, defaults'}")
    return USAGE if found else DONE


@app.command(name="show")
def show_settings(*, folder: Folder = _NO_FOLDER, output: Output = None) -> int:
    """Every value in force and where it came from; secrets are hidden."""
    found = [ShownSetting(*setting) for setting in settings(load(folder))]
    show(Settings(found), chosen_format(output))
    return DONE


@app.command
def default(*, output: Output = None) -> int:
    """A stage file with every key at its default, explained; as JSON the list of keys."""
    if output in ("json", "jsonl"):
        show(Keys([ShownKey(key.path, key.type, key.default, key.bounds, key.meaning) for key in keys()]), output)
    else:
        print(default_text(), end="")
    return DONE
