"""Which indexes and aliases a folder has: one small file, replaced whole. Each index lies in a folder of its own."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec

from soundstage.core.errors import DataLoss
from soundstage.engines.rocks.folder import write_durably
from soundstage.engines.search.port import IndexSpec

FILE = "indexes.json"


class Placed(msgspec.Struct, frozen=True):
    """An index and the number of its folder."""

    spec: IndexSpec
    number: int


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """What the file says. `next` is the number of the next folder."""

    indexes: dict[str, Placed] = {}
    aliases: dict[str, str] = {}
    next: int = 1
    schema: int = 1


class Catalogue:
    """The contents of a folder that one process has open. Blocking: for threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.contents: Contents = Contents()

    def load(self) -> None:
        """The contents are those of the file, and nothing else lies there. Raises `DataLoss`."""
        path = self._folder / FILE
        try:
            self.contents = msgspec.json.decode(path.read_bytes(), type=Contents)
        except FileNotFoundError:
            self.contents = Contents()
        except msgspec.MsgspecError:
            raise DataLoss(f"{path} is damaged", hint="build the indexes again in an empty folder") from None
        known = {self.place(each).name for each in self.contents.indexes.values()}
        for left in self._folder.glob("index-*"):
            if left.name not in known:
                shutil.rmtree(left, ignore_errors=True)

    def place(self, placed: Placed) -> Path:
        """The folder of an index."""
        return self._folder / f"index-{placed.number}"

    def reserve(self, spec: IndexSpec) -> Placed:
        """There is an empty folder for an index that is not there yet."""
        placed = Placed(spec, self.contents.next)
        folder = self.place(placed)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return placed

    def add(self, placed: Placed) -> None:
        """The index is there, durably; its folder holds it."""
        indexes = {**self.contents.indexes, placed.spec.name: placed}
        self._write(msgspec.structs.replace(self.contents, indexes=indexes, next=placed.number + 1))

    def remove(self, name: str) -> Placed:
        """The index and the aliases at it are gone, durably; its folder is still there, for `clear`."""
        placed = self.contents.indexes[name]
        indexes = {key: each for key, each in self.contents.indexes.items() if key != name}
        aliases = {alias: index for alias, index in self.contents.aliases.items() if index != name}
        self._write(msgspec.structs.replace(self.contents, indexes=indexes, aliases=aliases))
        return placed

    def clear(self, placed: Placed) -> None:
        """The folder of an index is gone, or goes when the contents are loaded again."""
        shutil.rmtree(self.place(placed), ignore_errors=True)

    def point(self, alias: str, index: str | None) -> None:
        """The alias names that index, or nothing, durably."""
        aliases = {name: each for name, each in self.contents.aliases.items() if name != alias}
        if index is not None:
            aliases[alias] = index
        self._write(msgspec.structs.replace(self.contents, aliases=aliases))

    def _write(self, contents: Contents) -> None:
        write_durably(self._folder / FILE, msgspec.json.encode(contents))
        self.contents = contents
