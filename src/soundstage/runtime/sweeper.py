"""Removes dead rows and entries a little at a time, no faster than the stage file allows."""

from __future__ import annotations

from soundstage.core.environment import Environment
from soundstage.engines.log.port import Log
from soundstage.engines.records.port import Records
from soundstage.runtime.config import SweeperConfig


class Sweeper:
    """Sweeps one engine. `backlog` and `oldest_due_us` are of the last round; `purged` counts since the start."""

    def __init__(self, name: str, engine: Records, config: SweeperConfig, environment: Environment) -> None:
        self.name = name
        self.purged: int = 0
        self.backlog: int = 0
        self.oldest_due_us: int | None = None
        self._engine = engine
        self._config = config
        self._environment = environment

    async def round(self) -> float | None:
        """Remove what one round may; returns how long to rest, None when nothing is left to do."""
        began_ns = self._environment.monotonic_ns()
        sweep = await self._engine.sweep(self._config.rows_per_round)
        self.purged += sweep.purged
        self.backlog, self.oldest_due_us = sweep.backlog, sweep.oldest_due_us
        if not sweep.purged or not sweep.backlog:
            return None
        return _rest_s(sweep.purged, self._config, self._environment.monotonic_ns() - began_ns)

    def overdue_s(self, now_us: int) -> float:
        """For how long the oldest dead row has been waiting to be removed."""
        return 0.0 if self.oldest_due_us is None else max(0.0, (now_us - self.oldest_due_us) / 1e6)


class LogSweeper:
    """Sweeps one log; `removed` counts entries since the start."""

    def __init__(self, name: str, log: Log, config: SweeperConfig, environment: Environment) -> None:
        self.name = name
        self.removed: int = 0
        self._log = log
        self._config = config
        self._environment = environment

    async def round(self) -> float | None:
        """Look at as many entries as one round may; returns how long to rest, None when nothing is left to do."""
        began_ns = self._environment.monotonic_ns()
        sweep = await self._log.sweep(self._config.rows_per_round)
        self.removed += sweep.removed
        if not sweep.more:
            return None
        return _rest_s(sweep.examined, self._config, self._environment.monotonic_ns() - began_ns)


def _rest_s(rows: int, config: SweeperConfig, took_ns: int) -> float:
    """Until as much time has passed as the stage file wants for so many rows."""
    return max(0.0, rows / config.rows_per_second - took_ns / 1e9)
