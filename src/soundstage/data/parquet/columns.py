"""What of other programs' columns is taken: texts, bytes, whole numbers and times, as bytes and numbers."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from soundstage.core.errors import InvalidArgument
from soundstage.data.parquet.library import arrow

Unit: TypeAlias = Literal["us", "ns"]

_AS_TEXT = "cast it to text or bytes where the file is made, such as CAST(x AS VARCHAR) of duckdb"


def check_bytes(name: str, found: Any, *, numbers: bool) -> None:
    """Raise `InvalidArgument` for a column of that type that has neither text nor bytes, nor `numbers` if allowed."""
    types = arrow().types
    if types.is_dictionary(found):
        found = found.value_type
    if is_bytes(found) or (numbers and types.is_integer(found)):
        return
    taken = "text, bytes or whole numbers" if numbers else "text or bytes"
    raise InvalidArgument(f"the column {name!r} is {found}, and takes {taken}", field="file", hint=_AS_TEXT)


def check_time(name: str, found: Any) -> None:
    """Raise `InvalidArgument` for a column of that type that has no instants."""
    types = arrow().types
    if types.is_dictionary(found):
        found = found.value_type
    if types.is_timestamp(found) and found.tz is not None:
        return
    raise InvalidArgument(
        f"the column {name!r} is {found}, and a time needs a time zone",
        field="file",
        hint="make it a timestamp with time zone, such as TIMESTAMPTZ of duckdb",
    )


def is_bytes(found: Any) -> bool:
    """Whether a type is text or bytes."""
    types = arrow().types
    texts = (types.is_string, types.is_large_string, types.is_string_view)
    blobs = (types.is_binary, types.is_large_binary, types.is_fixed_size_binary, types.is_binary_view)
    return any(each(found) for each in (*texts, *blobs))


def plain(name: str, column: Any, unit: Unit = "us") -> list[Any]:
    """The values of a column: bytes, and for times whole numbers of `unit`. For a thread."""
    pa = arrow()
    types = pa.types
    try:
        if types.is_timestamp(column.type):
            return column.cast(pa.timestamp(unit, tz="UTC"), safe=False).cast(pa.int64()).to_pylist()
        if types.is_integer(column.type):
            column = column.cast(pa.string())
        return column.cast(pa.large_binary()).to_pylist()
    except (pa.ArrowException, ValueError) as error:
        raise InvalidArgument(f"the column {name!r} cannot be read: {error}"[:300], field="file") from None


def is_text(found: bytes) -> bool:
    """Whether bytes are text."""
    try:
        found.decode()
    except UnicodeDecodeError:
        return False
    return True


def bad_row(number: int, column: str, found: object, why: str) -> InvalidArgument:
    """The refusal of a row, whose `column` has what it should not."""
    shown = repr(found)[:80]
    return InvalidArgument(
        f"row {number} of the file, column {column!r}: {shown} {why}",
        field="file",
        hint="mend the file; rows count from 1",
    )
