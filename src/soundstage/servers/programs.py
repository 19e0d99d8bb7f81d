"""Programs that servers are made of: the system's own where it has them, else unpacked from Debian's packages."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from soundstage.core.environment import Environment, SystemEnvironment
from soundstage.servers.debian import library_path, missing, unpack
from soundstage.servers.shelf import Note, Shelf
from soundstage.servers.work import Work

SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""Where Debian keeps servers, which an ordinary user's PATH leaves out."""


@dataclass(frozen=True)
class Program:
    """A program, the Debian packages that bring it, and where below the root they put it."""

    name: str
    packages: tuple[str, ...]
    pattern: str
    """A glob from the root, such as `usr/bin/memcached`."""


@dataclass(frozen=True)
class Tool:
    """A program that can be run: its path, and the variables it needs besides the environment's."""

    path: Path
    variables: Mapping[str, str] = field(default_factory=dict[str, str])


class Toolbox:
    """Finds what servers need on this machine, or brings it to `shelf`; `note` hears what is being done."""

    def __init__(self, shelf: Shelf, note: Note, environment: Environment | None = None) -> None:
        self.shelf = shelf
        self.note = note
        self.environment: Environment = environment or SystemEnvironment()

    def program(self, program: Program) -> Tool:
        """The program, the system's before an unpacked one. Raises `Unavailable` where it cannot be had."""
        return _of_system(program) or self.unpacked(program)

    def unpacked(self, program: Program) -> Tool:
        """The program out of packages unpacked on the shelf, whatever the system has."""
        name = f"debian-{program.packages[0]}"
        root = self.shelf.bring(name, lambda files: unpack(program.packages, files, self.work(files.parent)), self.note)
        found = sorted(root.glob(program.pattern))
        if not found:
            raise missing(program.packages, f"the packages of this system hold no {program.pattern}")
        return Tool(found[-1], {"LD_LIBRARY_PATH": library_path(root)})

    def work(self, folder: Path) -> Work:
        """Runs commands whose files go below `folder`."""
        return Work(folder / "work", self.environment, self.note)


def _of_system(program: Program) -> Tool | None:
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), *SYSTEM_FOLDERS))
    if found := shutil.which(program.name, path=path):
        return Tool(Path(found))
    placed = sorted(each for each in Path("/").glob(program.pattern) if os.access(each, os.X_OK))
    return Tool(placed[-1]) if placed else None
