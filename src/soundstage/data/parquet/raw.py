"""Files of Parquet as the library is given them: bytes in memory, of which only some may be known.

The library reads and writes files, and blobs are no files: what is written is taken piece by piece, and what is going
to be read is fetched before, which a footer tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import RawIOBase
from typing import Any

from soundstage.data.parquet.library import arrow, parquet

TAIL_BYTES = 64 << 10
"""What the library reads at the end of any file; most footers are shorter."""

FOOTER_MAX_BYTES = 64 << 20

_END = b"PAR1"
_LENGTH_BYTES = 4


class Sink(RawIOBase):
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


class Known(RawIOBase):
    """A file of which some parts are known, each from its place on; it is never asked for others."""

    def __init__(self, size: int, parts: Sequence[tuple[int, bytes]]) -> None:
        super().__init__()
        self._size = size
        self._parts = parts
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def read(self, size: int = -1) -> bytes:
        end = self._size if size < 0 else min(self._size, self._at + size)
        for start, data in self._parts:
            if start <= self._at and end <= start + len(data):
                found = data[self._at - start : end - start]
                self._at = end
                return found
        raise OSError(f"bytes {self._at} to {end} are none that its footer tells of")


def footer_bytes(tail: bytes, size: int) -> int:
    """How many bytes the footer takes of a file of that size, whose last ones are `tail`.

    Raises `ValueError` for what is no file of Parquet, or was cut off.
    """
    if len(tail) < 3 * _LENGTH_BYTES or tail[-len(_END) :] != _END:
        raise ValueError("it does not end as one does, or was cut off")
    length = int.from_bytes(tail[-8:-4], "little") + 8
    if not 8 < length <= min(size, FOOTER_MAX_BYTES):
        raise ValueError(f"its footer would have {length} bytes")
    return length


def described(source: RawIOBase) -> Any:
    """What the end of a file tells. Raises as the library does. For a thread."""
    return parquet().read_metadata(arrow().PythonFile(source, mode="r"))


def opened(source: RawIOBase, metadata: Any, **options: Any) -> Any:
    """A file whose end was `described`; of its pages those that are asked for are read, and checked. For a thread."""
    return parquet().ParquetFile(
        arrow().PythonFile(source, mode="r"),
        metadata=metadata,
        pre_buffer=False,
        page_checksum_verification=True,
        **options,
    )


def extent(column: Any) -> tuple[int, int]:
    """Where a column of a row group begins and ends in its file."""
    begin = column.data_page_offset
    if column.has_dictionary_page:
        begin = min(begin, column.dictionary_page_offset)
    return begin, begin + column.total_compressed_size
