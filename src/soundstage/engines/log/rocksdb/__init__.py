"""The log port on RocksDB: in the folder of an embedded database, which records may share.

`open_rocksdb_log(folder, RocksOptions(), environment)` gives the engine on a folder of its own, and
`RocksLog(records.database, environment)` one beside records.
"""

from __future__ import annotations

from soundstage.core.environment import Environment
from soundstage.engines.log.rocksdb.engine import RocksLog
from soundstage.engines.rocks.database import Database
from soundstage.engines.rocks.options import RocksOptions

__all__ = ["RocksLog", "RocksOptions", "open_rocksdb_log"]


def open_rocksdb_log(folder: str, options: RocksOptions, environment: Environment) -> RocksLog:
    """An engine on `folder`, which `start` opens and makes when it is not there."""
    return RocksLog(Database(folder, options, environment), environment)
