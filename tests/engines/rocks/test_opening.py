from __future__ import annotations

from pathlib import Path

import pytest
from rocksdict import Cache
from tests.engines.rocks.images import ROWS, crash_image, cut, log_of, overwrite, rows_in, table_of

from soundstage.core.errors import DataLoss, Unavailable
from soundstage.engines.rocks.opening import families_of, flush_tables, open_rdict
from soundstage.engines.rocks.options import RocksOptions
from soundstage.engines.rocks.settings import family_options


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return crash_image(tmp_path / "image")


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    return crash_image(tmp_path / "image", tables=True)


def test_what_was_flushed_before_a_crash_is_there(image: Path) -> None:
    assert rows_in(image) == ROWS


def test_a_torn_last_record_opens_without_it(image: Path) -> None:
    cut(log_of(image), 100)
    assert rows_in(image) == ROWS - 1


@pytest.mark.parametrize("size", [1, 7, 33_000, 200_000])
def test_a_log_torn_anywhere_opens_with_what_is_whole(image: Path, size: int) -> None:
    cut(log_of(image), size)
    assert 0 < rows_in(image) < ROWS


def test_a_tail_of_zeros_opens_as_blocks_that_were_never_written(image: Path) -> None:
    with open(log_of(image), "ab") as log:
        log.write(bytes(4096))
    assert rows_in(image) == ROWS


def test_a_torn_log_can_be_opened_again_and_again(image: Path) -> None:
    cut(log_of(image), 100)
    assert [rows_in(image), rows_in(image)] == [ROWS - 1, ROWS - 1]


@pytest.mark.parametrize(
    ("at", "content"), [(0.0, b"\xff" * 20), (0.5, b"\xff" * 50), (0.5, bytes(50)), (0.99, b"\xff" * 20)]
)
def test_damage_inside_the_log_is_refused_naming_the_file_and_what_to_do(
    image: Path, at: float, content: bytes
) -> None:
    overwrite(log_of(image), at, content)
    with pytest.raises(DataLoss) as caught:
        rows_in(image)
    assert str(log_of(image)) in caught.value.detail
    assert "soundstage data repair --accept-loss" in str(caught.value.hint)


def test_a_refusal_changes_nothing(image: Path) -> None:
    overwrite(log_of(image), 0.5, b"\xff" * 50)
    for _ in range(2):
        with pytest.raises(DataLoss):
            rows_in(image)


def test_damage_that_the_diary_does_not_tell_of_names_the_folder(image: Path) -> None:
    (image / "CURRENT").write_bytes(b"garbage")
    with pytest.raises(DataLoss, match=f"CURRENT|{image}"):
        rows_in(image)


@pytest.mark.parametrize("loss", ["cut", "remove"])
def test_a_table_file_that_is_not_whole_is_refused_by_its_name(tables: Path, loss: str) -> None:
    path = table_of(tables)
    if loss == "cut":
        cut(path, path.stat().st_size // 2)
    else:
        path.unlink()
    with pytest.raises(DataLoss, match=path.name):
        rows_in(tables)


def test_a_damaged_manifest_is_refused_by_its_name(tables: Path) -> None:
    manifest = next(tables.glob("MANIFEST-*"))
    overwrite(manifest, 0.1, b"\xff" * 20)
    with pytest.raises(DataLoss, match=manifest.name):
        rows_in(tables)


@pytest.mark.parametrize("kind", ["log", "table"])
def test_a_database_without_current_is_refused_instead_of_begun_anew(tmp_path: Path, kind: str) -> None:
    image = crash_image(tmp_path / "image", tables=kind == "table")
    if kind == "table":
        for log in image.glob("*.log"):
            log.unlink()
    (image / "CURRENT").unlink()
    with pytest.raises(DataLoss, match=f"not the file {image}/CURRENT"):
        rows_in(image)


def test_a_folder_of_a_first_start_that_was_cut_off_begins_anew(tmp_path: Path) -> None:
    """RocksDB writes the manifest before the file that names it."""
    (tmp_path / "MANIFEST-000001").touch()
    assert rows_in(tmp_path) == 0


def test_a_folder_that_rocksdb_cannot_use_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "LOCK").mkdir()
    with pytest.raises(Unavailable, match="cannot be used"):
        open_rdict(str(tmp_path), RocksOptions(), Cache(1 << 20))


def test_all_column_families_are_opened(tmp_path: Path) -> None:
    image = crash_image(tmp_path / "image", families=("due", "t7"))
    assert sorted(families_of(str(image))) == ["default", "due", "t7"]
    db = open_rdict(str(image), RocksOptions(), Cache(1 << 20))
    assert db.get_column_family("t7").get(b"key") is None
    db.close()


def test_a_folder_without_a_database_has_no_families(tmp_path: Path) -> None:
    assert families_of(str(tmp_path)) == []


def test_a_database_that_is_only_read_takes_no_writes(tables: Path) -> None:
    db = open_rdict(str(tables), RocksOptions(), Cache(1 << 20), read_only=True)
    assert db.get(b"000001") is not None
    with pytest.raises(Exception, match="read only mode"):
        db.put(b"key", b"value")
    db.close()


def test_flushing_tables_leaves_nothing_to_the_log(image: Path) -> None:
    db = open_rdict(str(image), RocksOptions(), Cache(1 << 20))
    db.create_column_family("due", family_options(RocksOptions(), Cache(1 << 20)))
    for family in (db, db.get_column_family("due")):
        family.put(b"in the log", b"only")
    flush_tables(db)
    assert [
        db.get_column_family(name).property_int_value("rocksdb.num-entries-active-mem-table")
        for name in ("default", "due")
    ] == [0, 0]
    db.close()
