"""How the blobs of a folder lie there, which is settled when it is first used and told in its `FORMAT`.

`packed`: one file for each, with its head and its sums around the bytes. `plain`: the bytes are a file of their own,
which other programs find by the blob's key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

import msgspec

from soundstage.core.errors import InvalidArgument
from soundstage.engines.blobs.file.disk import Disk
from soundstage.engines.blobs.file.objects import OBJECTS, Found, Reading
from soundstage.engines.blobs.file.packed import Packed
from soundstage.engines.blobs.file.plain import Plain
from soundstage.engines.blobs.file.readable import FILES
from soundstage.engines.blobs.file.staging import Staged
from soundstage.engines.rocks.folder import check_format, write_durably
from soundstage.engines.rocks.refusals import unreadable_format, unusable

LayoutName: TypeAlias = Literal["packed", "plain"]

FORMAT = "FORMAT"

_PLAIN_FORMAT = 2
"""Releases that know of no layouts refuse it, and so leave the folder as it is."""


class Layout(Protocol):
    """The files of one folder of blobs. Blocking: for a thread; raises `OSError`, and `Undecided` as told there.

    A put of a key has a `sequence` that grows, and files that are never changed once they are named.
    """

    folder: Path

    @property
    def warning(self) -> str | None:
        """What should be seen to, though blobs are written and read."""
        ...

    def prepare(self) -> None:
        """The folder has all its parts, and what was being written when its owner died is gone."""
        ...

    def survey(self, *, clear: bool = True) -> dict[str, Found]:
        """Every blob by its key; with `clear`, what other puts of a key have left is removed."""
        ...

    def show_all(self, found: Mapping[str, Found]) -> None:
        """Other programs find these blobs, where the layout is made for that."""
        ...

    def staged(self, path: Path) -> Staged:
        """What is about to be written at `path`."""
        ...

    def name(self, staged: Staged, key: str, sequence: int) -> None:
        """What was sealed is that put of the key, on disk where the folder is durable, or is not when it raises."""
        ...

    def remove(self, key: str, sequence: int, *, last: bool) -> None:
        """That put is gone, and with `last` the key; or both are there when it raises. Who reads it reads on."""
        ...

    def parts(self, key: str, sequence: int) -> Iterable[Path]:
        """The files of that put; it is there when the last of them is."""
        ...

    def reading(self, key: str, sequence: int, size: int, position: int) -> Reading:
        """Its bytes, of which there are `size`, opened at `position`."""
        ...


class _Format(msgspec.Struct, frozen=True):
    format: int
    engine: str = "blobs"
    layout: LayoutName = "packed"


def layout_of(name: LayoutName, folder: Path, disk: Disk, *, durable: bool) -> Layout:
    """The layout called `name` in `folder`."""
    made = {"packed": Packed, "plain": Plain}[name]
    return made(folder, disk, durable=durable)


def check_layout(folder: Path, wanted: LayoutName) -> None:
    """The folder has the layout `wanted`, which an empty one is given.

    Raises `InvalidArgument` for a folder of the other layout, and what `check_format` raises.
    """
    path = folder / FORMAT
    found = _told(path)
    if found is None and _is_used(folder, wanted):
        raise unreadable_format(str(path))
    if found is not None and found.layout != wanted:
        raise InvalidArgument(
            f"the blobs in {folder} have the layout {found.layout}, not {wanted}",
            field="layout",
            hint=f"write layout={found.layout}, or name an empty folder",
        )
    if wanted == "packed":
        check_format(str(folder))
    elif found is None:
        write_durably(path, msgspec.json.encode(_Format(_PLAIN_FORMAT, layout=wanted)))
    elif found.format > _PLAIN_FORMAT:
        raise InvalidArgument(
            f"{folder} has the format {found.format}; this release knows {_PLAIN_FORMAT} and older",
            field="data",
            hint="open it with the release that wrote it, or a newer one",
        )


def _is_used(folder: Path, wanted: LayoutName) -> bool:
    """Whether there are blobs without a file that tells their layout, which would be taken for what they are not."""
    return (folder / FILES).exists() or (wanted == "plain" and any((folder / OBJECTS).glob("*/*")))


def _told(path: Path) -> _Format | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Format)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError:
        raise unreadable_format(str(path)) from None
    except OSError as error:
        raise unusable(str(path.parent), error) from None
