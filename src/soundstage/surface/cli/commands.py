"""What commands there are, and the page that lists them, without loading any."""

from __future__ import annotations

import sys
from functools import cache
from importlib.metadata import entry_points

from soundstage.catalogue import SYSTEMS
from soundstage.core.errors import InvalidArgument
from soundstage.core.system import System, system_of
from soundstage.surface.cli.help import Section, page

SUMMARY = "The ground floor of a streaming service's platform: a key-value store, and what further systems stand on."

COMMANDS = {
    "up": ("soundstage.surface.cli.up:up", "Start everything configured and serve it over HTTP"),
    "agent": ("soundstage.surface.cli.agent:agent", "Run a role on this host for a stage that runs on another"),
    "demo": ("soundstage.demo.command:demo", "Start a stage, fill it with real data and show what it does"),
    "config": ("soundstage.surface.cli.config:app", "Check and show the configuration"),
    "engines": ("soundstage.surface.cli.engines:app", "Show the engines of the stage, and try one"),
    "data": ("soundstage.surface.cli.data:app", "Back up, restore and repair the data folder"),
    "files": ("soundstage.surface.cli.files:app", "Send, fetch, show and delete files of a stage"),
    "datasets": ("soundstage.surface.cli.datasets:app", "List and fetch real data to work with"),
    "servers": ("soundstage.surface.cli.servers:app", "Start real servers on this machine, and end them"),
    "bench": ("soundstage.surface.cli.bench:bench", "Run the benchmarks of a source checkout"),
    "--install-completion": ("soundstage.surface.cli.completion:install", "Install completion for your shell"),
}
"""Import path and summary of every command that belongs to no system."""

ENTRY_POINTS = "soundstage.systems"


@cache
def systems() -> dict[str, System]:
    """Every system by name, without loading any; of two with one name the catalogue's counts.

    One that an installed package adds and cannot bring is told on standard error: the others work all the same.
    """
    added: dict[str, System] = {}
    for point in entry_points(group=ENTRY_POINTS):
        try:
            system = system_of(point)
        except InvalidArgument as error:
            print(f"soundstage: {error.detail} ({error.hint})", file=sys.stderr)
            continue
        added[system.name] = system
    return {**added, **{system.name: system for system in SYSTEMS}}


def front_page() -> str:
    """What `soundstage --help` prints."""
    commands = [(name, summary) for name, (_, summary) in COMMANDS.items() if not name.startswith("-")]
    found = sorted((name, f"{system.summary} [{system.stability}]") for name, system in systems().items())
    flags = [
        ("--help, -h", "Show this page, or after a command that command's"),
        ("--version", "Show the version"),
        *((name, summary) for name, (_, summary) in COMMANDS.items() if name.startswith("-")),
    ]
    sections = (
        Section("Stage", "", commands),
        Section("Systems", "Each has a verb per operation: soundstage SYSTEM OPERATION --help", found),
        Section("Flags", "", flags),
    )
    return page("Usage: soundstage COMMAND [OPTIONS]", SUMMARY, sections)
