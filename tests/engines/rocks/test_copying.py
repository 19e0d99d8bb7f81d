from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from rocksdict import Cache, Rdict
from tests.engines.rocks.images import ROWS, count, crash_image, log_of, overwrite, rows_in

from soundstage.core.errors import AlreadyExists, DataLoss, NotFound, Unavailable
from soundstage.engines.rocks.copying import PART_BYTES, backup, copy_to, likeness, part_of
from soundstage.engines.rocks.opening import open_rdict
from soundstage.engines.rocks.options import RocksOptions


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return crash_image(tmp_path / "source")


@pytest.fixture
def db(source: Path) -> Iterator[Rdict]:
    opened = open_rdict(str(source), RocksOptions(), Cache(1 << 20))
    yield opened
    opened.close()


@pytest.fixture
def memory_disk() -> Iterator[Path]:
    """A folder on another file system than the disk's."""
    with TemporaryDirectory(prefix="soundstage-", dir="/dev/shm") as folder:
        yield Path(folder)


def test_a_copy_opens_with_everything(db: Rdict, source: Path, tmp_path: Path) -> None:
    copy_to(db, str(source), str(tmp_path / "copy"))
    assert rows_in(tmp_path / "copy") == ROWS


def test_a_copy_has_the_format(db: Rdict, source: Path, tmp_path: Path) -> None:
    copy_to(db, str(source), str(tmp_path / "copy"))
    assert (tmp_path / "copy" / "FORMAT").read_bytes() == (source / "FORMAT").read_bytes()


def test_a_copy_has_what_was_written_last(db: Rdict, source: Path, tmp_path: Path) -> None:
    db.put(b"last", b"one")
    copy_to(db, str(source), str(tmp_path / "copy"))
    assert rows_in(tmp_path / "copy") == ROWS + 1


def test_a_copy_stays_as_it_was(db: Rdict, source: Path, tmp_path: Path) -> None:
    copy_to(db, str(source), str(tmp_path / "copy"))
    db.delete(b"000001")
    db.flush()
    assert rows_in(tmp_path / "copy") == ROWS


def test_a_copy_on_the_same_disk_shares_its_tables(db: Rdict, source: Path, tmp_path: Path) -> None:
    copy_to(db, str(source), str(tmp_path / "copy"))
    table = next((tmp_path / "copy").glob("*.sst"))
    assert table.stat().st_ino == (source / table.name).stat().st_ino


def test_a_copy_on_another_disk_opens_with_everything(db: Rdict, source: Path, memory_disk: Path) -> None:
    copy_to(db, str(source), str(memory_disk / "copy"))
    assert rows_in(memory_disk / "copy") == ROWS
    assert [path.name for path in memory_disk.iterdir()] == ["copy"]


def test_a_copy_on_another_disk_leaves_nothing_on_this_one(
    db: Rdict, source: Path, memory_disk: Path, tmp_path: Path
) -> None:
    copy_to(db, str(source), str(memory_disk / "copy"))
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_what_is_there_is_not_overwritten(db: Rdict, source: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    with pytest.raises(AlreadyExists, match="copy exists"):
        copy_to(db, str(source), str(tmp_path / "copy"))
    assert list((tmp_path / "copy").iterdir()) == []


def test_a_copy_that_fails_leaves_nothing(db: Rdict, source: Path, tmp_path: Path) -> None:
    (source / "FORMAT").unlink()
    with pytest.raises(Unavailable, match="copy cannot be used"):
        copy_to(db, str(source), str(tmp_path / "copy"))
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_the_draft_of_a_copy_that_was_cut_off_is_in_nobodys_way(db: Rdict, source: Path, tmp_path: Path) -> None:
    (tmp_path / "copy.draft").mkdir()
    (tmp_path / "copy.draft" / "CURRENT").touch()
    copy_to(db, str(source), str(tmp_path / "copy"))
    assert rows_in(tmp_path / "copy") == ROWS


def test_a_place_that_cannot_be_is_unavailable(db: Rdict, source: Path, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="No such file"):
        copy_to(db, str(source), str(tmp_path / "no" / "folder" / "copy"))


def test_a_likeness_opens_like_the_copy_and_leaves_it_as_it_was(source: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in source.iterdir()}
    with likeness(str(source)) as here:
        db = open_rdict(here, RocksOptions(), Cache(1 << 20), read_only=True)
        assert count(db) == ROWS
        db.close()
    assert {path.name: path.stat().st_mtime_ns for path in source.iterdir()} == before


def test_a_likeness_is_gone_afterwards(source: Path) -> None:
    with likeness(str(source)) as here:
        assert Path(here).is_dir()
    assert not Path(here).exists()


def test_errors_of_a_likeness_speak_of_the_copy(source: Path) -> None:
    overwrite(log_of(source), 0.5, b"\xff" * 50)
    with pytest.raises(DataLoss) as caught, likeness(str(source)) as here:
        rows_in(Path(here))
    assert str(source) in caught.value.detail
    assert here not in str(caught.value)


def test_errors_of_the_driver_in_a_likeness_are_ours(source: Path) -> None:
    with pytest.raises(DataLoss, match=f"{source}/x is gone"), likeness(str(source)) as here:
        raise Exception(f"Corruption: {here}/x is gone")


def test_a_likeness_of_nothing_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="No such file"), likeness(str(tmp_path / "gone")):
        pass


def test_a_backup_is_open_to_read_until_it_is_left(db: Rdict, source: Path, tmp_path: Path) -> None:
    copy_to(db, str(source), str(tmp_path / "copy"))
    with backup(str(tmp_path / "copy"), RocksOptions()) as (opened, families):
        assert "default" in families
        assert opened.latest_sequence_number() == db.latest_sequence_number()
    assert rows_in(tmp_path / "copy") == ROWS


def test_a_folder_without_a_backup_is_none(tmp_path: Path) -> None:
    with pytest.raises(NotFound), backup(str(tmp_path), RocksOptions()):
        raise AssertionError("it was opened")


def test_parts_end_with_the_row_that_fills_them() -> None:
    size = PART_BYTES // 2 - 1
    rows = iter([(b"%d" % number, bytes(size)) for number in range(4)])
    assert [[key for key, _ in part_of(rows)] for _ in range(3)] == [[b"0", b"1"], [b"2", b"3"], []]
