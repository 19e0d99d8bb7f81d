"""Columns as items, row by row."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from soundstage.core import version
from soundstage.core.errors import InvalidArgument
from soundstage.data.kv.parquet.columns import Bounds, cell_of, chosen, entries
from soundstage.data.kv.parquet.rows import schema

BOUNDS = Bounds(1_000_000)


def batch(**columns: object) -> Any:
    return pa.RecordBatch.from_pydict({"id": ["a"], "key": ["k"], "value": ["v"], **columns})


def test_columns_are_read_that_an_item_has() -> None:
    names = pa.schema([(name, pa.string()) for name in ("value", "time", "key", "codec", "id")])
    assert chosen(names, keep=False) == ["id", "key", "value", "codec"]
    assert chosen(schema(), keep=True) == ["id", "key", "value", "token", "time", "expires_at", "codec"]


def test_a_column_that_comes_twice_is_refused() -> None:
    names = pa.schema([(name, pa.string()) for name in ("id", "key", "value", "id")])
    with pytest.raises(InvalidArgument):
        chosen(names, keep=False)


def test_an_entry_is_a_cell_of_its_version() -> None:
    columns = {"token": ["t"], "time": pa.array([7], pa.timestamp("us", "UTC"))}
    (entry,) = entries(batch(**columns), 1, BOUNDS, keep=True)
    assert cell_of(entry) == version.put(7, "t", b"v")


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_of_every_unit_are_microseconds(unit: str) -> None:
    expires = pa.array([2_000_000], pa.timestamp("us", "UTC")).cast(pa.timestamp(unit, "UTC"))
    (entry,) = entries(batch(expires_at=expires), 1, BOUNDS, keep=False)
    assert entry.expires_us == 2_000_000


def test_rows_count_on_from_the_first() -> None:
    with pytest.raises(InvalidArgument, match="row 42 "):
        list(entries(batch(id=[None]), 42, BOUNDS, keep=False))
