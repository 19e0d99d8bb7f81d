"""Files that are on disk when they are closed: the driver itself leaves that to the operating system.

A catalogue that is flushed and names metadata that is not would be unreadable after a power cut. The driver finds
them by `NAME`, in the option `py-io-impl`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from soundstage.engines.rocks.folder import sync_folder
from soundstage.engines.tables.arrow import pa
from soundstage.engines.tables.iceberg.driver import io


class _Stream(pa.OSFile):
    """A file that is written; on disk, and in its folder, when it is closed."""

    def __init__(self, path: str, mode: str) -> None:
        self._path = path

    def close(self) -> None:
        was_open = not self.closed
        super().close()  # pyright: ignore[reportUnknownMemberType]
        if was_open:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            sync_folder(Path(self._path).parent)


class _File(io.PyArrowFile):
    def create(self, overwrite: bool = False) -> Any:
        """See the driver: a stream to a file that must not exist, unless it may be replaced."""
        if not overwrite and self.exists():
            raise FileExistsError(f"Cannot create file, already exists: {self.location}")
        Path(self._path).parent.mkdir(parents=True, exist_ok=True)
        return _Stream(self._path, mode="w")


class _DurableFiles(io.PyArrowFileIO):
    """The driver's files of this machine, flushed."""

    def new_output(self, location: str) -> Any:
        """See the driver."""
        scheme, netloc, path = self.parse_location(location, self.properties)
        return _File(fs=self.fs_by_scheme(scheme, netloc), location=location, path=path)


NAME = f"{__name__}.{_DurableFiles.__name__}"
"""By which the driver finds them."""
