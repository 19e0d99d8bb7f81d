"""`soundstage config`: what a stage would be started with, and why."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import msgspec
from cyclopts import App

from soundstage.core.errors import SoundstageError
from soundstage.runtime.checking import problems
from soundstage.runtime.settings import default_text, keys, settings
from soundstage.surface.cli.failure import DONE, USAGE, CommandFailure, line_of
from soundstage.surface.cli.help import HelpPages
from soundstage.surface.cli.options import Folder, Output
from soundstage.surface.cli.output import chosen_format, show
from soundstage.surface.cli.target import VARIABLES, load, stage_file

app: App = App(
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
    """Say whether a stage could start with this configuration, and else what is wrong with it.

    A value that cannot be read is told alone; once all can be read, everything else is told at once. Opens no
    engine. Exits with 2 when something is wrong.
    """
    form = chosen_format(output)
    checked = _checked(folder)
    if form == "table":
        _tell(checked)
    else:
        wrong = [error.problem() for error in checked.problems]
        show(Checked(checked.path, not wrong, wrong, checked.ignored), form)
    return USAGE if checked.problems else DONE


class _Found(NamedTuple):
    path: str | None
    problems: list[SoundstageError]
    ignored: list[str]


def _checked(folder: Folder) -> _Found:
    try:
        loaded = load(folder)
    except CommandFailure as failure:
        return _Found(stage_file(folder), [failure.error], [])
    # Those of the command line are no keys, and are no mistake.
    ignored = [name for name in loaded.ignored if name not in VARIABLES]
    return _Found(loaded.path, problems(loaded.config), ignored)


def _tell(found: _Found) -> None:
    for error in found.problems:
        print(line_of(error), file=sys.stderr)
    for name in found.ignored:
        print(f"soundstage: the environment variable {name} sets nothing: it is no key", file=sys.stderr)
    if not found.problems:
        print(f"ok: {found.path or 'no stage file, defaults'}")


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
