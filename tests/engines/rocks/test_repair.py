from __future__ import annotations

from pathlib import Path

import pytest
from rocksdict import Rdict
from tests.engines.rocks.images import ROWS, add_table, crash_image, cut, log_of, overwrite, rows_in, table_of

from soundstage.core.errors import DataLoss, InvalidArgument, Unavailable
from soundstage.engines.rocks.folder import FolderLock
from soundstage.engines.rocks.repair import Method, repair


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return crash_image(tmp_path / "image")


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    return crash_image(tmp_path / "image", tables=True)


def repaired(folder: Path) -> Method:
    report = repair(str(folder), accept_loss=True)
    assert report.folder == str(folder)
    return report.method


def test_nothing_is_done_without_consent(image: Path) -> None:
    overwrite(log_of(image), 0.5, b"\xff" * 50)
    before = {path.name: path.read_bytes() for path in image.iterdir()}
    with pytest.raises(InvalidArgument) as caught:
        repair(str(image), accept_loss=False)
    assert caught.value.field == "accept_loss"
    assert {path.name: path.read_bytes() for path in image.iterdir()} == before


def test_a_file_that_says_no_format_is_written_anew(image: Path) -> None:
    (image / "FORMAT").write_bytes(b"")
    assert repaired(image) == "format"
    assert repaired(image) == "nothing"


def test_a_newer_format_is_not_written_over(image: Path) -> None:
    (image / "FORMAT").write_bytes(b'{"format":99}')
    with pytest.raises(InvalidArgument, match="has the format 99"):
        repaired(image)


def test_a_whole_folder_loses_nothing(image: Path) -> None:
    assert repaired(image) == "nothing"
    assert rows_in(image) == ROWS


def test_a_torn_log_is_no_damage(image: Path) -> None:
    cut(log_of(image), 100)
    assert repaired(image) == "nothing"
    assert rows_in(image) == ROWS - 1


def test_a_damaged_log_keeps_what_comes_before_the_damage(image: Path) -> None:
    overwrite(log_of(image), 0.5, b"\xff" * 50)
    assert repaired(image) == "log"
    assert ROWS * 0.45 < rows_in(image) < ROWS * 0.55


def test_a_repaired_folder_is_whole(image: Path) -> None:
    overwrite(log_of(image), 0.5, b"\xff" * 50)
    repaired(image)
    left = rows_in(image)
    assert repaired(image) == "nothing"
    assert rows_in(image) == left


@pytest.mark.parametrize("at", [0.1, 0.99])
def test_a_table_with_a_damaged_block_is_taken_out(tables: Path, at: float) -> None:
    table = table_of(tables)
    overwrite(table, at, b"\xff" * 20)
    assert repaired(tables) == "tables"
    assert rows_in(tables) == 0
    assert (tables / "lost" / table.name).exists()


def test_a_table_that_is_cut_short_is_taken_out_and_the_others_stay(tables: Path) -> None:
    add_table(tables)
    cut(table_of(tables), 1_000)
    assert repaired(tables) == "tables"
    assert rows_in(tables) == ROWS


def test_a_table_that_is_missing_costs_its_rows_only(tables: Path) -> None:
    add_table(tables)
    table_of(tables).unlink()
    assert repaired(tables) == "tables"
    assert rows_in(tables) == ROWS


def test_a_lost_list_of_files_costs_nothing(tables: Path) -> None:
    overwrite(next(tables.glob("MANIFEST-*")), 0.1, b"\xff" * 20)
    assert repaired(tables) == "tables"
    assert rows_in(tables) == ROWS


def test_a_lost_name_of_the_list_of_files_costs_nothing(tables: Path) -> None:
    (tables / "CURRENT").unlink()
    assert repaired(tables) == "tables"
    assert rows_in(tables) == ROWS


def test_a_held_folder_is_not_touched(image: Path) -> None:
    lock = FolderLock(str(image))
    with pytest.raises(Unavailable, match="is open in the process"):
        repair(str(image), accept_loss=True)
    lock.release()


def test_the_folder_is_free_after_a_repair_and_after_a_refusal(image: Path) -> None:
    repaired(image)
    (image / "FORMAT").write_bytes(b'{"format":99}')
    with pytest.raises(InvalidArgument):
        repaired(image)
    FolderLock(str(image)).release()


def test_a_newer_format_is_not_repaired(image: Path) -> None:
    (image / "FORMAT").write_bytes(b'{"format":2}')
    with pytest.raises(InvalidArgument, match="has the format 2"):
        repaired(image)


def test_what_cannot_be_saved_is_data_loss(image: Path) -> None:
    (image / "LOCK").unlink(missing_ok=True)
    (image / "LOCK").mkdir()
    with pytest.raises(DataLoss, match=r"nothing in .* can be saved") as caught:
        repaired(image)
    assert caught.value.hint == "restore a backup"


def test_who_mends_is_told_by_which_method_and_keeps_what_it_writes(image: Path) -> None:
    told: list[Method] = []

    def mend(db: Rdict, method: Method) -> None:
        told.append(method)
        db.put(b"mended", b"yes")

    repair(str(image), accept_loss=True, mend=mend)
    assert told == ["nothing"]
    assert rows_in(image) == ROWS + 1
