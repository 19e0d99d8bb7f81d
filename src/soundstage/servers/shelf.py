"""The folder of what servers need: installed once, used by all processes of the user.

    <folder>/installed/<name>/       complete when it appears, by one rename
    <folder>/running/<name>/         what `soundstage servers up` started: its data, logs and state
    <folder>/.staging/<name>/        one installation at work; deleted when it ends
    <folder>/.locks/<name>           locked by whoever installs it

The folder may be deleted whenever no server of it runs.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from soundstage.core.errors import InvalidArgument, Unavailable

Note: TypeAlias = Callable[[str], None]
"""Told what is being done, a few times a second, and may raise to cancel it."""


def servers_folder() -> Path:
    """Where servers are kept: `$SOUNDSTAGE_SERVERS`, `$XDG_CACHE_HOME/soundstage/servers` or below `~/.cache`.

    The folder need not exist. Raises `InvalidArgument` when there is no home folder to put it in.
    """
    if chosen := os.environ.get("SOUNDSTAGE_SERVERS"):
        return Path(chosen).expanduser().absolute()
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        root = base if base.is_absolute() else Path.home() / ".cache"
    except RuntimeError as error:
        raise InvalidArgument("there is no home folder to keep servers in", hint="set SOUNDSTAGE_SERVERS") from error
    return root / "soundstage" / "servers"


class Shelf:
    """Installed things by name, in one folder, safe against other processes and threads that use the same one."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder: Path = folder or servers_folder()

    def place(self, name: str) -> Path:
        """The folder that holds, or would hold, what is called `name`."""
        return self.folder / "installed" / name

    def holds(self, name: str) -> bool:
        """Whether it is installed."""
        return self.place(name).is_dir()

    def bring(self, name: str, install: Callable[[Path], None], note: Note) -> Path:
        """The folder of what is called `name`, which `install` has filled unless it was there.

        Any number of processes may ask at once: one installs, the others wait for it. What fails or is killed
        leaves nothing behind. `install` gets an empty folder whose parent is its own too, and which is renamed
        when it returns: what it writes there names no path of the folder.
        """
        if self.holds(name):
            return self.place(name)
        with self._faults_reported(), self.locked(name, lambda: note(f"waiting for another that brings {name}")):
            if not self.holds(name):
                self._fill(name, install)
        return self.place(name)

    @contextmanager
    def locked(self, name: str, waiting: Callable[[], None]) -> Generator[None]:
        """Held by one thread of one process at a time; the kernel frees it on death. Calls `waiting` if it waits."""
        locks = self.folder / ".locks"
        locks.mkdir(parents=True, exist_ok=True)
        with (locks / name).open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _fill(self, name: str, install: Callable[[Path], None]) -> None:
        stage = self.folder / ".staging" / name
        shutil.rmtree(stage, ignore_errors=True)
        (stage / "files").mkdir(parents=True)
        try:
            install(stage / "files")
            self.place(name).parent.mkdir(parents=True, exist_ok=True)
            (stage / "files").rename(self.place(name))
        finally:
            shutil.rmtree(stage, ignore_errors=True)

    @contextmanager
    def _faults_reported(self) -> Generator[None]:
        try:
            yield
        except OSError as error:
            raise Unavailable(
                f"the folder of servers {self.folder} cannot be written: {error}",
                hint="free some space there, or set SOUNDSTAGE_SERVERS to a folder that you can write",
                retryable=False,
            ) from error
