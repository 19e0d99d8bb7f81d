from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from rocksdict import Cache, DbClosedError, Rdict, WriteBatch

from soundstage.core.size import Size
from soundstage.engines.rocks.disk import Disk, Stalled
from soundstage.engines.rocks.options import RocksOptions
from soundstage.engines.rocks.settings import open_options


def batch(key: bytes, value: bytes) -> WriteBatch:
    rows = WriteBatch(raw_mode=True)
    rows.put(key, value)
    return rows


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Rdict]:
    options = RocksOptions(write_buffer=Size(64 << 10))
    opened = Rdict(str(tmp_path / "database"), open_options(options, Cache(1 << 20)))
    yield opened
    with suppress(DbClosedError):
        opened.close()


def test_what_is_written_is_read(db: Rdict) -> None:
    Disk().write(db, batch(b"key", b"value"))
    assert db.get(b"key") == b"value"


def test_a_stall_is_told_and_the_write_not_made(db: Rdict) -> None:
    """A memtable of 64 KiB fills faster than anything can flush it."""
    disk, stalled_at = Disk(), None
    for number in range(10_000):
        try:
            disk.write(db, batch(b"%06d" % number, b"v" * 10_000))
        except Stalled:
            stalled_at = number
            break
    assert stalled_at is not None
    assert db.get(b"%06d" % stalled_at) is None


def test_other_errors_of_the_driver_are_raised_as_they_are(db: Rdict) -> None:
    db.close()
    with pytest.raises(DbClosedError):
        Disk().write(db, batch(b"key", b"value"))


def test_a_flush_of_an_open_database_passes(db: Rdict) -> None:
    disk = Disk()
    disk.write(db, batch(b"key", b"value"))
    disk.flush(db)


def test_free_bytes_are_those_of_the_disk_of_the_folder(tmp_path: Path) -> None:
    assert Disk().free_bytes(str(tmp_path)) > 0


def test_a_folder_that_is_not_there_has_no_free_bytes(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Disk().free_bytes(str(tmp_path / "gone"))
