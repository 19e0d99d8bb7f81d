"""One owner per folder: a lock that tells who holds it, and the format of what lies there."""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from soundstage.core.errors import DataLoss, InvalidArgument, Unavailable
from soundstage.engines.rocks.refusals import unreadable_format, unusable

FORMAT = 1
"""What this release writes. Older formats are upgraded when opened, newer ones refused."""

UPGRADES: Mapping[int, Callable[[str], None]] = {}
"""How a closed folder of each older format becomes one of the next. A step that is interrupted is run again."""

_LOCK = "OWNER"

_WHOLE_FILE = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
"""The system's `struct flock`: one writer, from the first byte to the last."""

_FORMAT = "FORMAT"


class Holder(msgspec.Struct, frozen=True):
    """The process that has a folder open, and where it answers once it does."""

    pid: int
    url: str | None = None


class _Format(msgspec.Struct, frozen=True):
    format: int
    engine: str = "rocksdb"


class FolderLock:
    """Held from construction, which makes the folder, to `release`, or to the end of the process however it ends."""

    def __init__(self, folder: str) -> None:
        self._path = Path(folder, _LOCK)
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise unusable(folder, error) from None
        try:
            fcntl.fcntl(self._descriptor, fcntl.F_OFD_SETLK, _WHOLE_FILE)
        except OSError:
            self.release()
            raise _held(folder, _read(self._path)) from None
        try:
            self.announce(None)
        except BaseException:
            self.release()
            raise

    def announce(self, url: str | None) -> None:
        """Whoever finds the folder held is told `url`."""
        content = msgspec.json.encode(Holder(os.getpid(), url))
        try:
            # Over what is there, then cut: on a full disk there may be no block for an emptied file.
            os.pwrite(self._descriptor, content, 0)
            os.ftruncate(self._descriptor, len(content))
        except OSError as error:
            raise unusable(str(self._path.parent), error) from None

    def release(self) -> None:
        """The folder is free. Idempotent."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)


def holder(folder: str) -> Holder | None:
    """Who has `folder` open now; None when nobody has, or when it is no folder."""
    try:
        descriptor = os.open(Path(folder, _LOCK), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        # Asking by taking the lock, were it for a moment, would refuse an owner that comes just then.
        kind = struct.unpack_from("h", fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, _WHOLE_FILE))[0]
    finally:
        os.close(descriptor)
    return None if kind == fcntl.F_UNLCK else _read(Path(folder, _LOCK))


def check_format(folder: str, newest: int = FORMAT, upgrades: Mapping[int, Callable[[str], None]] = UPGRADES) -> None:
    """The folder is of the format `newest`, which an empty one is given and an older one upgraded to.

    Raises `InvalidArgument` for a newer format and for a database that is none of ours, `DataLoss` when the file
    says nothing that a release has written, `Unavailable` when the folder cannot be read or written.
    """
    path = Path(folder, _FORMAT)
    try:
        found = msgspec.json.decode(path.read_bytes(), type=_Format).format
    except FileNotFoundError:
        _check_empty(folder)
        write_durably(path, msgspec.json.encode(_Format(newest)))
        return
    except msgspec.MsgspecError:
        raise unreadable_format(str(path)) from None
    except OSError as error:
        raise unusable(folder, error) from None
    if found < 1:
        raise unreadable_format(str(path))
    if found > newest:
        raise InvalidArgument(
            f"{folder} has the format {found}; this release knows {newest} and older",
            field="data",
            hint="open it with the release that wrote it, or a newer one",
        )
    for step in range(found, newest):
        upgrades[step](folder)
        write_durably(path, msgspec.json.encode(_Format(step + 1)))


def rewrite_format(folder: str) -> bool:
    """Whether the file was unreadable; then it says the format of this release, which has written no other."""
    try:
        check_format(folder)
    except DataLoss:
        write_durably(Path(folder, _FORMAT), msgspec.json.encode(_Format(FORMAT)))
        return True
    return False


def write_durably(path: Path, content: bytes) -> None:
    """`path` holds `content`, or is as it was, whatever happens."""
    draft = path.with_suffix(".draft")
    try:
        with open(draft, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
        sync_folder(path.parent)
    except OSError as error:
        raise unusable(str(path.parent), error) from None


def sync_file(path: Path) -> None:
    """What `path` holds is on disk."""
    _sync(path, os.O_RDONLY)


def sync_folder(folder: Path) -> None:
    """The names in `folder` are on disk."""
    _sync(folder, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_empty(folder: str) -> None:
    if Path(folder, "CURRENT").exists():
        raise InvalidArgument(
            f"{folder} holds a database without the file {_FORMAT}, which Soundstage's have",
            field="data",
            hint="name another folder, or copy the backup again, whole",
        )


def _read(path: Path) -> Holder | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Holder)
    except (OSError, msgspec.MsgspecError):
        return None


def _held(folder: str, by: Holder | None) -> Unavailable:
    who = "another process" if by is None else f"the process {by.pid}"
    where = f" at {by.url}" if by is not None and by.url else ""
    return Unavailable(
        f"{folder} is open in {who}{where}",
        hint="talk to that process, or end it first",
        retryable=False,
        outcome="not_applied",
    )
