"""Makes a file of Parquet of rows that come over time and over several attempts of a job.

Rows that were read are put aside in parts, each of which is durable before the place after it is; the file is made of
the parts at the end, and then read once to see that it is whole. A process that dies loses what it had read since its
last part.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from io import BytesIO
from typing import Any, NamedTuple

import msgspec

from soundstage.core.errors import DataLoss
from soundstage.core.files import File
from soundstage.data.parquet.files import ParquetFile, ReadRange
from soundstage.data.parquet.footers import MARK, Footer
from soundstage.data.parquet.library import arrow, parquet
from soundstage.data.parquet.raw import Sink
from soundstage.runtime.transfer.reading import Compute
from soundstage.runtime.work.context import JobContext

MEDIA_TYPE = "application/vnd.apache.parquet"

SUFFIX = ".parquet"

GROUP_BYTES = 16 << 20
"""About what a row group holds before it is compressed; one of a larger value holds that."""

GROUP_ROWS = 122_880


class Shape(NamedTuple):
    """The columns of a file, of which some have few values, and some an order that is worth a word in the footer."""

    schema: Any
    few: Sequence[str]
    ordered: Sequence[str]


class Parts(msgspec.Struct):
    """Parts that one attempt put aside: their names hold its fencing number, and numbers from `begin` on."""

    fence: int
    count: int = 0
    begin: int = 0


class PartedFile:
    """A file in the making. `parts` are those of all attempts, the last of which is this one; checkpoints keep them."""

    def __init__(self, parts: list[Parts], shape: Shape, job: JobContext, compute: Compute) -> None:
        self._own = Parts(job.fence)
        self._parts = parts
        self._parts.append(self._own)
        self._shape = shape
        self._job = job
        self._compute = compute

    @property
    def count(self) -> int:
        """How many parts this attempt put aside."""
        return self._own.count

    async def put_aside(self, packed: bytes) -> None:
        """Rows are kept; they count once there is a checkpoint with `parts`."""
        await self._job.put_aside(_part(self._own.fence, self._own.begin + self._own.count), packed)
        self._own.count += 1

    def mark(self) -> list[Parts]:
        """The parts that there are so far, for `back_to`."""
        return [msgspec.structs.replace(each) for each in self._parts]

    def back_to(self, mark: Sequence[Parts]) -> None:
        """The parts are those of `mark` again; names of others that this attempt put aside are not used anew."""
        self._own = Parts(self._own.fence, begin=self._own.begin + self._own.count)
        self._parts[:] = [*(msgspec.structs.replace(each) for each in mark), self._own]

    async def read_aside(self, name: str) -> bytes:
        """What was put aside under that name, whole."""
        async with aclosing(self._job.read_aside(name)) as chunks:
            return b"".join([chunk async for chunk in chunks])

    async def write(self, name: str, footer: Footer, more: Mapping[bytes, bytes] | None = None) -> File:
        """The file of all parts, each a row group; `more` are texts of its end."""
        async with self._job.output(name + SUFFIX, MEDIA_TYPE) as output:
            writer = await self._compute(Writer, self._shape)
            for part in self._parts:
                for number in range(part.begin, part.begin + part.count):
                    packed = await self.read_aside(_part(part.fence, number))
                    await output.write(await self._compute(writer.add, packed))
            await output.write(await self._compute(writer.finish, footer, more or {}))
        return output.file

    async def prove(
        self, file: File, read: ReadRange, footer: Footer, columns: Sequence[str], bytes_in: Callable[[Any], int]
    ) -> None:
        """Every page of `columns` is as it was written, and all rows are there; `bytes_in` counts a batch's bytes.

        Raises `DataLoss`.
        """
        found = await ParquetFile.open(read, file.size, self._compute)
        rows = total = 0
        async with aclosing(found.batches(columns, 0)) as batches:
            async for batch in batches:
                rows += batch.num_rows
                total += await self._compute(bytes_in, batch)
                self._job.progress(rows, footer.items, "rows", "verifying")
        if (rows, total) != (footer.items, footer.bytes):
            raise DataLoss(f"the file holds {rows} of {footer.items} rows", hint="export again")


def packed(columns: Sequence[Sequence[Any]], schema: Any) -> bytes:
    """Rows in few bytes, with checksums, to be put aside. For a thread."""
    pa = arrow()
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    sink = BytesIO()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_stream(sink, schema, options=options) as stream:
        stream.write_table(pa.Table.from_arrays(arrays, schema=schema))
    return sink.getvalue()


class Writer:
    """Makes a file of rows that were `packed`, each time a row group. Its methods are for a thread."""

    def __init__(self, shape: Shape) -> None:
        self._sink = Sink()
        self._writer: Any = parquet().ParquetWriter(
            arrow().PythonFile(self._sink, mode="w"),
            shape.schema,
            compression="zstd",
            write_page_checksum=True,
            use_dictionary=list(shape.few),
            # The largest of what has no order that anybody asks for would stand in the footer.
            write_statistics=list(shape.ordered),
        )

    def add(self, rows: bytes) -> bytes:
        """What the file goes on with for these rows."""
        table = arrow().ipc.open_stream(rows).read_all()
        self._writer.write_table(table, row_group_size=max(1, table.num_rows))
        return self._sink.taken()

    def finish(self, footer: Footer, more: Mapping[bytes, bytes]) -> bytes:
        """The end of the file."""
        self._writer.add_key_value_metadata({MARK: msgspec.json.encode(footer), **more})
        self._writer.close()
        return self._sink.taken()


def reading(read: Callable[..., AsyncGenerator[bytes]], blob: str) -> ReadRange:
    """How ranges of a file are read that a stage keeps: `read` is `stage.files.read`."""

    def ranges(start: int, end: int) -> AsyncGenerator[bytes]:
        return read(blob, start=start, end=end)

    return ranges


def _part(fence: int, number: int) -> str:
    return f"{fence}-{number:06d}"
