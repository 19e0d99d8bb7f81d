"""Rows of a slice as columns of a file of Parquet, and back, to the byte.

A cell says nothing that key and value do not: the columns have no version. That what comes back is what was there is
proved of every file before any table goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, NamedTuple

import msgspec
from xxhash import xxh3_128_intdigest

from soundstage.core import version
from soundstage.core.errors import DataLoss
from soundstage.data.parquet.footers import MARK
from soundstage.data.parquet.library import arrow, parquet
from soundstage.data.parquet.raw import Sink
from soundstage.data.timeseries import placement
from soundstage.data.timeseries.events import FIRST_US, TOKEN

FORMAT = 1

MODULUS = 1 << 128

FEW = ("time_series_id", "item_key")
"""Columns of few values, which are kept as numbers into a list of those."""

GROUP_ROWS = 8_192
GROUP_BYTES = 1 << 20
"""Of keys, ids and values of a row group, which is read whole: a page of 100 events takes one or two."""

Sorted = tuple[bytes, bytes, bytes]
"""A series, and the key and the cell of a row of it."""


class Footer(msgspec.Struct, frozen=True, kw_only=True):
    """What a file says of itself. `settings` tells how the slice's tables were laid out."""

    format: int = FORMAT
    kind: str = "timeseries"
    namespace: str
    slice_start_ns: int
    slice_end_ns: int
    settings: str
    rows: int
    bytes: int
    checksum: str


class Sum(NamedTuple):
    """Of rows in any order: how many, their bytes, and the sum of their hashes modulo 2**128."""

    rows: int = 0
    bytes: int = 0
    checksum: int = 0

    def plus(self, other: Sum) -> Sum:
        return Sum(self.rows + other.rows, self.bytes + other.bytes, (self.checksum + other.checksum) % MODULUS)

    def minus(self, other: Sum) -> Sum:
        return Sum(self.rows - other.rows, self.bytes - other.bytes, (self.checksum - other.checksum) % MODULUS)


def sum_of(rows: Iterable[Sorted]) -> Sum:
    """The sum of `rows`. For a thread."""
    count = size = checksum = 0
    for series, key, cell in rows:
        told = b"".join((len(series).to_bytes(2, "big"), series, len(key).to_bytes(2, "big"), key, cell))
        checksum += xxh3_128_intdigest(told)
        size += len(key) + len(cell)
        count += 1
    return Sum(count, size, checksum % MODULUS)


@cache
def schema() -> Any:
    """The columns of a segment."""
    pa = arrow()
    return pa.schema(
        [
            pa.field("time_series_id", pa.string(), False),
            pa.field("event_time", pa.timestamp("ns", tz="UTC"), False),
            pa.field("event_id", pa.string(), False),
            pa.field("item_key", pa.string(), False),
            pa.field("item_value", pa.binary(), False),
        ]
    )


def table_of(rows: Sequence[Sorted]) -> Any:
    """`rows` as columns. Raises `DataLoss` for what is no row of an event. For a thread."""
    pa = arrow()
    ids, times, events, keys, values = list[str](), list[int](), list[str](), list[str](), list[bytes]()
    try:
        for series, key, cell in rows:
            prefix = placement.prefix_of(key)
            time_ns, event_id = placement.event_of(prefix)
            ids.append(series.decode())
            times.append(time_ns)
            events.append(event_id.decode())
            keys.append(key[len(prefix) :].decode())
            values.append(cell[version.parts(cell)[4] :])
    except ValueError as error:
        raise DataLoss(
            f"a row of a time slice is no event's: {error}", hint="restore the slice from a backup"
        ) from None
    columns = (ids, times, events, keys, values)
    arrays = [
        pa.array(column, pa.int64()).view(field.type) if field.name == "event_time" else pa.array(column, field.type)
        for column, field in zip(columns, schema(), strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=schema())


class Cells:
    """Makes the rows of one series of columns again."""

    __slots__ = ("_event", "_head", "_prefix", "_tail")

    def __init__(self, series: bytes) -> None:
        self._tail = version.put_head(0, TOKEN, metadata=placement.metadata(series))[placement.TIME_BYTES :]
        self._event: tuple[int, str] | None = None
        self._prefix = self._head = b""

    def row(self, time_ns: int, event_id: str, item_key: str, value: bytes) -> tuple[bytes, bytes]:
        """A key and a cell."""
        # Rows of one event, which come one after another, begin alike.
        if self._event != (time_ns, event_id):
            self._event = time_ns, event_id
            self._prefix = placement.event_prefix(time_ns, event_id.encode())
            time_us = max(time_ns // 1_000, FIRST_US)
            self._head = time_us.to_bytes(placement.TIME_BYTES, "big") + self._tail
        return self._prefix + item_key.encode(), self._head + value


def batch_of(table: Any) -> Any:
    """The columns of a row group as one batch, with times as nanoseconds."""
    pa = arrow()
    batch = table.combine_chunks().to_batches()[0]
    columns = [column.view(pa.int64()) if pa.types.is_timestamp(column.type) else column for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def rows_of(table: Any) -> list[Sorted]:
    """The rows of what `batch_of` made, as they were. For a thread."""
    rows, known = list[Sorted](), dict[str, tuple[bytes, Cells]]()
    ids, times, events, keys, values = (plain(table, name) for name in schema().names)
    for name, time_ns, event_id, item_key, value in zip(ids, times, events, keys, values, strict=True):
        found = known.get(name)
        if found is None:
            series = name.encode()
            found = known[name] = series, Cells(series)
        rows.append((found[0], *found[1].row(time_ns, event_id, item_key, value)))
    return rows


def plain(table: Any, name: str, begin: int = 0, length: int | None = None) -> list[Any]:
    """Values of a column of what `batch_of` made."""
    found = table.column(name).slice(begin, length)
    if not arrow().types.is_dictionary(found.type):
        return found.to_pylist()
    known = found.dictionary.to_pylist()
    return [known[each] for each in found.indices.to_pylist()]


class Writer:
    """Makes one file, row group by row group; `sum` is of what it has. Its methods are for a thread."""

    def __init__(self) -> None:
        self.sum: Sum = Sum()
        self.size: int = 0
        pq = parquet()
        self._sink = Sink()
        order = [pq.SortingColumn(0), pq.SortingColumn(1, descending=True), pq.SortingColumn(2), pq.SortingColumn(3)]
        self._writer: Any = pq.ParquetWriter(
            arrow().PythonFile(self._sink, mode="w"),
            schema(),
            compression="zstd",
            write_page_checksum=True,
            write_page_index=True,
            sorting_columns=order,
            use_dictionary=["time_series_id", "event_id", "item_key", "item_value"],
            column_encoding={"event_time": "DELTA_BINARY_PACKED"},
            # Values have no order that anybody asks for, and the largest of them would stand in the footer.
            write_statistics=["time_series_id", "event_time", "event_id", "item_key"],
        )

    def add(self, rows: Sequence[Sorted]) -> bytes:
        """What the file goes on with for these rows, a row group."""
        self._writer.write_table(table_of(rows), row_group_size=len(rows))
        self.sum = self.sum.plus(sum_of(rows))
        return self._taken()

    def finish(self, footer: Footer) -> bytes:
        """The end of the file."""
        self._writer.add_key_value_metadata({MARK: msgspec.json.encode(footer)})
        self._writer.close()
        return self._taken()

    def _taken(self) -> bytes:
        taken = self._sink.taken()
        self.size += len(taken)
        return taken
