"""Changes of a table's columns, as far as they are the same on every engine."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from soundstage.core.errors import AlreadyExists, InvalidArgument, NotFound
from soundstage.engines.tables.port import (
    AddColumn,
    Column,
    ColumnChange,
    DropColumn,
    PartitionField,
    RelaxColumn,
    RenameColumn,
    TableSpec,
    WidenColumn,
    check_columns,
)

_WIDER = {"int32": "int64", "float32": "float64"}


def evolved(spec: TableSpec, changes: Sequence[ColumnChange]) -> TableSpec:
    """The table with all changes made. Raises `NotFound`, `AlreadyExists` and `InvalidArgument`."""
    columns, partitions = list(spec.columns), list(spec.partitions)
    if not changes:
        raise InvalidArgument("no change of the columns was named", field="changes")
    for change in changes:
        _change(columns, partitions, change)
    check_columns(columns)
    return msgspec.structs.replace(spec, columns=tuple(columns), partitions=tuple(partitions))


def _change(columns: list[Column], partitions: list[PartitionField], change: ColumnChange) -> None:
    match change:
        case AddColumn(column):
            _check_free(columns, column.name)
            if column.required:
                raise InvalidArgument(
                    f"the rows there are have no value for the required column {column.name!r}",
                    field=column.name,
                    hint="add it as one that may miss values",
                )
            columns.append(column)
        case DropColumn(name):
            at = _position(columns, name)
            if any(field.column == name for field in partitions):
                raise InvalidArgument(f"rows are partitioned by the column {name!r}", field=name, hint="keep it")
            del columns[at]
        case RenameColumn(name, to):
            at = _position(columns, name)
            _check_free(columns, to)
            columns[at] = msgspec.structs.replace(columns[at], name=to)
            for number, field in enumerate(partitions):
                if field.column == name:
                    partitions[number] = msgspec.structs.replace(field, column=to)
        case WidenColumn(name, type):
            at = _position(columns, name)
            if _WIDER.get(columns[at].type) != type:
                raise InvalidArgument(
                    f"the column {name!r} is {columns[at].type}, which cannot become {type}",
                    field=name,
                    hint="int32 may become int64, and float32 float64",
                )
            columns[at] = msgspec.structs.replace(columns[at], type=type)
        case RelaxColumn(name):
            at = _position(columns, name)
            columns[at] = msgspec.structs.replace(columns[at], required=False)


def _position(columns: Sequence[Column], name: str) -> int:
    for at, column in enumerate(columns):
        if column.name == name:
            return at
    raise NotFound(f"there is no column {name!r}", hint=f"there are {', '.join(each.name for each in columns)[:300]}")


def _check_free(columns: Sequence[Column], name: str) -> None:
    if any(column.name.lower() == name.lower() for column in columns):
        raise AlreadyExists(f"there is a column {name!r}", hint="choose another name")
