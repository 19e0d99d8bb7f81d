"""The films that the suite of tables keeps: their rows, filters and what these give, and how a scan is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from soundstage.engines.tables.arrow import TYPES, pa
from soundstage.engines.tables.filters import (
    ALL,
    Filter,
    above,
    among,
    at_least,
    at_most,
    below,
    both,
    either,
    equal,
    missing,
    opposite,
    unequal,
)
from soundstage.engines.tables.port import NOW, At, Column, PartitionField, Tables, TableSpec

Row = Mapping[str, object]

COLUMNS = (
    Column(name="id", type="int64", required=True),
    Column(name="genre", type="text"),
    Column(name="stars", type="float64"),
)
SPEC = TableSpec(name="films", columns=COLUMNS)
BY_GENRE = TableSpec(name="films", columns=COLUMNS, partitions=(PartitionField(column="genre"),))

FILMS: tuple[Row, ...] = (
    {"id": 1, "genre": "drama", "stars": 4.5},
    {"id": 2, "genre": "crime", "stars": 5.0},
    {"id": 3, "genre": None, "stars": 3.0},
    {"id": 4, "genre": "drama", "stars": None},
)

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
EVERY_TYPE: Mapping[str, Sequence[object]] = {
    "boolean": (True, False, None),
    "int32": (-(1 << 31), (1 << 31) - 1, None),
    "int64": (-(1 << 63), (1 << 63) - 1, None),
    "float32": (0.5, -1.25, None),
    "float64": (0.1, -1e300, None),
    "text": ("Größe", "", None),
    "bytes": (b"\x00\xff", b"", None),
    "date": (date(1969, 12, 31), date(2026, 11, 26), None),
    "instant": (NOON, datetime(1960, 1, 1, 0, 0, 0, 1, tzinfo=UTC), None),
}

WRONG_SPECS = (
    TableSpec(name="Films", columns=COLUMNS),
    TableSpec(name="a.b.c", columns=COLUMNS),
    TableSpec(name="films", columns=()),
    TableSpec(name="films", columns=(*COLUMNS, Column(name="ID", type="text"))),
    TableSpec(name="films", columns=(Column(name="a b", type="text"),)),
    TableSpec(name="films", columns=COLUMNS, partitions=(PartitionField(column="year"),)),
    TableSpec(name="films", columns=COLUMNS, partitions=(PartitionField(column="stars"),)),
    TableSpec(name="films", columns=COLUMNS, partitions=(PartitionField(column="genre", by="day"),)),
)

FILTERS: tuple[tuple[Filter, list[int]], ...] = (
    (ALL, [1, 2, 3, 4]),
    (equal("genre", "drama"), [1, 4]),
    (unequal("genre", "drama"), [2]),
    (below("stars", 4.5), [3]),
    (at_most("stars", 4.5), [1, 3]),
    (above("stars", 4.5), [2]),
    (at_least("stars", 4.5), [1, 2]),
    (among("genre", "drama", "comedy"), [1, 4]),
    (opposite(among("genre", "drama", "comedy")), [2]),
    (missing("genre"), [3]),
    (opposite(missing("genre")), [1, 2, 4]),
    (opposite(equal("genre", "drama")), [2]),
    (both(equal("genre", "drama"), at_least("stars", 1.0)), [1]),
    (either(equal("genre", "crime"), missing("stars")), [2, 4]),
    (opposite(either(equal("genre", "crime"), equal("id", 1))), [4]),
    (opposite(both(equal("genre", "drama"), equal("stars", 4.5))), [2, 3]),
    (equal("id", 9), []),
)

MISFITS: tuple[dict[str, list[object]], ...] = (
    {"id": ["1"]},
    {"id": [1.5]},
    {"id": [1], "genre": [b"drama"]},
    {"id": [1], "year": [1990]},
    {"genre": ["drama"]},
    {"id": [None]},
)

WRONG_FILTERS: tuple[Filter, ...] = (
    equal("year", 1),
    equal("id", "1"),
    equal("id", True),
    equal("id", 1 << 63),
    equal("stars", float("nan")),
    equal("genre", 1),
    among("id"),
    both(),
    opposite(ALL),
    both(ALL, equal("id", 1)),
)


def rows(*given: Row, columns: Sequence[Column] = COLUMNS) -> Any:
    """Rows as a table of Arrow, in the types of `columns`."""
    names = [column for column in columns if not given or column.name in given[0]]
    return pa.table({each.name: pa.array([row.get(each.name) for row in given], TYPES[each.type]) for each in names})


def film(number: int, genre: str | None = "drama", stars: float | None = 1.0) -> Row:
    return {"id": number, "genre": genre, "stars": stars}


async def found(tables: Tables, where: Filter = ALL, at: At = NOW, name: str = "films") -> list[Row]:
    """The rows that a scan gives, by their first column."""
    batches = [batch async for batch in tables.scan(name, where, at=at)]
    return sorted((row for batch in batches for row in batch.to_pylist()), key=lambda row: next(iter(row.values())))


async def ids(tables: Tables, where: Filter = ALL, at: At = NOW) -> list[int]:
    """The ids of the films that a scan gives."""
    return [int(str(row["id"])) for row in await found(tables, where, at)]
