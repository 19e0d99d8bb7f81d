"""The calls of RocksDB that wait for a disk: the one place where a test can put a slow, full or failing one."""

from __future__ import annotations

import shutil

from rocksdict import Rdict, WriteBatch, WriteOptions


class Stalled(Exception):
    """RocksDB cannot take the write without waiting; nothing was written."""


class Disk:
    """The real one."""

    def __init__(self) -> None:
        self._unwaiting = WriteOptions()
        self._unwaiting.no_slowdown = True

    def write(self, db: Rdict, batch: WriteBatch) -> None:
        """`batch` is in the log, whole, and with the operating system. Raises `Stalled`, or the driver's error."""
        try:
            db.write(batch, self._unwaiting)
        except Exception as error:
            # The driver has one class of errors; what RocksDB's is called is in the text.
            if str(error).startswith("Result incomplete"):
                raise Stalled(str(error)) from None
            raise

    def flush(self, db: Rdict) -> None:
        """All that was written before the call is on the disk. Lets other threads run; raises the driver's error."""
        db.flush_wal(True)

    def free_bytes(self, folder: str) -> int:
        """What this user may still write to the disk of `folder`. Raises `OSError`."""
        return shutil.disk_usage(folder).free
