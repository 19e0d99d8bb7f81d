"""One owner per folder: a lock that tells who holds it, and the format of what lies there."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import msgspec

from soundstage.core.errors import InvalidArgument, Unavailable

FORMAT = 1
"""What this release writes. Older formats are upgraded when opened, newer ones refused."""

_LOCK = "OWNER"
_FORMAT = "FORMAT"


class Holder(msgspec.Struct, frozen=True):
    """The process that has a folder open, and where it answers once it does."""

    pid: int
    url: str | None = None


class _Format(msgspec.Struct, frozen=True):
    format: int
    engine: str = "rocksdb"


class FolderLock:
    """Held from construction to `release`, or to the end of the process however it ends."""

    def __init__(self, folder: str) -> None:
        self._path = Path(folder, _LOCK)
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unusable(folder, error) from None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._descriptor)
            raise _held(folder, _read(self._path)) from None
        self.announce(None)

    def announce(self, url: str | None) -> None:
        """Whoever finds the folder held is told `url`."""
        content = msgspec.json.encode(Holder(os.getpid(), url))
        try:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, content, 0)
        except OSError as error:
            raise _unusable(str(self._path.parent), error) from None

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
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return _read(Path(folder, _LOCK))
    finally:
        os.close(descriptor)
    return None


def check_format(folder: str) -> None:
    """The folder is of this release's format, which a new one is given. `InvalidArgument` for a newer one."""
    path = Path(folder, _FORMAT)
    try:
        found = msgspec.json.decode(path.read_bytes(), type=_Format)
    except FileNotFoundError:
        write_durably(path, msgspec.json.encode(_Format(FORMAT)))
        return
    except (OSError, msgspec.MsgspecError) as error:
        raise _unusable(folder, error) from None
    if found.format > FORMAT:
        raise InvalidArgument(
            f"{folder} has the format {found.format}; this release knows {FORMAT} and older",
            field="data",
            hint="open it with the release that wrote it, or a newer one",
        )


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
        raise _unusable(str(path.parent), error) from None


def sync_folder(folder: Path) -> None:
    """The names in `folder` are on disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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


def _unusable(folder: str, error: Exception) -> Unavailable:
    return Unavailable(
        f"{folder} cannot be used: {error}",
        hint="check that it is a folder which this user may write to, on a disk with room",
        retryable=False,
        outcome="not_applied",
    )
