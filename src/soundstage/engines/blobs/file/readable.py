"""Where a blob of the plain layout is found by other programs: below `files/`, as its key says. Blocking: for a thread.

What lies there is a second name (a hard link) of the very file that has the blob's bytes, and is never read by the
engine: what it promises does not depend on it, and each start makes anew what is missing. A blob's name is there
from when it is, is replaced at one stroke, and is gone before it is.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from soundstage.engines.blobs.file.disk import Disk

log: logging.Logger = logging.getLogger("soundstage.engines.blobs")

FILES = "files"

PART_MAX_CHARS = 200
"""Of a part between slashes; file systems allow 255 bytes."""

_KEPT_CHARS = 160
_SUFFIX_MAX_CHARS = 16


def readable(key: str) -> str:
    """The path of `key` below `files/`, which no other key has and which lies in no other key's way.

    A key may go on where another ends, but a file is no folder: what is not told apart by a dot, which files have and
    folders have not, ends with `~`, which no key has. Of a part over 200 characters the beginning stands, and a hash.
    """
    *folders, name = key.split("/")
    return "/".join([*map(_folder, folders), _file(name)])


def _folder(part: str) -> str:
    if len(part) > PART_MAX_CHARS:
        return f"{_shortened(part)}~"
    return f"{part}~" if "." in part else part


def _file(part: str) -> str:
    stem, dot, suffix = part.rpartition(".")
    if len(part) > PART_MAX_CHARS:
        known = dot and stem and len(suffix) <= _SUFFIX_MAX_CHARS
        return f"{_shortened(part)}.{suffix}" if known else _shortened(part)
    return part if dot else f"{part}~"


def _shortened(part: str) -> str:
    return f"{part[:_KEPT_CHARS]}~{sha256(part.encode()).hexdigest()[:32]}"


class Names:
    """The names below `files/` of one folder."""

    def __init__(self, folder: Path) -> None:
        self._files = folder / FILES
        # A folder that is empty goes, and must not while another thread is about to put something into it.
        self._one_by_one = threading.Lock()
        self._missing: set[str] = set()

    @property
    def warning(self) -> str | None:
        """How many blobs other programs do not find as they are; None while they find all."""
        if not self._missing:
            return None
        return (
            f"{len(self._missing)} blobs do not lie in {self._files} as they are, as the disk refused their names; "
            "starting again makes them"
        )

    def show(self, key: str, blob: Path) -> None:
        """The name of `key` is that of the file `blob`, or the log and `warning` tell that it is not."""
        try:
            with self._one_by_one:
                self._show(key, blob)
            self._missing.discard(key)
        except OSError as error:
            self._missing.add(key)
            log.warning("a blob has no readable name", extra={"key": key, "reason": str(error)})

    def hide(self, key: str, *, durable: bool, disk: Disk) -> None:
        """`key` has no name any more; on disk when `durable`. Raises `OSError`."""
        path = self._files / readable(key)
        with self._one_by_one:
            path.unlink(missing_ok=True)
            if durable and path.parent.is_dir():
                disk.sync_folder(path.parent)
            self._clear_empty(path.parent)
        self._missing.discard(key)

    def tell_others(self, keys: Iterable[str]) -> None:
        """The log tells of files that are none of a blob of `keys`; they are left where they are."""
        known = {readable(key) for key in keys}
        others = [path for path in self._files.rglob("*") if not path.is_dir()]
        others = [path for path in others if str(path.relative_to(self._files)) not in known]
        if others:
            log.warning("files lie among the blobs that are none", extra={"count": len(others), "path": str(others[0])})

    def _show(self, key: str, blob: Path) -> None:
        path = self._files / readable(key)
        with suppress(FileNotFoundError):
            if path.samefile(blob):
                return
        path.parent.mkdir(parents=True, exist_ok=True)
        # No part of a key begins with a dot.
        draft = path.with_name(f".{sha256(key.encode()).hexdigest()}")
        try:
            os.link(blob, draft)
        except FileExistsError:
            # Of a process that died there.
            draft.unlink()
            os.link(blob, draft)
        try:
            os.replace(draft, path)
        except OSError:
            with suppress(OSError):
                draft.unlink()
            raise

    def _clear_empty(self, folder: Path) -> None:
        with suppress(OSError):
            while folder != self._files:
                folder.rmdir()
                folder = folder.parent
