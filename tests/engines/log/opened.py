"""Engines as the suite's fixtures open them."""

from __future__ import annotations

from pathlib import Path

from soundstage.core.environment import Environment
from soundstage.core.size import Size
from soundstage.engines.log.memory import MemoryLog
from soundstage.engines.log.port import Log
from soundstage.engines.log.rocksdb import RocksOptions, open_rocksdb_log
from soundstage.engines.rocks.options import Durability
from soundstage.testing.log import OpenLog

SMALL = Size(1 << 20)


def in_memory() -> OpenLog:
    """Engines that are kept for as long as the opener, as folders are."""
    kept: dict[str, MemoryLog] = {}

    async def open_log(environment: Environment, store: str = "store") -> Log:
        engine = kept.setdefault(store, MemoryLog(environment))
        await engine.start()
        return engine

    return open_log


def on_disk(folder: Path, durability: Durability) -> OpenLog:
    """Databases below `folder`."""

    async def open_log(environment: Environment, store: str = "store") -> Log:
        options = RocksOptions(durability=durability, cache=SMALL, low_water=SMALL)
        engine = open_rocksdb_log(str(folder / store), options, environment)
        await engine.start()
        return engine

    return open_log
