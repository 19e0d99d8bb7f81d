"""The port's words and the driver's: columns, partitions, conditions, snapshots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from soundstage.core.errors import PreconditionFailed
from soundstage.engines.tables.filters import (
    Among,
    Both,
    Compare,
    Either,
    Everything,
    Filter,
    Missing,
    Opposite,
    Scalar,
)
from soundstage.engines.tables.iceberg.driver import expressions, partitioning, schema, transforms, types
from soundstage.engines.tables.port import Column, ColumnType, PartitionField, Snapshot, TableSpec

SAID = "said."
CALL = "soundstage.call"
CHANGE = "soundstage.change"
"""What a snapshot's summary has of ours: the caller's words, the call that made it, and of which kind that was."""

TYPES: Mapping[ColumnType, type[Any]] = {
    "boolean": types.BooleanType,
    "int32": types.IntegerType,
    "int64": types.LongType,
    "float32": types.FloatType,
    "float64": types.DoubleType,
    "text": types.StringType,
    "bytes": types.BinaryType,
    "date": types.DateType,
    "instant": types.TimestamptzType,
}
_KINDS: Mapping[type[Any], ColumnType] = {kind: name for name, kind in TYPES.items()}

_TRANSFORMS: Mapping[str, type[Any]] = {
    "value": transforms.IdentityTransform,
    "hour": transforms.HourTransform,
    "day": transforms.DayTransform,
    "month": transforms.MonthTransform,
    "year": transforms.YearTransform,
}
_WAYS: Mapping[type[Any], str] = {kind: name for name, kind in _TRANSFORMS.items()}

_OF_OTHERS = {"append": "append", "delete": "delete", "replace": "compact"}


def schema_of(columns: Sequence[Column]) -> Any:
    """The columns as the driver's schema, with the ids of a table that is made."""
    fields = [
        types.NestedField(number, column.name, TYPES[column.type](), required=column.required, doc=column.doc or None)
        for number, column in enumerate(columns, 1)
    ]
    return schema.Schema(*fields)


def partitions_of(spec: TableSpec) -> Any:
    """The partitions as the driver's spec, for a table with `schema_of` the columns."""
    ids = {column.name: number for number, column in enumerate(spec.columns, 1)}
    fields = [
        partitioning.PartitionField(
            source_id=ids[field.column],
            field_id=1_000 + number,
            transform=_transform(field),
            name=field.column if field.by == "value" else f"{field.column}__{field.by}",
        )
        for number, field in enumerate(spec.partitions)
    ]
    return partitioning.PartitionSpec(*fields)


def spec_of(name: str, metadata: Any) -> TableSpec:
    """The table as it is. Raises `PreconditionFailed` for one that others made with what the port has no word for."""
    found = metadata.schema()
    columns = tuple(_column(name, field) for field in found.fields)
    partitions = tuple(_partition(name, found, field) for field in metadata.spec().fields)
    return TableSpec(name=name, columns=columns, partitions=partitions)


def condition(where: Filter) -> Any:
    """A normal filter as the driver's expression, which holds for the same rows."""
    match where:
        case Everything():
            return expressions.AlwaysTrue()
        case Compare(column, sign, value):
            return _comparison(column, sign, value)
        case Among(column, values, out):
            plain = [_literal(value) for value in values]
            if out:
                return expressions.And(expressions.NotIn(column, plain), expressions.NotNull(column))
            return expressions.In(column, plain)
        case Missing(column, out):
            return expressions.NotNull(column) if out else expressions.IsNull(column)
        case Both(parts):
            return _joined(expressions.And, [condition(part) for part in parts])
        case Either(parts):
            return _joined(expressions.Or, [condition(part) for part in parts])
        case Opposite():
            raise AssertionError("a normal filter has no opposites")


def summary_of(call: str, change: str, said: Mapping[str, str]) -> dict[str, str]:
    """What the driver is to keep with a snapshot."""
    return {CALL: call, CHANGE: change, **{f"{SAID}{name}": value for name, value in said.items()}}


def line(metadata: Any, head: int) -> Iterator[Snapshot]:
    """The snapshots of a branch from `head` back; of those that one call made the last alone, for it was one change."""
    by_id = {each.snapshot_id: each for each in metadata.snapshots}
    current = by_id.get(head)
    while current is not None:
        call = _said(current).get(CALL)
        before = by_id.get(current.parent_snapshot_id)
        while before is not None and call is not None and _said(before).get(CALL) == call:
            before = by_id.get(before.parent_snapshot_id)
        yield _snapshot(current, 0 if before is None else before.snapshot_id)
        current = before


def call_of(snapshot: Any) -> str:
    """The call that made one of the driver's snapshots, or the snapshot itself where another program did."""
    return _said(snapshot).get(CALL) or str(snapshot.snapshot_id)


def branches_of(metadata: Any) -> dict[str, int]:
    """Where each branch is; `main` is there from the first."""
    refs = {name: ref.snapshot_id for name, ref in metadata.refs.items() if ref.snapshot_ref_type == "branch"}
    return {"main": 0, **refs}


def _snapshot(found: Any, parent: int) -> Snapshot:
    said = _said(found)
    operation = "append" if found.summary is None else found.summary.operation.value
    return Snapshot(
        id=found.snapshot_id,
        parent=parent,
        committed_us=found.timestamp_ms * 1_000,
        change=said.get(CHANGE) or _OF_OTHERS.get(operation, "overwrite"),  # pyright: ignore[reportArgumentType]
        rows=int(said.get("total-records", 0)),
        summary={name.removeprefix(SAID): value for name, value in said.items() if name.startswith(SAID)},
    )


def _said(found: Any) -> Mapping[str, str]:
    return {} if found.summary is None else found.summary.additional_properties


def _transform(field: PartitionField) -> Any:
    return transforms.BucketTransform(field.buckets) if field.by == "bucket" else _TRANSFORMS[field.by]()


def _column(table: str, field: Any) -> Column:
    given: type[Any] = field.field_type.__class__
    kind = _KINDS.get(given)
    if kind is None:
        raise PreconditionFailed(
            f"the column {field.name!r} of the table {table!r} is {field.field_type}, which is not offered here",
            hint="read it with pyiceberg, or by its location",
        )
    return Column(name=field.name, type=kind, required=field.required, doc=field.doc or "")


def _partition(table: str, found: Any, field: Any) -> PartitionField:
    column = found.find_column_name(field.source_id)
    if isinstance(field.transform, transforms.BucketTransform):
        return PartitionField(column=column, by="bucket", buckets=field.transform.num_buckets)
    given: type[Any] = field.transform.__class__
    way = _WAYS.get(given)
    if way is None:
        raise PreconditionFailed(f"the table {table!r} is partitioned by {field.transform}, which is not offered here")
    return PartitionField(column=column, by=way)  # pyright: ignore[reportArgumentType]


def _comparison(column: str, sign: str, value: Scalar) -> Any:
    kinds = {
        "=": expressions.EqualTo,
        "<": expressions.LessThan,
        "<=": expressions.LessThanOrEqual,
        ">": expressions.GreaterThan,
        ">=": expressions.GreaterThanOrEqual,
    }
    if sign == "!=":
        return expressions.And(expressions.NotEqualTo(column, _literal(value)), expressions.NotNull(column))
    return kinds[sign](column, _literal(value))


def _literal(value: Scalar) -> Any:
    """The value as the driver takes it: times as texts, for it has one kind of literal for all of theirs."""
    return value.isoformat() if isinstance(value, (date, datetime)) else value


def _joined(kind: Any, parts: list[Any]) -> Any:
    return parts[0] if len(parts) == 1 else kind(*parts)
