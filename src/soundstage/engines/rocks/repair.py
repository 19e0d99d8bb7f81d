"""Makes a damaged folder openable again, at the price of what is damaged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import msgspec
import rocksdict
from rocksdict import Cache, Rdict

from soundstage.core.errors import DataLoss, InvalidArgument, SoundstageError
from soundstage.engines.rocks.folder import FolderLock, rewrite_format
from soundstage.engines.rocks.opening import families_of, flush_tables, open_rdict
from soundstage.engines.rocks.options import RocksOptions
from soundstage.engines.rocks.settings import open_options

Method: TypeAlias = Literal["nothing", "format", "log", "tables"]

_CACHE_BYTES = 8 << 20


class RepairReport(msgspec.Struct, kw_only=True):
    """What was done to a folder.

    `method`: `nothing` was damaged; the file `FORMAT` alone was, and is written anew; the `log` lost what followed
    its first damage; or `tables` that were damaged were taken out, each whole, and lie in the folder `lost` below.
    """

    folder: str
    method: Method


def repair(
    folder: str, *, accept_loss: bool, mend: Callable[[Rdict, Method], None] = lambda _db, _method: None
) -> RepairReport:
    """The folder opens again with what is readable; what is damaged, and in a log what follows it, is gone.

    `mend` puts right what the loss has torn apart, on the open database. Raises `InvalidArgument` without
    `accept_loss`, `Unavailable` while a process holds the folder and `DataLoss` when nothing can be saved. Make a
    copy of the folder first. May be repeated.
    """
    if not accept_loss:
        raise InvalidArgument(
            "repairing drops what is damaged",
            field="accept_loss",
            hint="copy the folder, then run it again with --accept-loss",
        )
    lock = FolderLock(folder)
    try:
        rewritten = rewrite_format(folder)
        method, db = _opened(folder)
        try:
            mend(db, method)
            flush_tables(db)
        finally:
            db.close()
    finally:
        lock.release()
    return RepairReport(folder=folder, method="format" if rewritten and method == "nothing" else method)


def _opened(folder: str) -> tuple[Method, Rdict]:
    """The database, readable from end to end, by the method that loses least."""
    steps: tuple[tuple[Method, Callable[[str], Rdict]], ...] = (
        ("nothing", _as_usual),
        ("log", _to_the_first_damage),
        ("tables", _without_damaged_tables),
    )
    for method, step in steps:
        try:
            db = step(folder)
        except Exception:  # noqa: BLE001 - the driver has one class; the next method is tried
            continue
        if _is_readable(db, folder):
            return method, db
        db.close()
    raise DataLoss(f"nothing in {folder} can be saved", hint="restore a backup")


def _as_usual(folder: str) -> Rdict:
    return open_rdict(folder, RocksOptions(), Cache(_CACHE_BYTES))


def _to_the_first_damage(folder: str) -> Rdict:
    cache = Cache(_CACHE_BYTES)
    tuned = open_options(RocksOptions(), cache)
    tuned.set_wal_recovery_mode(rocksdict.DBRecoveryMode.point_in_time())
    db = open_rdict(folder, RocksOptions(), cache, tuned=tuned)
    # Written down that this is the end: the log is not read again.
    flush_tables(db)
    return db


def _without_damaged_tables(folder: str) -> Rdict:
    Rdict.repair(folder, open_options(RocksOptions(), Cache(_CACHE_BYTES)))
    return _to_the_first_damage(folder)


def _is_readable(db: Rdict, folder: str) -> bool:
    try:
        for name in families_of(folder):
            rows = db.get_column_family(name).iter()
            rows.seek_to_first()
            while rows.valid():
                rows.next()
            rows.status()
    except SoundstageError:
        raise
    except Exception:  # noqa: BLE001 - the driver has one class
        return False
    return True
