"""A blob on its way to disk: written block by block, checked, sealed, then named. Blocking: for a thread."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from soundstage.engines.blobs.file.disk import DISK, Disk
from soundstage.engines.blobs.file.layout import BLOCK_BYTES, HEAD_BYTES, block_sum, encode_head
from soundstage.engines.blobs.port import BlobInfo


class Staged:
    """One file below `staging/`; nobody reads it before it is sealed and named.

    `sums` is the file that is to have the head and the sums, where that of the bytes has nothing but them.
    """

    def __init__(self, path: Path, disk: Disk = DISK, sums: Path | None = None) -> None:
        self.path = path
        self.sums = sums
        self._begin = HEAD_BYTES if sums is None else 0
        self._disk = disk
        self.size: int = 0
        self._descriptor = -1
        self._sha256 = hashlib.sha256()
        self._sums: list[bytes] = []
        self._partial = bytearray()

    @property
    def sha256(self) -> str:
        """Of all that was written."""
        return self._sha256.hexdigest()

    def write(self, data: bytes) -> None:
        """`data` follows what was written before."""
        if self._descriptor < 0:
            self._descriptor = _made(self.path)
        self._sha256.update(data)
        _write_all(self._descriptor, data, self._begin + self.size)
        self.size += len(data)
        if not self._partial and len(data) == BLOCK_BYTES:
            self._sums.append(block_sum(data))
            return
        self._partial += data
        while len(self._partial) >= BLOCK_BYTES:
            self._sums.append(block_sum(bytes(self._partial[:BLOCK_BYTES])))
            del self._partial[:BLOCK_BYTES]

    def seal(self, info: BlobInfo, *, durable: bool) -> None:
        """The blob is whole, with its info and the sums of its blocks; on disk when `durable`."""
        if self._partial:
            self._sums.append(block_sum(bytes(self._partial)))
        if self.sums is None:
            _write_all(self._descriptor, b"".join(self._sums), HEAD_BYTES + self.size)
            _write_all(self._descriptor, encode_head(info), 0)
        else:
            self._write_beside(self.sums, encode_head(info) + b"".join(self._sums), durable=durable)
        if durable:
            self._disk.sync(self._descriptor)
        self._close()

    def discard(self) -> None:
        """Nothing is left of a blob that was not named. Idempotent."""
        self._close()
        with suppress(OSError):
            self.path.unlink(missing_ok=True)
        if self.sums is not None:
            with suppress(OSError):
                self.sums.unlink(missing_ok=True)

    def _write_beside(self, sums: Path, content: bytes, *, durable: bool) -> None:
        # Other programs find the bytes by name; none of them is to change what the sums are of.
        os.fchmod(self._descriptor, 0o400)
        descriptor = _made(sums)
        try:
            _write_all(descriptor, content, 0)
            if durable:
                self._disk.sync(descriptor)
        finally:
            os.close(descriptor)

    def _close(self) -> None:
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)


class Cutter:
    """Cuts what comes in whatever chunks into blocks, each of which is copied once."""

    def __init__(self) -> None:
        self._waiting: list[memoryview] = []
        self._size = 0

    def add(self, chunk: bytes) -> Iterator[bytes]:
        """Every block that is full now."""
        rest = memoryview(chunk)
        while self._size + len(rest) >= BLOCK_BYTES:
            needed = BLOCK_BYTES - self._size
            block = b"".join((*self._waiting, rest[:needed]))
            self._waiting, self._size, rest = [], 0, rest[needed:]
            yield block
        if rest:
            self._waiting.append(rest)
            self._size += len(rest)

    def rest(self) -> bytes:
        """What fills no block."""
        rest = b"".join(self._waiting)
        self._waiting, self._size = [], 0
        return rest


def _made(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)


def _write_all(descriptor: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, at)
        view, at = view[written:], at + written
