"""The layout `plain`: the bytes of each blob are a file of their own, and what is known of it lies beside.

    objects/ab/cdef…-<sequence>         the bytes, and nothing else
    objects/ab/cdef…-<sequence>.sums    the head of a packed blob, and the sums of its blocks
    files/…                             names of the first by key, for other programs: see `readable`

A blob is there when its sums are. They are named once the bytes are safe under their name, and go before them, so that
a crash at any step leaves the blob as it was or is, and at most bytes without sums, which the next start clears.
Blocking: for a thread.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path

from soundstage.engines.blobs.file.disk import Disk
from soundstage.engines.blobs.file.layout import HEAD_BYTES, SUM_BYTES, blocks
from soundstage.engines.blobs.file.objects import (
    OBJECTS,
    STAGING,
    Found,
    Reading,
    Undecided,
    name,
    newest_of,
    path_of,
    prepare,
    remove,
)
from soundstage.engines.blobs.file.readable import FILES, Names
from soundstage.engines.blobs.file.staging import Staged
from soundstage.engines.rocks.folder import sync_folder

log: logging.Logger = logging.getLogger("soundstage.engines.blobs")

SUMS = ".sums"


class Plain:
    """Of one folder."""

    def __init__(self, folder: Path, disk: Disk, *, durable: bool) -> None:
        self.folder: Path = folder
        self._disk = disk
        self._durable = durable
        self._names = Names(folder)

    @property
    def warning(self) -> str | None:
        return self._names.warning

    def prepare(self) -> None:
        """See `Layout`. Raises `OSError` on a file system without hard links."""
        prepare(self.folder)
        (self.folder / FILES).mkdir(exist_ok=True)
        sync_folder(self.folder)
        tried = self.folder / STAGING / "tried"
        tried.touch()
        os.link(tried, tried.with_suffix(".link"))
        tried.with_suffix(".link").unlink()
        tried.unlink()

    def survey(self, *, clear: bool = True) -> dict[str, Found]:
        newest = newest_of((self.folder / OBJECTS).glob(f"*/*{SUMS}"), _sums_bytes, self._drop if clear else None)
        if clear:
            self._clear_unknown()
            self._names.tell_others(newest)
        return newest

    def show_all(self, found: Mapping[str, Found]) -> None:
        for key, each in found.items():
            self._names.show(key, self._bytes(key, each.sequence))

    def staged(self, path: Path) -> Staged:
        return Staged(path, self._disk, path.with_suffix(SUMS))

    def name(self, staged: Staged, key: str, sequence: int) -> None:
        path, sums = self.parts(key, sequence)
        assert staged.sums is not None
        try:
            os.rename(staged.path, path)
            if self._durable:
                self._disk.sync_folder(path.parent)
            name(staged.sums, sums, durable=self._durable, disk=self._disk)
        except Undecided:
            raise
        except OSError:
            _unlink(path)
            raise
        self._names.show(key, path)

    def remove(self, key: str, sequence: int, *, last: bool) -> None:
        path, sums = self.parts(key, sequence)
        if last:
            self._hide(key, path)
        try:
            remove(sums, durable=self._durable, disk=self._disk)
        except Undecided:
            raise
        except OSError:
            if last:
                self._names.show(key, path)
            raise
        _unlink(path)

    def parts(self, key: str, sequence: int) -> tuple[Path, Path]:
        path = self._bytes(key, sequence)
        return path, path.with_name(path.name + SUMS)

    def reading(self, key: str, sequence: int, size: int, position: int) -> Reading:
        path, sums = self.parts(key, sequence)
        return Reading(path, size, position, sums)

    def _hide(self, key: str, path: Path) -> None:
        try:
            self._names.hide(key, durable=self._durable, disk=self._disk)
        except OSError:
            self._names.show(key, path)
            raise

    def _bytes(self, key: str, sequence: int) -> Path:
        return path_of(self.folder, key, sequence)

    def _drop(self, found: Found) -> None:
        path, sums = self.parts(found.info.key, found.sequence)
        sums.unlink(missing_ok=True)
        path.unlink(missing_ok=True)

    def _clear_unknown(self) -> None:
        """Bytes are gone that have no sums: what a put or a removal left that was under way at a crash."""
        for path in (self.folder / OBJECTS).glob("*/*"):
            if path.suffix != SUMS and not path.with_name(path.name + SUMS).exists():
                path.unlink(missing_ok=True)


def _sums_bytes(size: int) -> int:
    return HEAD_BYTES + SUM_BYTES * blocks(size)


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        log.warning(
            "bytes of a blob that is gone stay until the next start", extra={"path": str(path), "reason": str(error)}
        )
