from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import cast

import pytest
from tests.datasets.depot import zipped

from soundstage.core.errors import DataLoss, InvalidArgument, NotFound
from soundstage.datasets import nycflights
from soundstage.datasets.nycflights import TABLES, Table

each_table = pytest.mark.parametrize("table", TABLES)


def write(folder: Path, table: Table, data: bytes) -> Path:
    if table == "flights":
        (folder / "flights.csv.zip").write_bytes(zipped({"flights.csv": data}))
    else:
        (folder / f"{table}.csv").write_bytes(data)
    return folder


@each_table
def test_rows_are_dicts_by_column(tmp_path: Path, table: Table) -> None:
    folder = write(tmp_path, table, b"code,name\n9E,Endeavor Air Inc.\n")
    assert list(nycflights.rows(folder, table)) == [{"code": "9E", "name": "Endeavor Air Inc."}]


@each_table
def test_na_is_none(tmp_path: Path, table: Table) -> None:
    folder = write(tmp_path, table, b"a,b,c\nNA,NAB,\n")
    assert list(nycflights.rows(folder, table)) == [{"a": None, "b": "NAB", "c": ""}]


def test_quoted_cells_keep_commas_and_line_ends(tmp_path: Path) -> None:
    folder = write(tmp_path, "airports", b'faa,name\n1,"Dallas, ""Love""\nField"\n')
    assert list(nycflights.airports(folder)) == [{"faa": "1", "name": 'Dallas, "Love"\nField'}]


@pytest.mark.parametrize("table", TABLES)
def test_each_table_has_its_reader(tmp_path: Path, table: Table) -> None:
    folder = write(tmp_path, table, b"a\n1\n")
    assert list(getattr(nycflights, table)(folder)) == [{"a": "1"}]


@each_table
def test_a_missing_table_is_not_found(tmp_path: Path, table: Table) -> None:
    with pytest.raises(NotFound, match=f"table {table} is not in"):
        list(nycflights.rows(tmp_path, table))


def test_an_unknown_table_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="no table 'trains'") as caught:
        nycflights.rows(tmp_path, cast("Table", "trains"))
    assert "airlines, airports, flights" in (caught.value.hint or "")


@each_table
@pytest.mark.parametrize("row", [b"1\n", b"1,2,3\n", b"\n"])
def test_a_row_of_other_width_is_data_loss(tmp_path: Path, table: Table, row: bytes) -> None:
    folder = write(tmp_path, table, b"a,b\n1,2\n" + row)
    with pytest.raises(DataLoss, match="line 3"):
        list(nycflights.rows(folder, table))


@each_table
def test_bytes_that_are_no_utf8_are_data_loss(tmp_path: Path, table: Table) -> None:
    with pytest.raises(DataLoss, match="damaged"):
        list(nycflights.rows(write(tmp_path, table, b"a\n\xff\n"), table))


def test_an_open_quote_is_data_loss(tmp_path: Path) -> None:
    with pytest.raises(DataLoss, match="damaged"):
        list(nycflights.planes(write(tmp_path, "planes", b'a\n"x')))


def test_a_table_without_header_has_no_rows(tmp_path: Path) -> None:
    assert list(nycflights.weather(write(tmp_path, "weather", b""))) == []


def test_a_truncated_archive_is_data_loss(tmp_path: Path) -> None:
    path = write(tmp_path, "flights", b"a\n1\n") / "flights.csv.zip"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataLoss, match="damaged"):
        list(nycflights.flights(tmp_path))


def test_a_damaged_member_is_data_loss(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("flights.csv", "a\n1\n")
    (tmp_path / "flights.csv.zip").write_bytes(buffer.getvalue().replace(b"a\n1\n", b"a\n2\n"))
    with pytest.raises(DataLoss, match="damaged"):
        list(nycflights.flights(tmp_path))


def test_an_archive_without_the_table_is_data_loss(tmp_path: Path) -> None:
    (tmp_path / "flights.csv.zip").write_bytes(zipped({"trains.csv": b""}))
    with pytest.raises(DataLoss, match="damaged"):
        list(nycflights.flights(tmp_path))
