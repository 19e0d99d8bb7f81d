"""Makes a damaged folder openable again, at the price of what is damaged."""

from __future__ import annotations

import msgspec
import rocksdict
from rocksdict import Rdict

from soundstage.core.errors import DataLoss, InvalidArgument
from soundstage.engines.rocks.folder import FolderLock, check_format
from soundstage.engines.rocks.options import RocksOptions
from soundstage.engines.rocks.settings import block_cache, family_options, open_options


class RepairReport(msgspec.Struct, kw_only=True):
    """What was done to a folder."""

    folder: str
    method: str


def repair(folder: str, *, accept_loss: bool) -> RepairReport:
    """The folder opens again with what is readable; what is damaged, and in a log what follows it, is gone.

    Raises `InvalidArgument` without `accept_loss`, `Unavailable` while a process holds the folder and
    `DataLoss` when nothing can be saved. Make a copy of the folder first.
    """
    if not accept_loss:
        raise InvalidArgument(
            "repairing drops what is damaged",
            field="accept_loss",
            hint="copy the folder, then run it again with --accept-loss",
        )
    lock = FolderLock(folder)
    try:
        check_format(folder)
        for method, step in (("log", _drop_damaged_log), ("tables", _rebuild)):
            if step(folder):
                return RepairReport(folder=folder, method=method)
    finally:
        lock.release()
    raise DataLoss(f"nothing in {folder} can be saved", hint="restore a backup")


def _drop_damaged_log(folder: str) -> bool:
    """Open up to the first damage in the log, and write down that this is the end."""
    cache = block_cache(8 << 20)
    try:
        names = [name for name in Rdict.list_cf(folder) if name != "default"]
        options = open_options(RocksOptions(), cache)
        options.set_wal_recovery_mode(rocksdict.DBRecoveryMode.point_in_time())
        db = Rdict(folder, options, column_families={name: family_options(RocksOptions(), cache) for name in names})
        db.flush()
        db.close()
    except Exception:  # noqa: BLE001 - the driver has one class; the next method is tried
        return False
    return True


def _rebuild(folder: str) -> bool:
    try:
        Rdict.repair(folder, open_options(RocksOptions(), block_cache(8 << 20)))
    except Exception:  # noqa: BLE001 - the driver has one class; the caller is told that nothing helped
        return False
    return _drop_damaged_log(folder)
