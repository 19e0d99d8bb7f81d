"""A disk that loses power: what was not flushed is gone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from pathlib import Path
from struct import Struct

_RECORD = Struct("@QQ")
SOURCE: Path = Path(__file__).with_name("shim.c")


class NoCompiler(FileNotFoundError):
    """There is no C compiler to build the shim with; says what to install."""

    def __init__(self) -> None:
        super().__init__("no C compiler was found: apt-get install gcc libc6-dev")


def build_shim(folder: Path) -> Path:
    """The preloadable library, compiled into `folder` with the system's C compiler. Raises `NoCompiler`."""
    named = (os.environ.get("CC"), "cc", "gcc")
    compiler = next((found for name in named if name and (found := shutil.which(name))), None)
    if compiler is None:
        raise NoCompiler
    library = folder / f"flush_shim{sysconfig.get_config_var('SHLIB_SUFFIX') or '.so'}"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl"],
        check=True,
        capture_output=True,
        timeout=60,
    )
    return library


def shim_variables(library: Path, journal: Path, delay_ms: int = 0) -> dict[str, str]:
    """The environment variables that put a process on such a disk."""
    variables = {"LD_PRELOAD": str(library), "SOUNDSTAGE_SHIM_JOURNAL": str(journal)}
    if delay_ms:
        variables["SOUNDSTAGE_SHIM_DELAY_MS"] = str(delay_ms)
    return variables


def flushed_sizes(journal: Path) -> dict[int, int]:
    """The size of each file, by inode, that has certainly reached the disk."""
    if not journal.exists():
        return {}
    sizes: dict[int, int] = {}
    for inode, size in _RECORD.iter_unpack(_whole_records(journal.read_bytes())):
        # Two threads may flush one file and be noted in either order; 0 is the end of a file.
        sizes[inode] = max(size, sizes.get(inode, 0)) if size else 0
    return sizes


def lose_power(folder: Path, journal: Path) -> int:
    """Every file in `folder` is cut to what was flushed of it; returns how many bytes were lost.

    For files that only grow, as write-ahead logs do: bytes overwritten in place are not undone. A name that
    was given without flushing its folder is kept.
    """
    sizes = flushed_sizes(journal)
    lost = 0
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        found = path.stat()
        kept = min(found.st_size, sizes.get(found.st_ino, 0))
        if kept < found.st_size:
            lost += found.st_size - kept
            os.truncate(path, kept)
    return lost


def _whole_records(content: bytes) -> bytes:
    return content[: len(content) - len(content) % _RECORD.size]
