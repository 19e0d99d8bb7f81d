"""Keeps columnar tables quick to read, and their disk from filling.

Small files become one, old snapshots go, and so do files that no snapshot needs. Done for every table of an engine, one
after another, by timed work that one process of the stage does at a time. Each step is a change like anybody's, so that
a writer who comes in between loses nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from typing import Protocol

from soundstage.core.environment import Environment
from soundstage.core.errors import NotFound, SoundstageError
from soundstage.engines.tables.port import Tables, TableUpkeep
from soundstage.runtime.config import TablesConfig
from soundstage.runtime.schedule import Schedule, Timed
from soundstage.runtime.timetable import Every

log: logging.Logger = logging.getLogger("soundstage.runtime")


class KeptTables(Tables, TableUpkeep, Protocol):
    """An engine of tables that can be kept in order."""


class Upkeep:
    """Keeps the tables of one engine, and counts since the start.

    `compacted` are branches, `expired` snapshots, `removed` files, `failures` tables that were left as they were.
    """

    def __init__(self, name: str, tables: KeptTables, config: TablesConfig, environment: Environment) -> None:
        self.name = name
        self.compacted: int = 0
        self.expired: int = 0
        self.removed: int = 0
        self.failures: int = 0
        self._tables = tables
        self._config = config
        self._environment = environment

    async def round(self) -> None:
        """Every table was kept in order, or counted as a failure, logged and left for the next round.

        Raises when the engine does not even tell which tables there are.
        """
        for name in await self._tables.tables():
            try:
                await self._keep(name)
            except NotFound:
                # It was dropped meanwhile.
                continue
            except SoundstageError as error:
                self.failures += 1
                log.warning(
                    "the upkeep of a table failed", extra={"engine": self.name, "table": name, "reason": str(error)}
                )

    async def _keep(self, name: str) -> None:
        now_us = self._environment.now_us()
        if self._config.compact:
            for branch in (await self._tables.info(name)).branches:
                self.compacted += await self._tables.compact(name, branch=branch) is not None
        before_us = now_us - self._config.history_ttl // 1_000
        self.expired += await self._tables.expire(name, before_us, self._config.history_keep)
        self.removed += await self._tables.clean(name, now_us - self._config.orphan_ttl // 1_000)


async def follow(upkeeps: Sequence[Upkeep], schedule: Schedule, config: TablesConfig) -> None:
    """Every engine has its round whenever one is due; never returns."""
    if not config.upkeep or not upkeeps:
        # A role that ends is begun again.
        await asyncio.Event().wait()
    await schedule.follow(Timed("upkeep", Every(config.interval), partial(keep_all, upkeeps), jitter_s=5.0))


async def keep_all(upkeeps: Sequence[Upkeep]) -> None:
    """Every engine had its round; the first failure is raised when all have."""
    failed: SoundstageError | None = None
    for each in upkeeps:
        try:
            await each.round()
        except SoundstageError as error:
            each.failures += 1
            failed = failed or error
    if failed is not None:
        raise failed
