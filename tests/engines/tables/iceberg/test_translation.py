"""The port's words and the driver's say the same."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any, get_args

import pyiceberg.expressions
import pytest
from pyiceberg import types
from pyiceberg.partitioning import PartitionField as DriverField
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table.metadata import new_table_metadata
from pyiceberg.table.sorting import UNSORTED_SORT_ORDER
from pyiceberg.transforms import TruncateTransform

from soundstage.core.errors import PreconditionFailed
from soundstage.engines.tables.filters import ALL, Filter, among, both, either, equal, missing, normal, opposite
from soundstage.engines.tables.iceberg.translation import (
    TYPES,
    branches_of,
    condition,
    partitions_of,
    schema_of,
    spec_of,
    summary_of,
)
from soundstage.engines.tables.port import Column, ColumnType, PartitionField, TableSpec

words: Any = pyiceberg.expressions
"""Their constructors take more than their types say."""

EVERYTHING = TableSpec(
    name="films",
    columns=(
        Column(name="id", type="int64", required=True, doc="of the film"),
        *(Column(name=f"a_{kind}", type=kind) for kind in get_args(ColumnType)),
    ),
    partitions=(
        PartitionField(column="a_text"),
        PartitionField(column="a_date", by="month"),
        PartitionField(column="a_instant", by="hour"),
        PartitionField(column="id", by="bucket", buckets=7),
    ),
)


def metadata(schema: Any, partitions: Any) -> Any:
    return new_table_metadata(schema, partitions, UNSORTED_SORT_ORDER, "file:///tmp/films")


def test_every_type_has_a_word_of_the_driver() -> None:
    assert set(TYPES) == set(get_args(ColumnType))


def test_a_table_comes_back_as_it_was_described() -> None:
    assert spec_of("films", metadata(schema_of(EVERYTHING.columns), partitions_of(EVERYTHING))) == EVERYTHING


def test_a_table_without_partitions_has_none() -> None:
    spec = TableSpec(name="films", columns=EVERYTHING.columns)
    assert spec_of("films", metadata(schema_of(spec.columns), partitions_of(spec))) == spec


def test_a_type_of_others_is_refused_by_its_column() -> None:
    schema = Schema(types.NestedField(1, "price", types.DecimalType(10, 2), required=False))
    with pytest.raises(PreconditionFailed, match="price"):
        spec_of("films", metadata(schema, PartitionSpec()))


def test_a_partition_of_others_is_refused() -> None:
    schema = Schema(types.NestedField(1, "title", types.StringType(), required=False))
    partitions = PartitionSpec(DriverField(source_id=1, field_id=1000, transform=TruncateTransform(3), name="t"))
    with pytest.raises(PreconditionFailed, match="partitioned"):
        spec_of("films", metadata(schema, partitions))


@pytest.mark.parametrize(
    ("where", "same"),
    [
        (ALL, words.AlwaysTrue()),
        (equal("a", 1), words.EqualTo("a", 1)),
        (opposite(equal("a", 1)), words.And(words.NotEqualTo("a", 1), words.NotNull("a"))),
        (among("a", 1, 2), words.In("a", [1, 2])),
        (missing("a"), words.IsNull("a")),
        (opposite(missing("a")), words.NotNull("a")),
        (both(equal("a", 1), missing("b")), words.And(words.EqualTo("a", 1), words.IsNull("b"))),
        (either(equal("a", 1), missing("b")), words.Or(words.EqualTo("a", 1), words.IsNull("b"))),
        (both(equal("a", 1)), words.EqualTo("a", 1)),
        (equal("a", date(2026, 1, 2)), words.EqualTo("a", "2026-01-02")),
        (equal("a", datetime(2026, 1, 2, 3, tzinfo=UTC)), words.EqualTo("a", "2026-01-02T03:00:00+00:00")),
    ],
    ids=str,
)
def test_a_filter_is_an_expression_of_the_driver(where: Filter, same: object) -> None:
    assert condition(normal(where)) == same


def test_main_is_there_from_the_first() -> None:
    assert branches_of(metadata(schema_of(EVERYTHING.columns), PartitionSpec())) == {"main": 0}


def test_what_is_said_is_told_apart_from_what_the_driver_says() -> None:
    assert summary_of("call", "append", {"operation": "mine"}) == {
        "soundstage.call": "call",
        "soundstage.change": "append",
        "said.operation": "mine",
    }
