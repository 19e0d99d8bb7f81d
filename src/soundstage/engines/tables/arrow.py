"""What engines of tables share that takes Arrow: columns as its types, data held to them, filters as its expressions.

Imported by engines, which are loaded only where they are used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from soundstage.core.errors import InvalidArgument, TooLarge
from soundstage.core.extras import library
from soundstage.engines.tables.filters import (
    ALL,
    Among,
    Both,
    Compare,
    Either,
    Everything,
    Filter,
    Missing,
    Opposite,
    Scalar,
    columns_of,
    normal,
)
from soundstage.engines.tables.port import PARTITIONS_MAX, ArrowStream, Column, ColumnType, PartitionField

EXTRA = "tables"

pa: Any = library("pyarrow", EXTRA)
pc: Any = library("pyarrow.compute", EXTRA)

SLICE_ROWS = 1 << 20
SLICE_BYTES = 128 << 20
"""About so much of what comes in is worked on at once."""

TYPES: Mapping[ColumnType, Any] = {
    "boolean": pa.bool_(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float32": pa.float32(),
    "float64": pa.float64(),
    "text": pa.string(),
    "bytes": pa.binary(),
    "date": pa.date32(),
    "instant": pa.timestamp("us", tz="UTC"),
}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def schema_of(columns: Sequence[Column]) -> Any:
    """The columns as a schema of Arrow."""
    return pa.schema([pa.field(column.name, TYPES[column.type], not column.required) for column in columns])


def slices(data: ArrowStream, columns: Sequence[Column]) -> Iterator[Any]:
    """The data as tables of `columns`, some at a time; what it raises says which column does not fit.

    Raises `InvalidArgument` for data without `__arrow_c_stream__`, and for a stream that breaks off.
    """
    if not hasattr(data, "__arrow_c_stream__"):
        raise InvalidArgument(
            f"{type(data).__name__} is no stream of Arrow",
            field="data",
            hint="give a table or reader of pyarrow, a frame of polars, a relation of DuckDB",
        )
    reader = _opened(data)
    _check_names(reader.schema.names, columns)
    schema = schema_of(columns)
    held: list[Any] = []
    rows = size = 0
    while (batch := _next_of(reader)) is not None:
        if batch.num_rows == 0:
            continue
        held.append(conformed(batch, columns, schema))
        rows, size = rows + batch.num_rows, size + held[-1].nbytes
        if rows >= SLICE_ROWS or size >= SLICE_BYTES:
            yield pa.Table.from_batches(held, schema)
            held, rows, size = [], 0, 0
    if held:
        yield pa.Table.from_batches(held, schema)


def conformed(batch: Any, columns: Sequence[Column], schema: Any) -> Any:
    """The batch with exactly these columns. Raises `InvalidArgument` for values that do not fit."""
    present = set(batch.schema.names)
    arrays = [
        fitted(batch.column(column.name), column) if column.name in present else _nothing(batch.num_rows, column)
        for column in columns
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def fitted(array: Any, column: Column) -> Any:
    """The array in the column's type. Raises `InvalidArgument` where a value would be another in it, or is missing."""
    if column.required and array.null_count:
        raise InvalidArgument(f"values of the required column {column.name!r} are missing", field=column.name)
    wanted = TYPES[column.type]
    if array.type == wanted:
        return array
    if not _fits(array.type, wanted):
        raise InvalidArgument(
            f"the column {column.name!r} is {column.type}, and its data {array.type}",
            field=column.name,
            hint="cast it first",
        )
    try:
        return array.cast(wanted, safe=True)
    except pa.ArrowException as error:
        raise InvalidArgument(
            f"a value does not fit the column {column.name!r}, which is {column.type}: {error}", field=column.name
        ) from None


def expression(where: Filter, columns: Sequence[Column]) -> Any:
    """A normal filter as an expression of Arrow, true where it holds; None for all rows."""
    types = {column.name: TYPES[column.type] for column in columns}
    return None if isinstance(where, Everything) else _expression(where, types)


def checked(where: Filter, columns: Sequence[Column]) -> Filter:
    """`where`, normal, about columns that there are and values of their kind; else `InvalidArgument`."""
    types: dict[str, ColumnType] = {column.name: column.type for column in columns}
    for name in columns_of(where):
        if name not in types:
            raise InvalidArgument(
                f"there is no column {name!r}", field="where", hint=f"there are {', '.join(types)[:300]}"
            )
    _check_values(found := normal(where), types)
    return found


def chosen(names: Sequence[str] | None, columns: Sequence[Column]) -> list[str]:
    """The columns that a scan gives. Raises `InvalidArgument` for one that there is not, and for one named twice."""
    known = [column.name for column in columns]
    if names is None:
        return known
    strange = [name for name in names if name not in known]
    if strange or not names or len(set(names)) != len(names):
        raise InvalidArgument(
            f"columns {', '.join(map(repr, names))} cannot be read",
            field="columns",
            hint=f"name some, each once, of {', '.join(known)[:300]}",
        )
    return list(names)


class Touched:
    """The partitions that data has rows of, collected slice by slice."""

    def __init__(self, partitions: Sequence[PartitionField]) -> None:
        if any(field.by == "bucket" for field in partitions):
            raise InvalidArgument(
                "partitions by bucket cannot be replaced by what data has rows of",
                field="where",
                hint="say which rows are replaced",
            )
        self._partitions = partitions
        self._found: set[tuple[Any, ...]] = set()

    def add(self, table: Any) -> None:
        """Those of another slice. Raises `TooLarge` over 1,000 in all."""
        if not self._partitions:
            return
        keys = [_key(table.column(field.column), field) for field in self._partitions]
        names = [str(number) for number in range(len(keys))]
        groups = pa.table(keys, names=names).group_by(names).aggregate([]).select(names)
        self._found.update(zip(*(column.to_pylist() for column in groups.columns), strict=True))
        if len(self._found) > PARTITIONS_MAX:
            raise TooLarge(
                f"the data has rows of more than {PARTITIONS_MAX} partitions", hint="replace some of them at a time"
            )

    def filter(self) -> Filter | None:
        """Holds for all rows of these partitions; None when there are none."""
        if not self._partitions:
            return ALL
        if not self._found:
            return None
        if len(self._partitions) == 1 and self._partitions[0].by == "value":
            return _one_of(self._partitions[0].column, [key for (key,) in self._found])
        return Either(
            tuple(
                Both(tuple(_within(field, value) for field, value in zip(self._partitions, key, strict=True)))
                for key in self._found
            )
        )


def _one_of(column: str, values: Sequence[Any]) -> Filter:
    there = tuple(value for value in values if value is not None)
    parts = ((Among(column, there),) if there else ()) + ((Missing(column),) if len(there) < len(values) else ())
    return parts[0] if len(parts) == 1 else Either(parts)


def _key(column: Any, field: PartitionField) -> Any:
    if field.by == "value":
        return column
    if pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("us"))
    return pc.floor_temporal(column, unit=field.by)


def _within(field: PartitionField, value: Any) -> Filter:
    if value is None:
        return Missing(field.column)
    if field.by == "value":
        return Compare(field.column, "=", value)
    end = _next(value, field.by)
    if value.tzinfo is None:
        value, end = value.date(), end.date()
    return Both((Compare(field.column, ">=", value), Compare(field.column, "<", end)))


def _opened(data: ArrowStream) -> Any:
    try:
        return pa.RecordBatchReader.from_stream(data)
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise InvalidArgument(f"the data is no stream of rows: {error}", field="data") from error


def _next_of(reader: Any) -> Any:
    """The next batch; None at the end."""
    try:
        return reader.read_next_batch()
    except StopIteration:
        return None
    except (pa.ArrowException, OSError, ValueError, RuntimeError) as error:
        raise InvalidArgument(
            f"the data broke off: {error}", field="data", hint="nothing was changed; give it again, whole"
        ) from error


def _next(begin: datetime, by: str) -> datetime:
    match by:
        case "hour":
            return begin + timedelta(hours=1)
        case "day":
            return begin + timedelta(days=1)
        case "month":
            return begin.replace(year=begin.year + begin.month // 12, month=begin.month % 12 + 1)
        case _:
            return begin.replace(year=begin.year + 1)


def _expression(where: Filter, types: Mapping[str, Any]) -> Any:
    match where:
        case Compare(column, sign, value):
            field, other = pc.field(column), pa.scalar(value, types[column])
            comparisons = {
                "=": field == other,
                "!=": field != other,
                "<": field < other,
                "<=": field <= other,
                ">": field > other,
                ">=": field >= other,
            }
            return comparisons[sign]
        case Among(column, values, out):
            there = pc.field(column).isin(pa.array(values, types[column]))
            return pc.field(column).is_valid() & (~there if out else there)
        case Missing(column, out):
            return pc.field(column).is_valid() if out else pc.field(column).is_null()
        case Both(parts):
            return _joined([_expression(part, types) for part in parts], both=True)
        case Either(parts):
            return _joined([_expression(part, types) for part in parts], both=False)
        case Everything() | Opposite():
            raise AssertionError("a normal filter has none of these inside")


def _joined(parts: Sequence[Any], *, both: bool) -> Any:
    found = parts[0]
    for part in parts[1:]:
        found = found & part if both else found | part
    return found


def _check_values(where: Filter, types: Mapping[str, ColumnType]) -> None:
    match where:
        case Compare(column, _, value):
            _check_value(column, types[column], value)
        case Among(column, values):
            for value in values:
                _check_value(column, types[column], value)
        case Both(parts) | Either(parts):
            for part in parts:
                _check_values(part, types)
        case _:
            return


_KINDS: Mapping[ColumnType, tuple[type, ...]] = {
    "boolean": (bool,),
    "int32": (int,),
    "int64": (int,),
    "float32": (int, float),
    "float64": (int, float),
    "text": (str,),
    "bytes": (bytes,),
    "date": (date,),
    "instant": (datetime,),
}


def _check_value(column: str, kind: ColumnType, value: Scalar) -> None:
    fits = isinstance(value, _KINDS[kind]) and isinstance(value, bool) is (kind == "boolean")
    if kind == "date":
        fits = fits and not isinstance(value, datetime)
    if isinstance(value, datetime):
        fits = fits and value.tzinfo is not None
    if kind in ("int32", "int64") and fits and isinstance(value, int):
        bits = 31 if kind == "int32" else 63
        fits = -(1 << bits) <= value < 1 << bits
    if not fits:
        raise InvalidArgument(
            f"{value!r} is no value of the column {column!r}, which is {kind}",
            field="where",
            hint="instants have a time zone",
        )


def _check_names(names: Sequence[str], columns: Sequence[Column]) -> None:
    known = {column.name: column for column in columns}
    strange = [name for name in names if name not in known]
    if strange or len(set(names)) != len(names):
        raise InvalidArgument(
            f"the data has columns that the table has not: {', '.join(strange or names)[:300]}",
            field="data",
            hint=f"the table has {', '.join(known)[:300]}; columns are added by evolve",
        )
    absent = [name for name, column in known.items() if column.required and name not in names]
    if absent:
        raise InvalidArgument(f"the data lacks the required column {absent[0]!r}", field=absent[0])


def _nothing(rows: int, column: Column) -> Any:
    return pa.nulls(rows, TYPES[column.type])


def _fits(given: Any, wanted: Any) -> bool:
    """Whether values of one type may be values of another, each being looked at."""
    types = pa.types
    if types.is_null(given):
        return True
    if types.is_dictionary(given):
        return _fits(given.value_type, wanted)
    if types.is_integer(given):
        return types.is_integer(wanted) or types.is_floating(wanted)
    if types.is_floating(given):
        return types.is_floating(wanted) and given.bit_width <= wanted.bit_width
    if types.is_timestamp(given):
        return types.is_timestamp(wanted) and given.tz is not None
    families = (
        (types.is_string, types.is_large_string, types.is_string_view),
        (types.is_binary, types.is_large_binary, types.is_fixed_size_binary, types.is_binary_view),
        (types.is_date32, types.is_date64),
        (types.is_boolean,),
    )
    return any(any(each(given) for each in family) and any(each(wanted) for each in family) for family in families)
