"""The embedded database: one folder, one owner process, shared by every port bound to it.

On disk: RocksDB's files, `OWNER` (the lock, naming the owner) and `FORMAT`. Ports keep their rows in column
families and write them through `write`, one atomic batch for all of them together; a write is durable once
the future that `commits.join` gave has ended.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

import rocksdict
from rocksdict import Cache, Rdict, WriteBatch, WriteOptions

from soundstage.core.environment import Environment
from soundstage.core.errors import AlreadyExists, DataLoss, Exhausted, SoundstageError, Unavailable
from soundstage.engines.rocks.commit import GroupCommit, flush_refusal
from soundstage.engines.rocks.folder import FolderLock, check_format, sync_folder
from soundstage.engines.rocks.options import RocksOptions
from soundstage.engines.rocks.settings import family_options, open_options
from soundstage.engines.rocks.space import LowWater

FAMILIES_MAX = 256

Handle: TypeAlias = rocksdict.ColumnFamily


class Stalled(Exception):
    """RocksDB cannot take the write without waiting; nothing was written."""


class Database:
    """One folder, opened by `open` and closed by `close`; not for use from several event loops."""

    def __init__(self, folder: str, options: RocksOptions, environment: Environment) -> None:
        self.folder = os.path.abspath(folder)
        self.options = options
        self.environment = environment
        self.low_water = LowWater(self.folder, options.low_water, environment)
        self._cache = Cache(options.cache)
        self._lock: FolderLock | None = None
        self._db: Rdict | None = None
        self._failure: Exception | None = None
        self._unwaiting = WriteOptions()
        self._unwaiting.no_slowdown = True
        self.executor: Executor
        self.commits: GroupCommit

    def open(self) -> None:
        """The folder is ours and what was acknowledged is there.

        Raises `Unavailable` when another process holds it (naming it) or it cannot be used, `InvalidArgument`
        for a newer format and `DataLoss` when what lies there is damaged.
        """
        self._lock = FolderLock(self.folder)
        try:
            check_format(self.folder)
            self._db = open_rdict(self.folder, self.options, self._cache)
            _settle_files(self.folder)
        except BaseException:
            self._lock.release()
            raise
        self.executor = ThreadPoolExecutor(1, thread_name_prefix="soundstage-flush")
        self.commits = GroupCommit(self._flush, self.options.durability, self.environment, self.executor, self._fail)

    async def close(self) -> None:
        """Everything written is durable and the folder free. Idempotent."""
        if self._db is not None:
            await self.commits.settle()
            self._flush_quietly()
            self._close_rdict()
            self.executor.shutdown()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def announce(self, url: str | None) -> None:
        """Whoever finds the folder held is told this address."""
        if self._lock is not None:
            self._lock.announce(url)

    @property
    def rdict(self) -> Rdict:
        """The default column family; raises `Unavailable` when closed or failed."""
        if self._db is None:
            raise self.refusal()
        return self._db

    def family(self, name: str) -> tuple[Rdict, Handle]:
        """The column family of that name, made when it is not there; `Exhausted` over 256."""
        db = self.rdict
        if name not in Rdict.list_cf(self.folder):
            if len(Rdict.list_cf(self.folder)) >= FAMILIES_MAX:
                raise Exhausted(
                    f"the folder has {FAMILIES_MAX} column families, which is the limit",
                    hint="leave out `dedicated`, or use another engine",
                )
            db.create_column_family(name, family_options(self.options, self._cache))
        return db.get_column_family(name), db.get_column_family_handle(name)

    def drop_family(self, name: str) -> None:
        """The column family and its files are gone."""
        self.rdict.drop_column_family(name)

    def write(self, batch: WriteBatch) -> None:
        """`batch` is in the log, whole, and seen by every later read; not durable yet.

        Raises `Stalled`, having done nothing, rather than wait; `Unavailable` when the disk refuses.
        """
        try:
            self.rdict.write(batch, self._unwaiting)
        except SoundstageError:
            raise
        except Exception as error:
            if "stall" in str(error).lower() or str(error).startswith("Result incomplete"):
                raise Stalled(str(error)) from None
            self._fail(error)
            raise flush_refusal(error) from error

    def refusal(self) -> Unavailable:
        """Why the database is not open."""
        if self._failure is None:
            return Unavailable("the engine is stopped", outcome="not_applied", retryable=False)
        return Unavailable(
            f"the database in {self.folder} was closed after a failed write: {self._failure}",
            hint="see to the disk and restart",
            outcome="not_applied",
            retryable=True,
        )

    def checkpoint(self, folder: str) -> None:
        """`folder` is a copy, openable by itself. Runs in the caller's thread."""
        if Path(folder).exists():
            raise AlreadyExists(f"{folder} exists", hint="name a folder that does not")
        try:
            rocksdict.Checkpoint(self.rdict).create_checkpoint(folder)
            for name in ("FORMAT", "rocksdict-config.json"):
                shutil.copyfile(Path(self.folder, name), Path(folder, name))
            _settle_files(folder)
        except OSError as error:
            raise _refused(folder, error) from None
        except SoundstageError:
            raise
        except Exception as error:  # the driver knows one class only
            raise _refused(folder, error) from error

    def _flush(self) -> None:
        self.rdict.flush_wal(True)

    def _flush_quietly(self) -> None:
        if self._db is not None:
            try:
                self._db.flush_wal(True)
            except Exception as error:  # noqa: BLE001 - closing goes on; nobody waits for this flush
                self._failure = error

    def _fail(self, error: Exception) -> None:
        self._failure = error
        self._close_rdict()

    def _close_rdict(self) -> None:
        if self._db is not None:
            db, self._db = self._db, None
            db.close()


def open_rdict(folder: str, options: RocksOptions, cache: Cache, *, read_only: bool = False) -> Rdict:
    """RocksDB on `folder` with all its column families. Raises `DataLoss` for damage, else `Unavailable`."""
    families = [name for name in _families(folder) if name != "default"]
    access = rocksdict.AccessType.read_only() if read_only else rocksdict.AccessType.read_write()
    try:
        return Rdict(
            folder,
            open_options(options, cache),
            column_families={name: family_options(options, cache) for name in families},
            access_type=access,
        )
    except Exception as error:
        raise _not_opened(folder, error) from error


def _families(folder: str) -> Iterable[str]:
    if not Path(folder, "CURRENT").exists():
        return ()
    try:
        return Rdict.list_cf(folder)
    except Exception as error:
        raise _not_opened(folder, error) from error


def _not_opened(folder: str, error: Exception) -> SoundstageError:
    text = str(error)
    if "Corruption" in text or "checksum" in text or "No such file" in text:
        return DataLoss(
            f"the database in {folder} is damaged: {text}",
            hint=f"restore a backup, or keep what is readable with: "
            f"soundstage data repair --accept-loss --data {folder}",
        )
    return _refused(folder, error)


def _refused(folder: str, error: Exception) -> Unavailable:
    return Unavailable(
        f"{folder} cannot be used: {error}",
        hint="check that it is a folder which this user may write to, on a disk with room",
        retryable=False,
        outcome="not_applied",
    )


def _settle_files(folder: str) -> None:
    """What the driver wrote beside the database is on disk, so that a power loss leaves it openable."""
    for name in ("rocksdict-config.json", "FORMAT"):
        path = Path(folder, name)
        if path.exists():
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
    sync_folder(Path(folder))
