"""Pairs of embedded engines, as the suite's fixture opens them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar, cast

from tests.engines.host.hosted import Hosted

from soundstage.core.environment import Environment
from soundstage.core.size import Size
from soundstage.engines.log.memory import MemoryLog
from soundstage.engines.log.rocksdb import RocksLog, open_rocksdb_log
from soundstage.engines.records.memory import MemoryRecords
from soundstage.engines.records.rocksdb import RocksOptions, open_rocksdb
from soundstage.testing.outbox import OpenPair, Pair

SMALL = Size(1 << 20)
OPTIONS = RocksOptions(cache=SMALL, low_water=SMALL)

T = TypeVar("T")

Make = Callable[[Path, Environment], Pair]


def opener(make: Make, folder: Path) -> OpenPair:
    """Pairs that `make` makes, started."""

    async def open_pair(environment: Environment) -> Pair:
        pair = make(folder, environment)
        await pair.start()
        return pair

    return open_pair


def kept(records: type[MemoryRecords] = MemoryRecords, log: type[MemoryLog] = MemoryLog) -> Make:
    """Engines in memory, which are the same each time."""
    made: list[Pair] = []

    def make(folder: Path, environment: Environment) -> Pair:
        if not made:
            made.append(Pair(records(environment), log(environment)))
        return made[0]

    return make


def beside(folder: Path, environment: Environment) -> Pair:
    """One database."""
    records = open_rocksdb(str(folder / "both"), OPTIONS, environment)
    return Pair(records, RocksLog(records.database, environment, records.enlist))


def apart(folder: Path, environment: Environment) -> Pair:
    """Two databases."""
    records = open_rocksdb(str(folder / "records"), OPTIONS, environment)
    return Pair(records, open_rocksdb_log(str(folder / "log"), OPTIONS, environment))


def mixed() -> Make:
    """Records on disk, and a log in memory that is the same each time."""
    log: list[MemoryLog] = []

    def make(folder: Path, environment: Environment) -> Pair:
        log.append(log[0] if log else MemoryLog(environment))
        return Pair(open_rocksdb(str(folder / "records"), OPTIONS, environment), log[0])

    return make


def noted() -> Make:
    """Records in memory that are the same each time, and a log on disk."""
    records: list[MemoryRecords] = []

    def make(folder: Path, environment: Environment) -> Pair:
        records.append(records[0] if records else MemoryRecords(environment))
        return Pair(records[0], open_rocksdb_log(str(folder / "log"), OPTIONS, environment))

    return make


def hosted(make: Make, *, records: bool = True, log: bool = True) -> Make:
    """Both in another process, as far as their callers can tell, or one of them."""

    def make_hosted(folder: Path, environment: Environment) -> Pair:
        made = make(folder, environment)
        return Pair(
            elsewhere(made.records, "records", folder, environment) if records else made.records,
            elsewhere(made.log, "log", folder, environment) if log else made.log,
        )

    return make_hosted


def elsewhere(engine: T, port: str, folder: Path, environment: Environment) -> T:
    """The `engine` as another process has it that asks this one."""
    return cast("T", Hosted(engine, port, folder / f"{port}-host", environment))


Opened = Callable[[Environment], Awaitable[Pair]]
