"""Folders as a crash leaves them: copied from under an open database, and damaged where a test says."""

from __future__ import annotations

import shutil
from pathlib import Path

from rocksdict import Cache, Rdict, WriteBatch

from soundstage.engines.rocks.folder import check_format
from soundstage.engines.rocks.opening import open_rdict
from soundstage.engines.rocks.options import RocksOptions
from soundstage.engines.rocks.settings import family_options

ROWS = 2_000
VALUE = b"v" * 200


def crash_image(folder: Path, *, tables: bool = False, families: tuple[str, ...] = ()) -> Path:
    """`ROWS` rows, each flushed to the log, or to table files, of a database that never closed."""
    live = folder.with_name(f"{folder.name}-live")
    live.mkdir()
    check_format(str(live))
    db = open_rdict(str(live), RocksOptions(), Cache(1 << 20))
    for name in families:
        db.create_column_family(name, family_options(RocksOptions(), Cache(1 << 20)))
    for number in range(ROWS):
        rows = WriteBatch(raw_mode=True)
        rows.put(key(number), VALUE)
        db.write(rows)
    db.flush_wal(True)
    if tables:
        db.flush()
    shutil.copytree(live, folder)
    db.close()
    shutil.rmtree(live)
    return folder


def key(number: int) -> bytes:
    return b"%06d" % number


def log_of(folder: Path) -> Path:
    """The newest write-ahead log."""
    return sorted(folder.glob("[0-9]*.log"))[-1]


def table_of(folder: Path) -> Path:
    """The newest table file."""
    return sorted(folder.glob("*.sst"))[-1]


def overwrite(path: Path, at: float, content: bytes) -> None:
    """`content` lies over what was at the share `at` of the file."""
    with open(path, "r+b") as file:
        file.seek(int(path.stat().st_size * at))
        file.write(content)


def cut(path: Path, size: int) -> None:
    """The last `size` bytes are gone."""
    with open(path, "r+b") as file:
        file.truncate(path.stat().st_size - size)


def rows_in(folder: Path) -> int:
    """How many rows the database in `folder` has, opened as usual."""
    db = open_rdict(str(folder), RocksOptions(), Cache(1 << 20))
    try:
        return count(db)
    finally:
        db.close()


def count(db: Rdict) -> int:
    """How many rows there are; raises the driver's error where they cannot be read."""
    rows, found = db.iter(), 0
    rows.seek_to_first()
    while rows.valid():
        found += 1
        rows.next()
    rows.status()
    return found


def add_table(folder: Path) -> None:
    """A newer table file holds a hundred rows more."""
    db = open_rdict(str(folder), RocksOptions(), Cache(1 << 20))
    for number in range(ROWS, ROWS + 100):
        db.put(key(number), VALUE)
    db.flush()
    db.close()
