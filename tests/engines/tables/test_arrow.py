"""Data that comes in as Arrow is held to a table's columns, and partitions are found in it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pytest

from soundstage.core.errors import InvalidArgument, TooLarge
from soundstage.engines.tables import arrow
from soundstage.engines.tables.arrow import Touched, checked, chosen, expression, schema_of, slices
from soundstage.engines.tables.filters import (
    ALL,
    Among,
    Both,
    Compare,
    Either,
    Filter,
    Missing,
    equal,
    missing,
    opposite,
)
from soundstage.engines.tables.port import PARTITIONS_MAX, Column, ColumnType, PartitionField

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)


def one(kind: ColumnType, *, required: bool = False) -> tuple[Column, ...]:
    return (Column(name="a", type=kind, required=required),)


def taken(array: Any, kind: ColumnType) -> list[Any]:
    parts = list(slices(pa.table({"a": array}), one(kind)))
    assert all(part.schema == schema_of(one(kind)) for part in parts)
    return [value for part in parts for value in part.column("a").to_pylist()]


@pytest.mark.parametrize(
    ("array", "kind", "values"),
    [
        (pa.array([1, None], pa.int8()), "int32", [1, None]),
        (pa.array([7], pa.uint64()), "int64", [7]),
        (pa.array([1], pa.int64()), "float64", [1.0]),
        (pa.array([0.5], pa.float32()), "float64", [0.5]),
        (pa.array(["x"], pa.large_string()), "text", ["x"]),
        (pa.array(["x", None]).dictionary_encode(), "text", ["x", None]),
        (pa.array([b"x"], pa.large_binary()), "bytes", [b"x"]),
        (pa.array([date(2026, 1, 1)], pa.date64()), "date", [date(2026, 1, 1)]),
        (pa.array([NOON], pa.timestamp("s", tz="Europe/Berlin")), "instant", [NOON]),
        (pa.array([NOON], pa.timestamp("ns", tz="UTC")), "instant", [NOON]),
        (pa.nulls(2), "boolean", [None, None]),
    ],
    ids=str,
)
def test_values_that_fit_without_loss_are_taken(array: Any, kind: ColumnType, values: list[Any]) -> None:
    assert taken(array, kind) == values


@pytest.mark.parametrize(
    ("array", "kind"),
    [
        (pa.array([1 << 40]), "int32"),
        (pa.array([1 << 63], pa.uint64()), "int64"),
        (pa.array([(1 << 53) + 1]), "float64"),
        (pa.array([0.5]), "int64"),
        (pa.array([0.1], pa.float64()), "float32"),
        (pa.array(["1"]), "int64"),
        (pa.array([1]), "text"),
        (pa.array([b"x"]), "text"),
        (pa.array(["x"]), "bytes"),
        (pa.array([True]), "int32"),
        (pa.array([1]), "boolean"),
        (pa.array([datetime(2026, 1, 1)], pa.timestamp("us")), "instant"),
        (pa.array([1], pa.timestamp("ns", tz="UTC")), "instant"),
        (pa.array([NOON]), "date"),
        (pa.array([[1]]), "int64"),
    ],
    ids=str,
)
def test_values_that_would_be_others_are_refused_by_their_column(array: Any, kind: ColumnType) -> None:
    with pytest.raises(InvalidArgument) as refused:
        taken(array, kind)
    assert refused.value.field == "a"


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ([1], "data"),
        (pa.table({"b": [1]}), "data"),
        (pa.table([[1], [2]], names=["a", "a"]), "data"),
        (pa.table({"a": pa.nulls(1)}), "a"),
    ],
    ids=["no stream", "another column", "a column twice", "a value missing"],
)
def test_data_of_another_shape_is_refused(data: Any, field: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        list(slices(data, one("int64", required=True)))
    assert refused.value.field == field


def test_data_without_a_required_column_is_refused() -> None:
    columns = (*one("int64", required=True), Column(name="b", type="text"))
    with pytest.raises(InvalidArgument) as refused:
        list(slices(pa.table({"b": ["x"]}), columns))
    assert refused.value.field == "a"


def test_a_long_stream_comes_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow, "SLICE_ROWS", 10)
    whole = pa.table({"a": list(range(25))})
    reader = pa.RecordBatchReader.from_batches(whole.schema, whole.to_batches(max_chunksize=4))
    assert [part.num_rows for part in slices(reader, one("int64"))] == [12, 12, 1]


def test_a_wide_stream_comes_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow, "SLICE_BYTES", 80)
    whole = pa.table({"a": list(range(25))})
    reader = pa.RecordBatchReader.from_batches(whole.schema, whole.to_batches(max_chunksize=4))
    assert [part.num_rows for part in slices(reader, one("int64"))] == [12, 12, 1]


def test_no_rows_are_no_slice() -> None:
    assert list(slices(pa.table({"a": pa.array([], pa.int64())}), one("int64"))) == []


@pytest.mark.parametrize(
    ("kind", "where"),
    [
        ("int32", equal("a", 1 << 31)),
        ("int64", equal("a", 1.0)),
        ("int64", equal("a", True)),
        ("boolean", equal("a", 1)),
        ("text", equal("a", b"x")),
        ("date", equal("a", NOON)),
        ("instant", equal("a", date(2026, 1, 1))),
        ("instant", equal("a", datetime(2026, 1, 1))),
        ("int64", opposite(equal("b", 1))),
        ("int64", missing("b")),
    ],
    ids=str,
)
def test_a_filter_is_about_columns_there_are_and_values_of_theirs(kind: ColumnType, where: Filter) -> None:
    with pytest.raises(InvalidArgument) as refused:
        checked(where, one(kind))
    assert refused.value.field == "where"


@pytest.mark.parametrize(
    ("where", "left"),
    [
        (equal("a", 1), [1]),
        (opposite(equal("a", 1)), [2]),
        (opposite(Among("a", (1, 3))), [2]),
        (missing("a"), [None]),
        (Either((Compare("a", ">", 1), Missing("a"))), [2, None]),
        (Both((Compare("a", ">=", 1), Compare("a", "<", 2))), [1]),
    ],
    ids=str,
)
def test_an_expression_is_true_where_its_filter_holds(where: Filter, left: list[Any]) -> None:
    found = expression(checked(where, one("int64")), one("int64"))
    assert pa.table({"a": [1, 2, None]}).filter(found)["a"].to_pylist() == left


def test_for_all_rows_there_is_no_expression() -> None:
    assert expression(ALL, one("int64")) is None


def test_columns_are_chosen_once_each_and_in_any_order() -> None:
    columns = (*one("int64"), Column(name="b", type="text"))
    assert (chosen(None, columns), chosen(("b", "a"), columns)) == (["a", "b"], ["b", "a"])


def touched(partitions: tuple[PartitionField, ...], table: Any) -> Filter | None:
    found = Touched(partitions)
    for part in table.to_batches(max_chunksize=2):
        found.add(pa.Table.from_batches([part]))
    return found.filter()


def test_without_partitions_all_rows_are_replaced() -> None:
    assert touched((), pa.table({"a": [1]})) == ALL


def test_no_rows_touch_no_partition() -> None:
    assert touched((PartitionField(column="a"),), pa.table({"a": pa.array([], pa.int64())})) is None


def test_partitions_by_value_are_those_values() -> None:
    found = touched((PartitionField(column="a"),), pa.table({"a": [3, 3, None]}))
    assert found == Either((Among("a", (3,)), Missing("a")))


@pytest.mark.parametrize(
    ("by", "end"),
    [
        ("hour", datetime(2026, 12, 31, 13, tzinfo=UTC)),
        ("day", datetime(2027, 1, 1, tzinfo=UTC)),
        ("month", datetime(2027, 1, 1, tzinfo=UTC)),
        ("year", datetime(2027, 1, 1, tzinfo=UTC)),
    ],
)
def test_partitions_by_time_are_stretches_of_it(by: Any, end: datetime) -> None:
    at = pa.array([datetime(2026, 12, 31, 12, 30, tzinfo=UTC)], pa.timestamp("us", tz="UTC"))
    found = touched((PartitionField(column="a", by=by),), pa.table({"a": at}))
    match found:
        case Either((Both((Both((_, last)),)),)):
            assert last == Compare("a", "<", end)
        case _:
            pytest.fail(f"{found} is no stretch of time")


def test_days_and_months_of_dates_are_dates() -> None:
    found = touched((PartitionField(column="a", by="month"),), pa.table({"a": pa.array([date(2026, 2, 10)])}))
    assert found == Either(
        (Both((Both((Compare("a", ">=", date(2026, 2, 1)), Compare("a", "<", date(2026, 3, 1)))),)),)
    )


def test_more_partitions_than_may_be_touched_are_too_large() -> None:
    with pytest.raises(TooLarge):
        touched((PartitionField(column="a"),), pa.table({"a": list(range(PARTITIONS_MAX + 1))}))


def test_buckets_say_nothing_of_their_rows() -> None:
    with pytest.raises(InvalidArgument):
        Touched((PartitionField(column="a", by="bucket"),))
