"""What outlives a simulated process: the memory engine's dictionaries, or a folder of RocksDB.

A process ends in one of three ways. `stop`: it closed what it had open. `kill`: it ended at once, and the operating
system kept all that it was given. `power`: the machine lost power, and the disk has only what was flushed to it.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from soundstage.core.size import Size
from soundstage.engines.records.memory import MemoryRecords
from soundstage.engines.records.port import Records
from soundstage.testing.simulation.environment import SimulatedEnvironment

if TYPE_CHECKING:
    from soundstage.engines.rocks.database import Database
    from soundstage.testing.simulation.disk import ForgetfulDisk

End: TypeAlias = Literal["stop", "kill", "power"]
"""How a process ended."""

SHARED_MEMORY = Path("/dev/shm")

_MIB = 1 << 20


class Storage(Protocol):
    """Holds an engine's data from one process to the next."""

    takes_parts: bool
    """Whether the port allows the engine to apply an unacknowledged batch in part."""

    ends: tuple[End, ...]
    """The ways to end a process after which everything acknowledged must be there."""

    def open(self, environment: SimulatedEnvironment) -> Records:
        """An engine, not started, on what the last process left; on nothing at first."""
        ...

    def leave(self, end: End) -> None:
        """The process ended; its engine, which is stopped after this, changes nothing any more."""
        ...

    def close(self) -> None:
        """Nothing is left behind on the machine. Idempotent."""
        ...


class MemoryStorage:
    """One memory engine for the whole run; opening it again finds what was there.

    Here it stands for engines with replicas too, so that it is put through what only those do.
    """

    takes_parts = True
    ends: tuple[End, ...] = ("stop", "kill")

    def __init__(self) -> None:
        self._engine: MemoryRecords | None = None

    def open(self, environment: SimulatedEnvironment) -> Records:
        if self._engine is None:
            self._engine = MemoryRecords(environment)
        return self._engine

    def leave(self, end: End) -> None:
        """Dictionaries stay what they are."""

    def close(self) -> None:
        self._engine = None


class RocksStorage:
    """A folder of its own for each process; the next one gets a copy as the machine would have kept it."""

    takes_parts = False

    def __init__(self, random: Random, within: str | None = None) -> None:
        self.durability: Literal["group", "always", "os"] = random.choices(("group", "always", "os"), (8, 1, 1))[0]
        self.ends: tuple[End, ...] = ("stop", "kill") if self.durability == "os" else ("stop", "kill", "power")
        self.flush_s: float = random.choice((0.0, 0.002, 0.002))
        self._root = Path(tempfile.mkdtemp(prefix="soundstage-simulation-", dir=within or scratch()))
        self._folders = self._removed = 0
        self._disk: ForgetfulDisk | None = None

    @property
    def folder(self) -> Path:
        """Where the present process has its data."""
        return self._root / str(self._folders)

    def open(self, environment: SimulatedEnvironment) -> Records:
        # The driver is loaded only by runs on this engine.
        from soundstage.engines.records.rocksdb import RocksRecords

        return RocksRecords(self.database(environment), environment)

    def database(self, environment: SimulatedEnvironment) -> Database:
        """The database of the next process, for whatever ports are to be on it."""
        from soundstage.engines.rocks.database import Database
        from soundstage.engines.rocks.options import RocksOptions
        from soundstage.testing.simulation.disk import ForgetfulDisk

        for number in range(self._removed, self._folders):
            shutil.rmtree(self._root / str(number), ignore_errors=True)
        self._removed = self._folders
        options = RocksOptions(durability=self.durability, cache=Size(8 * _MIB), low_water=Size(0))
        self._disk = ForgetfulDisk(str(self.folder), environment, self.flush_s)
        return Database(str(self.folder), options, environment, disk=self._disk)

    def leave(self, end: End) -> None:
        if end == "stop" or self._disk is None:
            return
        self._folders += 1
        self._disk.copy(str(self.folder), power_lost=end == "power")

    def close(self) -> None:
        shutil.rmtree(self._root, ignore_errors=True)


def scratch() -> str | None:
    """A folder in memory where the machine has one: no fault that is simulated here depends on a real disk."""
    return str(SHARED_MEMORY) if SHARED_MEMORY.is_dir() else None


Storages: TypeAlias = Callable[[Random], Storage]
"""Makes the storage of one run; what it chooses, it draws from the dice it is given."""


def memory(_random: Random) -> Storage:
    """Everything in dictionaries."""
    return MemoryStorage()


def rocksdb(random: Random) -> Storage:
    """RocksDB in a folder that is gone when the run has ended."""
    return RocksStorage(random)


STORAGES: Mapping[str, Storages] = {"memory": memory, "rocksdb": rocksdb}
