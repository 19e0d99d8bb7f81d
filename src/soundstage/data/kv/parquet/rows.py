"""Items in columns, as Arrow and Parquet have them.

Keys and values are bytes. `size` is that of the value; a value that was left out is null, and its size tells of it.
`time` and `token` are the version of the write that an item is from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from io import BytesIO, RawIOBase
from typing import Any, NamedTuple

import msgspec

from soundstage.core import version
from soundstage.core.dictionaries import needs_dictionary
from soundstage.core.errors import InvalidArgument
from soundstage.core.extras import library
from soundstage.data.kv.items import StoredMetadata, id_of
from soundstage.data.kv.manifest import Manifest
from soundstage.engines.records.port import Row

EXTRA = "tables"

FORMAT = 1
"""Of the columns and of what the footer says. Newer files are refused."""

MARK = b"soundstage"
"""The key in a file's footer under which it says what it is."""

DICTIONARIES = b"soundstage.dictionaries"
"""The key under which a file has the dictionaries that its codecs name: a map of MessagePack, from codec to content."""

ROW_BYTES = 64
"""What a row takes besides its bytes, for bounds on memory."""

_decode_metadata = msgspec.msgpack.Decoder(StoredMetadata).decode


class Footer(msgspec.Struct, frozen=True, kw_only=True):
    """What a file of ours says of itself: rows, bytes of keys and values, and values left out."""

    format: int = FORMAT
    kind: str = "kv"
    namespace: str
    exported_us: int
    items: int
    bytes: int
    left_out: int = 0


def parquet() -> Any:
    """The library. Raises `InvalidArgument` where it is not installed."""
    try:
        return library("pyarrow.parquet", EXTRA)
    except ModuleNotFoundError as error:
        raise InvalidArgument(
            "files of Parquet need a library that is not installed here", hint=f'pip install "soundstage[{EXTRA}]"'
        ) from error


def arrow() -> Any:
    """The library of columns in memory. Raises `InvalidArgument` where it is not installed."""
    parquet()
    return library("pyarrow", EXTRA)


@cache
def schema() -> Any:
    """The columns of a file of ours."""
    pa = arrow()
    instant = pa.timestamp("us", tz="UTC")
    return pa.schema(
        [
            pa.field("id", pa.string(), False),
            pa.field("key", pa.binary(), False),
            pa.field("value", pa.binary()),
            pa.field("token", pa.string(), False),
            pa.field("time", instant, False),
            pa.field("expires_at", instant),
            pa.field("size", pa.int64(), False),
            pa.field("codec", pa.string()),
        ]
    )


class Apart(NamedTuple):
    """A row whose value is yet to be brought: it lies in chunks."""

    place: int
    partition: bytes
    key: bytes
    manifest: Manifest


class Rows:
    """Rows that wait to be written; `bytes` are those of all of them, about."""

    def __init__(self) -> None:
        self.bytes: int = 0
        self.columns: list[list[Any]] = [[] for _ in range(8)]

    @property
    def count(self) -> int:
        return len(self.columns[0])

    def take(self, found: Sequence[tuple[bytes, list[Row]]], value_max: int | None) -> list[Apart]:
        """The rows are the last ones; returns those of them whose values are to be brought.

        Values larger than `value_max` stay away. For a thread.
        """
        apart: list[Apart] = []
        ids, keys, values, tokens, times, expiries, sizes, codecs = self.columns
        for partition, rows in found:
            name = id_of(partition)
            for key, cell in rows:
                time_us, token, expires_us, metadata, at = version.parts(cell)
                stored = _decode_metadata(metadata) if metadata else None
                size = len(cell) - at
                value: bytes | None = cell[at:]
                if stored is not None and stored.value is not None:
                    size, value = stored.value.size, None
                    if value_max is None or size <= value_max:
                        apart.append(Apart(len(ids), partition, key, stored.value))
                if value_max is not None and size > value_max:
                    value = None
                ids.append(name)
                keys.append(key)
                values.append(value)
                tokens.append(token)
                times.append(time_us)
                expiries.append(expires_us or None)
                sizes.append(size)
                codecs.append(None if stored is None else stored.codec)
                self.bytes += ROW_BYTES + len(partition) + len(key) + (0 if value is None else len(value))
        return apart

    def bring(self, apart: Apart, value: bytes) -> None:
        """A value that lay in chunks."""
        self.columns[2][apart.place] = value
        self.bytes += len(value)

    def split(self, count: int) -> Rows:
        """The first `count` rows, which are not here any more."""
        first = Rows()
        first.columns = [column[:count] for column in self.columns]
        self.columns = [column[count:] for column in self.columns]
        first.bytes, self.bytes = self.bytes, self.count * ROW_BYTES
        return first

    def dictionaries(self) -> set[str]:
        """The codecs of the rows that need one."""
        return {codec for codec in set(self.columns[7]) if needs_dictionary(codec)}

    def tally(self) -> int:
        """Bytes of keys and of values that are there."""
        return sum(map(len, self.columns[1])) + sum(len(each) for each in self.columns[2] if each is not None)

    def packed(self) -> bytes:
        """The rows in few bytes, with checksums, to be put aside. For a thread."""
        pa, known = arrow(), schema()
        arrays = [pa.array(column, field.type) for column, field in zip(self.columns, known, strict=True)]
        sink = BytesIO()
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        with pa.ipc.new_stream(sink, known, options=options) as stream:
            stream.write_table(pa.Table.from_arrays(arrays, schema=known))
        return sink.getvalue()


class _Sink(RawIOBase):
    """Keeps what is written until it is taken."""

    def __init__(self) -> None:
        super().__init__()
        self._written: list[bytes] = []
        self._at = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._written.append(bytes(data))
        self._at += len(self._written[-1])
        return len(self._written[-1])

    def tell(self) -> int:
        return self._at

    def taken(self) -> bytes:
        """All that was written since the last time."""
        written, self._written = b"".join(self._written), []
        return written


class Writer:
    """Makes a file of rows that were put aside, each of which is a row group. Its methods are for a thread."""

    def __init__(self) -> None:
        self._sink = _Sink()
        self._writer: Any = parquet().ParquetWriter(
            arrow().PythonFile(self._sink, mode="w"),
            schema(),
            compression="zstd",
            write_page_checksum=True,
            use_dictionary=["id", "key", "token", "codec"],
            # Values have no order that anybody asks for, and the largest of them would stand in the footer.
            write_statistics=["id", "key", "time", "expires_at", "size"],
        )

    def add(self, packed: bytes) -> bytes:
        """What the file goes on with for these rows."""
        table = arrow().ipc.open_stream(packed).read_all()
        self._writer.write_table(table, row_group_size=max(1, table.num_rows))
        return self._sink.taken()

    def finish(self, footer: Footer, dictionaries: Mapping[str, bytes] | None = None) -> bytes:
        """The end of the file, with the dictionaries that its codecs name."""
        self._writer.add_key_value_metadata({MARK: msgspec.json.encode(footer)})
        if dictionaries:
            self._writer.add_key_value_metadata({DICTIONARIES: msgspec.msgpack.encode(dictionaries)})
        self._writer.close()
        return self._sink.taken()
