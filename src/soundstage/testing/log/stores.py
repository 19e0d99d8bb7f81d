"""What outlives a simulated process that has a log; see `soundstage.testing.simulation.storage`."""

from __future__ import annotations

from random import Random
from typing import Protocol

from soundstage.engines.log.memory import MemoryLog
from soundstage.engines.log.port import Log
from soundstage.testing.simulation.environment import SimulatedEnvironment
from soundstage.testing.simulation.storage import End, RocksStorage


class LogStore(Protocol):
    """Holds a log's data from one process to the next."""

    ends: tuple[End, ...]

    def open(self, environment: SimulatedEnvironment) -> Log:
        """An engine, not started, on what the last process left; on nothing at first."""
        ...

    def leave(self, end: End) -> None:
        """The process ended; its engine, which is stopped after this, changes nothing any more."""
        ...

    def close(self) -> None:
        """Nothing is left behind on the machine. Idempotent."""
        ...


class MemoryLogStore:
    """One memory engine for the whole run."""

    ends: tuple[End, ...] = ("stop",)

    def __init__(self, engine: type[MemoryLog] = MemoryLog) -> None:
        self._kind = engine
        self._engine: MemoryLog | None = None

    def open(self, environment: SimulatedEnvironment) -> Log:
        if self._engine is None:
            self._engine = self._kind(environment)
        return self._engine

    def leave(self, end: End) -> None:
        """Lists stay what they are."""

    def close(self) -> None:
        self._engine = None


class RocksLogStore:
    """A folder of RocksDB for each process, as the machine would have kept the last one's."""

    def __init__(self, random: Random) -> None:
        self._storage = RocksStorage(random)
        self.ends: tuple[End, ...] = self._storage.ends

    def open(self, environment: SimulatedEnvironment) -> Log:
        from soundstage.engines.log.rocksdb import RocksLog

        return RocksLog(self._storage.database(environment), environment)

    def leave(self, end: End) -> None:
        self._storage.leave(end)

    def close(self) -> None:
        self._storage.close()


def memory(_random: Random) -> LogStore:
    """Everything in lists."""
    return MemoryLogStore()


def rocksdb(random: Random) -> LogStore:
    """RocksDB in a folder that is gone when the run has ended."""
    return RocksLogStore(random)
