"""Items in columns, as Arrow and Parquet have them.

Keys and values are bytes. `size` is that of the value; a value that was left out is null, and its size tells of it.
`time` and `token` are the version of the write that an item is from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import msgspec

from soundstage.core import version
from soundstage.core.dictionaries import check_dictionary, needs_dictionary
from soundstage.core.errors import DataLoss, InvalidArgument
from soundstage.data.kv.items import StoredMetadata, id_of
from soundstage.data.kv.manifest import Manifest
from soundstage.data.parquet import writing
from soundstage.data.parquet.library import arrow
from soundstage.data.parquet.writing import Shape
from soundstage.engines.records.port import Row

DICTIONARIES = b"soundstage.dictionaries"
"""The key under which a file has the dictionaries that its codecs name: a map of MessagePack, from codec to content."""

ROW_BYTES = 64
"""What a row takes besides its bytes, for bounds on memory."""

_decode_metadata = msgspec.msgpack.Decoder(StoredMetadata).decode


def dictionaries_of(known: Mapping[bytes, bytes]) -> dict[str, bytes]:
    """The dictionaries that a file has, by the codecs that name them, of the texts of its end.

    Raises `InvalidArgument` for what is not what its name says.
    """
    said = known.get(DICTIONARIES)
    if said is None:
        return {}
    try:
        found = msgspec.msgpack.decode(said, type=dict[str, bytes])
        for codec, content in found.items():
            check_dictionary(codec, content)
    except (msgspec.MsgspecError, DataLoss):
        raise InvalidArgument(
            "a dictionary of the file is not what its codec names",
            field="file",
            hint="export again, or leave out the values that need it",
        ) from None
    return found


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


def shape() -> Shape:
    """How a file of ours is written."""
    # Values have no order that anybody asks for.
    return Shape(schema(), few=["id", "key", "token", "codec"], ordered=["id", "key", "time", "expires_at", "size"])


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
        return writing.packed(self.columns, schema())
