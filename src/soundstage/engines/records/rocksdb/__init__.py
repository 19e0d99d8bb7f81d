"""The records port on RocksDB: one folder, one process, durable by group commit.

`open_rocksdb(folder, RocksOptions(), environment)` gives the engine; `holder(folder)` tells who has a folder
open; `repair(folder)` keeps what is readable of a damaged one.
"""

from __future__ import annotations

from rocksdict import Rdict

from soundstage.core.environment import Environment, SystemEnvironment
from soundstage.engines.records.rocksdb.engine import RocksRecords
from soundstage.engines.records.rocksdb.mending import mend
from soundstage.engines.rocks import repair as repairing
from soundstage.engines.rocks.database import Database
from soundstage.engines.rocks.folder import Holder, holder
from soundstage.engines.rocks.options import RocksOptions
from soundstage.engines.rocks.refusals import Translation
from soundstage.engines.rocks.repair import RepairReport

__all__ = ["Holder", "RepairReport", "RocksOptions", "RocksRecords", "holder", "open_rocksdb", "repair"]


def open_rocksdb(folder: str, options: RocksOptions, environment: Environment) -> RocksRecords:
    """An engine on `folder`, which `start` opens and makes when it is not there."""
    return RocksRecords(Database(folder, options, environment), environment)


def repair(folder: str, *, accept_loss: bool) -> RepairReport:
    """The folder opens again with what is readable; see `soundstage.engines.rocks.repair`.

    Records of which a part was lost with a table file are put right, so that what is left of them is read.
    """

    def put_right(db: Rdict, method: repairing.Method) -> None:
        if method == "tables":
            with Translation(folder):
                mend(db, SystemEnvironment())

    return repairing.repair(folder, accept_loss=accept_loss, mend=put_right)
