"""The layout `packed`: each blob in one file with all that is known of it. Blocking: for a thread."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from soundstage.engines.blobs.file.disk import Disk
from soundstage.engines.blobs.file.objects import Found, Reading, name, path_of, prepare, remove, survey
from soundstage.engines.blobs.file.staging import Staged


class Packed:
    """Of one folder."""

    warning: str | None = None

    def __init__(self, folder: Path, disk: Disk, *, durable: bool) -> None:
        self.folder: Path = folder
        self._disk = disk
        self._durable = durable

    def prepare(self) -> None:
        prepare(self.folder)

    def survey(self, *, clear: bool = True) -> dict[str, Found]:
        return survey(self.folder, clear=clear)

    def show_all(self, found: Mapping[str, Found]) -> None:
        pass

    def staged(self, path: Path) -> Staged:
        return Staged(path, self._disk)

    def name(self, staged: Staged, key: str, sequence: int) -> None:
        name(staged.path, path_of(self.folder, key, sequence), durable=self._durable, disk=self._disk)

    def remove(self, key: str, sequence: int, *, last: bool) -> None:
        remove(path_of(self.folder, key, sequence), durable=self._durable, disk=self._disk)

    def parts(self, key: str, sequence: int) -> Iterable[Path]:
        return (path_of(self.folder, key, sequence),)

    def reading(self, key: str, sequence: int, size: int, position: int) -> Reading:
        return Reading(path_of(self.folder, key, sequence), size, position)
