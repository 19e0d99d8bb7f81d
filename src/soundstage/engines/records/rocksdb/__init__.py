"""The records port on RocksDB: one folder, one process, durable by group commit.

`open_rocksdb(folder, RocksOptions(), environment)` gives the engine; `holder(folder)` tells who has a folder
open; `repair(folder)` keeps what is readable of a damaged one.
"""

from __future__ import annotations

from soundstage.core.environment import Environment
from soundstage.engines.records.rocksdb.engine import RocksRecords
from soundstage.engines.rocks.database import Database
from soundstage.engines.rocks.folder import Holder, holder
from soundstage.engines.rocks.options import RocksOptions
from soundstage.engines.rocks.repair import RepairReport, repair

__all__ = ["Holder", "RepairReport", "RocksOptions", "RocksRecords", "holder", "open_rocksdb", "repair"]


def open_rocksdb(folder: str, options: RocksOptions, environment: Environment) -> RocksRecords:
    """An engine on `folder`, which `start` opens and makes when it is not there."""
    return RocksRecords(Database(folder, options, environment), environment)
