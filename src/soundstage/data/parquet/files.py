"""Reads a file of Parquet that a stage keeps: its end first, then its row groups one by one, some rows at a time.

The library reads files, and blobs are no files: the bytes that it is going to ask for are fetched before, which a
footer tells. So a row group is in memory as it is in the file, and of its rows only a few are unpacked.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, TypeAlias

from soundstage.core.errors import DataLoss, InvalidArgument, TooLarge
from soundstage.data.parquet import library
from soundstage.data.parquet.footers import Footer, footer_of
from soundstage.data.parquet.library import arrow
from soundstage.data.parquet.pages import Unreadable, largest_page
from soundstage.data.parquet.raw import TAIL_BYTES, Known, described, extent, footer_bytes, opened
from soundstage.runtime.transfer.reading import Compute

ReadRange: TypeAlias = Callable[[int, int], AsyncGenerator[bytes]]
"""The bytes of a file from a first one to before a last one."""

GROUP_MAX_BYTES = 256 << 20
"""Of the wanted columns of a row group, as they are in the file."""

GROUP_MAX_UNPACKED = 4 << 30

PAGE_MAX_UNPACKED = 256 << 20
"""Pages are unpacked whole; what writes them aims at one MiB, and a value of 64 MiB is a page of its own."""

BATCH_ROWS = 2_048
BATCH_BYTES = 4 << 20
"""About what a batch holds, unpacked."""

STEP_ROWS = 128
"""Unpacked at once, and fewer where they may be large: only then is it known how large they are."""

BATCHES_OF_PREFIXES = 16
"""So much more may be unpacked at once where values are told by what the ones before begin with.

Any of them may be as long as all that is there, and hardly ever is: row by row such a file would take far longer.
"""


class ParquetFile:
    """A file whose end was read; `footer` is what it says of itself if it is one of ours, `texts` all that it says.

    A column of many values in a row, such as a map, is asked for by its name.
    """

    def __init__(self, read: ReadRange, size: int, metadata: Any, schema: Any, compute: Compute) -> None:
        self._read = read
        self._size = size
        self._metadata = metadata
        self._compute = compute
        self.rows: int = metadata.num_rows
        self.texts: Mapping[bytes, bytes] = metadata.metadata or {}
        self.footer: Footer | None = footer_of(self.texts)
        self.schema: Any = schema

    @classmethod
    async def open(cls, read: ReadRange, size: int, compute: Compute) -> ParquetFile:
        """The file of that size. Raises `InvalidArgument` for what is no file of Parquet, or was cut off."""
        tail = await _fetched(read, max(0, size - TAIL_BYTES), size)
        try:
            length = footer_bytes(tail, size)
        except ValueError as error:
            raise _no_parquet(str(error)) from None
        if length > len(tail):
            tail = await _fetched(read, size - length, size)
        metadata, schema = await compute(_described, Known(size, [(size - len(tail), tail)]))
        return cls(read, size, metadata, schema, compute)

    def check_whole(self) -> None:
        """Raise `DataLoss` for a file of ours that has not all the rows it says it has."""
        if self.footer is not None and self.footer.items != self.rows:
            raise DataLoss(f"the file has {self.rows} of {self.footer.items} rows", hint="fetch it again")

    async def batches(self, columns: Sequence[str], start: int) -> AsyncGenerator[Any]:
        """Rows from number `start` on, as batches of Arrow with these columns.

        Raises `DataLoss` for what cannot be read, and `TooLarge` for a row group that is not kept in memory.
        """
        first = 0
        for group in range(self._metadata.num_row_groups):
            count = self._metadata.row_group(group).num_rows
            if start < first + count:
                reading = self._group(group, columns, max(0, start - first))
                async with aclosing(reading):
                    async for batch in reading:
                        yield batch
            first += count

    async def _group(self, group: int, columns: Sequence[str], skip: int) -> AsyncGenerator[Any]:
        spans, unpacked = self._spans(group, columns)
        known = [(start, await _fetched(self._read, start, end)) for start, end in spans]
        await self._compute(_check_pages, known, group)
        rows = self._metadata.row_group(group).num_rows
        on_average = BATCH_BYTES * rows // max(1, unpacked)
        source = Known(self._size, known)
        steps = await self._compute(_steps, source, self._metadata, group, list(columns), on_average)
        seen = 0
        while (batch := await self._compute(_batch_of, steps, group)) is not None:
            seen += batch.num_rows
            if seen > skip:
                yield batch.slice(max(0, batch.num_rows - (seen - skip)))
        if seen != rows:
            raise DataLoss(f"the row group {group} of the file has {seen} rows and not {rows}", hint=_AGAIN)

    def _spans(self, group: int, columns: Sequence[str]) -> tuple[list[tuple[int, int]], int]:
        """Where the columns of a row group are in the file, and how many bytes they come to."""
        found = self._metadata.row_group(group)
        spans: list[tuple[int, int]] = []
        unpacked = 0
        for number in range(found.num_columns):
            column = found.column(number)
            if not _is_of(column.path_in_schema, columns):
                continue
            begin, end = extent(column)
            if not 0 <= begin <= end <= self._size:
                raise DataLoss(f"the row group {group} of the file lies outside of it", hint=_AGAIN)
            spans.append((begin, end))
            unpacked += column.total_uncompressed_size
        size = sum(end - begin for begin, end in spans)
        if size > GROUP_MAX_BYTES or unpacked > GROUP_MAX_UNPACKED:
            raise TooLarge(
                f"the row group {group} of the file has {size} bytes, {unpacked} unpacked, and at most "
                f"{GROUP_MAX_BYTES} are kept in memory",
                field="file",
                hint="write it with smaller row groups, such as ROW_GROUP_SIZE 122880 of duckdb",
            )
        return spans, unpacked


async def _fetched(read: ReadRange, start: int, end: int) -> bytes:
    async with aclosing(read(start, end)) as chunks:
        return b"".join([chunk async for chunk in chunks])


def _described(source: Known) -> tuple[Any, Any]:
    """What the end of the file says, and the columns that it tells of."""
    try:
        metadata = described(source)
        return metadata, metadata.schema.to_arrow_schema()
    except (arrow().ArrowException, OSError, ValueError) as error:
        raise _no_parquet(str(error)) from None


def _check_pages(known: Sequence[tuple[int, bytes]], group: int) -> None:
    """Raise `TooLarge` for a page that is not to be unpacked at once, whatever the footer says of its column."""
    try:
        largest = max((largest_page(data) for _, data in known), default=0)
    except Unreadable as error:
        raise _damaged(group, error) from None
    if largest > PAGE_MAX_UNPACKED:
        raise TooLarge(
            f"a page of the row group {group} of the file has {largest} bytes unpacked, and at most "
            f"{PAGE_MAX_UNPACKED} are unpacked at once",
            field="file",
            hint="write it with smaller pages, such as data_page_size of pyarrow",
        )


def _steps(source: Known, metadata: Any, group: int, columns: list[str], on_average: int) -> Any:
    """A row group as few rows at a time: the longest values of its dictionaries come to `BATCH_BYTES` at most."""
    try:
        rows = min(STEP_ROWS, on_average, BATCH_BYTES // max(1, _longest(source, metadata, group, columns)))
        return _rows_of(source, metadata, group, columns, max(1, rows))
    except (arrow().ArrowException, OSError, ValueError) as error:
        raise _damaged(group, error) from None


def _batch_of(steps: Any, group: int) -> Any:
    """The next rows, whose columns are no dictionaries; None at the end."""
    found: list[Any] = []
    count = size = 0
    try:
        while count < BATCH_ROWS and size < BATCH_BYTES and (step := next(steps, None)) is not None:
            found.append(_unpacked(step))
            count, size = count + step.num_rows, size + found[-1].nbytes
        return arrow().concat_batches(found) if found else None
    except (arrow().ArrowException, OSError, ValueError) as error:
        raise _damaged(group, error) from None


def _rows_of(source: Known, metadata: Any, group: int, columns: list[str], rows: int, **options: Any) -> Any:
    file = opened(source, metadata, **options)
    return file.iter_batches(rows, row_groups=[group], columns=columns, use_threads=False)


def _longest(source: Known, metadata: Any, group: int, columns: list[str]) -> int:
    """How long one row may be, as far as that is no matter of how many bytes there are for a row on average.

    Few bytes may be many rows of a long value that is there once: in a dictionary, or as what the next one begins with.
    """
    found, longest, plain = metadata.row_group(group), 0, list[str]()
    for number in range(found.num_columns):
        column = found.column(number)
        if not _is_of(column.path_in_schema, columns):
            continue
        described = metadata.schema.column(number)
        if column.physical_type == "FIXED_LEN_BYTE_ARRAY":
            longest += described.length
        elif described.max_repetition_level:
            # Nobody tells the dictionaries of these; all that is there is the most that they have.
            longest += column.total_uncompressed_size // BATCHES_OF_PREFIXES
        elif column.physical_type == "BYTE_ARRAY" and any(each.startswith("DELTA") for each in column.encodings):
            longest += column.total_uncompressed_size // BATCHES_OF_PREFIXES
        elif column.physical_type == "BYTE_ARRAY":
            plain.append(column.path_in_schema)
    return longest + (_longest_known(source, metadata, group, plain) if plain else 0)


def _is_of(path: str, columns: Sequence[str]) -> bool:
    """Whether what a file has at `path` belongs to one of `columns`, which may be of many values in a row."""
    return any(path == name or path.startswith(f"{name}.") for name in columns)


def _longest_known(source: Known, metadata: Any, group: int, columns: list[str]) -> int:
    """The longest values of the dictionaries of these columns: with the first row comes all of a dictionary."""
    first = next(_rows_of(source, metadata, group, columns, 1, read_dictionary=columns), None)
    pa, pc = arrow(), library.compute()
    known = [] if first is None else [each.dictionary for each in first.columns if pa.types.is_dictionary(each.type)]
    return sum(pc.max(pc.binary_length(pc.cast(each, pa.large_binary()))).as_py() or 0 for each in known)


def _unpacked(batch: Any) -> Any:
    pa, pc = arrow(), library.compute()
    columns = [
        pc.cast(each, each.type.value_type) if pa.types.is_dictionary(each.type) else each for each in batch.columns
    ]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _damaged(group: int, error: Exception) -> DataLoss:
    return DataLoss(f"the row group {group} of the file cannot be read: {str(error)[:300]}", hint=_AGAIN)


def _no_parquet(why: str) -> InvalidArgument:
    return InvalidArgument(f"the file is no file of Parquet: {why[:300]}", field="file", hint="send one, whole")


_AGAIN = "it was changed or cut: fetch it again"
