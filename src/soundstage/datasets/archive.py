"""Named members taken out of wheels, zips and tarballs, and nothing else.

No name that the archive carries becomes a path: the caller says which member goes to which file. Sizes are
known beforehand, so a member that unpacks to more is refused before more is written.
"""

from __future__ import annotations

import hashlib
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from soundstage.core.errors import DataLoss, NotFound
from soundstage.datasets.dataset import DataFile

CHUNK_BYTES = 1 << 20
UNPACKED_BYTES_MAX = 4 << 30
MEMBERS_MAX = 100_000


def sha256_of(path: Path) -> str:
    """The file's SHA-256 in hexadecimal, at about 1 GB/s."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def extract(archive: Path, files: Iterable[DataFile], folder: Path) -> None:
    """Every one of `files` lies in `folder` under its name, with the size and digest the catalogue states.

    Raises `NotFound` when the archive lacks a member and `DataLoss` when it is damaged, when a member
    is not a plain file, or is another than stated. Files extracted by then stay behind.
    """
    wanted = {file.member: file for file in files}
    with _damage_reported(archive):
        if zipfile.is_zipfile(archive):
            _extract_zip(archive, wanted, folder)
        else:
            _extract_tar(archive, wanted, folder)
    if wanted:
        raise NotFound(
            f"{archive.name} holds no {', '.join(sorted(wanted))}",
            hint="the catalogue's entry is wrong: list the archive's members and correct it",
        )


def _extract_zip(archive: Path, wanted: dict[str, DataFile], folder: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        for member in set(opened.namelist()) & wanted.keys():
            with opened.open(member) as source:
                _copy(source, wanted.pop(member), folder)


def _extract_tar(archive: Path, wanted: dict[str, DataFile], folder: Path) -> None:
    with tarfile.open(archive, "r|*") as opened:
        for member in _bounded(opened, archive):
            file = wanted.pop(member.name, None)
            if file is None:
                continue
            # A link would have to be resolved to another member, and a device has no bytes.
            source = opened.extractfile(member) if member.isreg() else None
            if source is None:
                raise DataLoss(f"{member.name} in {archive.name} is not a plain file")
            _copy(source, file, folder)
            if not wanted:
                return


def _bounded(opened: tarfile.TarFile, archive: Path) -> Iterator[tarfile.TarInfo]:
    unpacked = 0
    for position, member in enumerate(opened):
        unpacked += member.size
        if unpacked > UNPACKED_BYTES_MAX or position >= MEMBERS_MAX:
            raise DataLoss(f"{archive.name} unpacks to more than {UNPACKED_BYTES_MAX} bytes or {MEMBERS_MAX} members")
        yield member


def _copy(source: IO[bytes], file: DataFile, folder: Path) -> None:
    digest = hashlib.sha256()
    left = file.size
    with (folder / file.name).open("xb") as target:
        while chunk := source.read(CHUNK_BYTES):
            if len(chunk) > left:
                raise DataLoss(f"{file.member} is larger than the {file.size} bytes that the catalogue states")
            left -= len(chunk)
            digest.update(chunk)
            target.write(chunk)
    if digest.hexdigest() != file.sha256:
        raise DataLoss(
            f"{file.member} has {file.size - left} bytes with SHA-256 {digest.hexdigest()}; "
            f"the catalogue states {file.size} and {file.sha256}"
        )


@contextmanager
def _damage_reported(archive: Path) -> Generator[None]:
    # zipfile raises RuntimeError for encrypted members and NotImplementedError for methods it lacks.
    damage = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, RuntimeError)
    try:
        yield
    except damage as error:
        raise DataLoss(f"{archive.name} is no archive that can be read: {error}") from error
