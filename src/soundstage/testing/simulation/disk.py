"""A disk that forgets, at a loss of power, what was never flushed to it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from soundstage.engines.rocks.disk import Disk
from soundstage.testing.simulation.environment import SimulatedEnvironment

if TYPE_CHECKING:
    from rocksdict import Rdict

COPIES_MAX = 50

_LOGS = "*.log"


class ForgetfulDisk(Disk):
    """Remembers how much of each write-ahead log in `folder` is safe; RocksDB flushes its other files by itself.

    A flush takes `flush_s` of virtual time; where that is long, the engine hands it to its executor.
    """

    def __init__(self, folder: str, environment: SimulatedEnvironment, flush_s: float) -> None:
        super().__init__()
        self._folder = folder
        self._environment = environment
        self._flush_s = flush_s
        self._safe: dict[str, int] = {}

    def flush(self, db: Rdict) -> None:
        super().flush(db)
        self._safe = _sizes(self._folder)
        self._environment.work(self._flush_s)

    def copy(self, folder: str, *, power_lost: bool) -> None:
        """`folder` is what the machine would hold if the process that uses this disk ended now."""
        for _ in range(COPIES_MAX):
            before = _listing(self._folder)
            shutil.rmtree(folder, ignore_errors=True)
            try:
                shutil.copytree(self._folder, folder)
            except (OSError, shutil.Error):
                continue  # RocksDB's own threads removed a file meanwhile.
            if _listing(self._folder) == before:
                break
        else:
            raise RuntimeError(f"{self._folder} kept changing while it was copied")
        if power_lost:
            for name in _sizes(folder):
                os.truncate(Path(folder, name), self._safe.get(name, 0))


def _sizes(folder: str) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in Path(folder).glob(_LOGS)}


def _listing(folder: str) -> set[tuple[str, int]]:
    """What matters of a folder's contents: all but RocksDB's diary."""
    found: set[tuple[str, int]] = set()
    for entry in os.scandir(folder):
        if not entry.name.startswith("LOG"):
            try:
                found.add((entry.name, entry.stat().st_size))
            except FileNotFoundError:
                continue
    return found
