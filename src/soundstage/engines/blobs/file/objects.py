"""The files below `objects/`: named, found again at start, opened and removed. Blocking: for a thread."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec

from soundstage.engines.blobs.file.disk import DISK, Disk
from soundstage.engines.blobs.file.layout import (
    BLOCK_BYTES,
    HEAD_BYTES,
    SUM_BYTES,
    block_sum,
    decode_head,
    file_size,
    object_name,
    stretch_at,
)
from soundstage.engines.blobs.port import BlobInfo
from soundstage.engines.rocks.folder import sync_folder

log: logging.Logger = logging.getLogger("soundstage.engines.blobs")

STAGING = "staging"
OBJECTS = "objects"
_SHARDS = 256


class Found(NamedTuple):
    """A blob as it lies in the folder; of two with one key the one with the greater `sequence` counts."""

    info: BlobInfo
    sequence: int


def prepare(folder: Path) -> None:
    """The folder has all its parts, and what was being written when its owner died is gone."""
    (folder / STAGING).mkdir(exist_ok=True)
    for leftover in (folder / STAGING).iterdir():
        leftover.unlink()
    for shard in range(_SHARDS):
        (folder / OBJECTS / f"{shard:02x}").mkdir(parents=True, exist_ok=True)
    sync_folder(folder / OBJECTS)
    sync_folder(folder)


def path_of(folder: Path, key: str, sequence: int) -> Path:
    """Where a put of `key` lies. `sequence` grows with every put, so that no file is ever replaced."""
    return folder / f"{object_name(key)}-{sequence:016x}"


def survey(folder: Path, *, clear: bool = True) -> dict[str, Found]:
    """Every blob by its key; with `clear`, files that another put of the key has replaced are removed.

    A file that is no blob is left where it is, and the log told: a read would find it damaged.
    """

    def drop(found: Found) -> None:
        path_of(folder, found.info.key, found.sequence).unlink(missing_ok=True)

    return newest_of((folder / OBJECTS).glob("*/*"), file_size, drop if clear else None)


def newest_of(
    heads: Iterable[Path], length: Callable[[int], int], drop: Callable[[Found], None] | None
) -> dict[str, Found]:
    """The blobs whose heads these files begin with, the newest of each key; the others are given to `drop`.

    `length` tells how long such a file is, by the size of its blob: one that is shorter is damaged.
    """
    newest: dict[str, Found] = {}
    for path in heads:
        found = _read_info(path, length)
        if found is None:
            continue
        known = newest.get(found.info.key)
        if known is None or known.sequence < found.sequence:
            newest[found.info.key] = found
            found = known
        if found is not None and drop is not None:
            drop(found)
    return newest


class Undecided(OSError):
    """The disk refused half-way: a power loss may leave the folder as it was before, or as it is now."""


def name(staged: Path, path: Path, *, durable: bool, disk: Disk = DISK) -> None:
    """The sealed file `staged` is the blob at `path`; on disk when `durable`.

    When the disk refuses it is not; `Undecided` when it may be after a power loss, or when it could not be removed.
    """
    try:
        os.rename(staged, path)
        if durable:
            disk.sync_folder(path.parent)
    except OSError as error:
        if os.path.lexists(path):
            _take_back(path, error, disk)
        raise


def remove(path: Path, *, durable: bool, disk: Disk = DISK) -> None:
    """The blob at `path` is gone; on disk when `durable`. Who reads it reads on to its end.

    When the disk refuses it is there; `Undecided` when it is gone, but may be back after a power loss.
    """
    try:
        path.unlink(missing_ok=True)
        if durable:
            disk.sync_folder(path.parent)
    except OSError as error:
        if not os.path.lexists(path):
            raise _undecided(error) from error
        raise


def _take_back(path: Path, error: OSError, disk: Disk) -> None:
    try:
        remove(path, durable=True, disk=disk)
    except OSError:
        raise _undecided(error) from error


def _undecided(error: OSError) -> Undecided:
    return Undecided(error.errno, error.strerror)


class Reading:
    """An open blob; blocks are checked when they are read.

    `first` is the `block` at the position from which it is read: a short read waits for a thread once. `sums` is the
    file that has the head and the sums, where that of the bytes has nothing but them.
    """

    def __init__(self, path: Path, size: int, position: int, sums: Path | None = None) -> None:
        self._size = size
        self._begin, self._sums_at = (HEAD_BYTES, HEAD_BYTES + size) if sums is None else (0, HEAD_BYTES)
        self._descriptors = [os.open(path, os.O_RDONLY | os.O_CLOEXEC)]
        try:
            if sums is not None:
                self._descriptors.append(os.open(sums, os.O_RDONLY | os.O_CLOEXEC))
            self.first: bytes | None = self.block(position) if position < size else b""
        except OSError:
            self.close()
            raise

    def block(self, position: int) -> bytes | None:
        """The rest of the block that holds `position`, from there on; None when it is not what was written."""
        stretch = stretch_at(position, self._size)
        data = _read_all(self._descriptors[0], stretch.end - stretch.start, self._begin + stretch.start)
        expected = _read_all(self._descriptors[-1], SUM_BYTES, self._sums_at + SUM_BYTES * stretch.block)
        if block_sum(data) != expected:
            return None
        return data[position - stretch.start :]

    def close(self) -> None:
        """Idempotent."""
        descriptors, self._descriptors = self._descriptors, []
        for descriptor in descriptors:
            os.close(descriptor)


def _read_info(path: Path, length: Callable[[int], int]) -> Found | None:
    try:
        with open(path, "rb") as file:
            info = decode_head(file.read(HEAD_BYTES))
            if os.fstat(file.fileno()).st_size < length(info.size):
                raise ValueError("the file is cut short")
        return Found(info, int(path.stem.rpartition("-")[2], 16))
    except (ValueError, msgspec.MsgspecError) as error:
        log.error("a file among the blobs is damaged", extra={"path": str(path), "reason": str(error)})
        return None


def _read_all(descriptor: int, size: int, at: int) -> bytes:
    parts: list[bytes] = []
    while size > 0:
        part = os.pread(descriptor, min(size, BLOCK_BYTES), at)
        if not part:
            break
        parts.append(part)
        size, at = size - len(part), at + len(part)
    return b"".join(parts)
