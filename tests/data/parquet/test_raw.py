"""What the library is given for files."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest

from soundstage.data.parquet import raw
from soundstage.data.parquet.library import arrow, parquet
from soundstage.data.parquet.raw import Known, Sink, footer_bytes

ROWS = 40


def written() -> bytes:
    pa, file = arrow(), BytesIO()
    table: Any = pa.table({"name": [f"n{at % 4}" for at in range(ROWS)], "at": list(range(ROWS))})
    parquet().write_table(table, file, row_group_size=10, compression="zstd", write_page_checksum=True)
    return file.getvalue()


def test_what_was_written_is_taken_once() -> None:
    sink = Sink()
    sink.write(b"ab")
    assert sink.taken() == b"ab"
    sink.write(b"c")
    assert (sink.taken(), sink.taken(), sink.tell()) == (b"c", b"", 3)


def test_what_is_kept_of_a_write_does_not_change_with_the_writers_buffer() -> None:
    sink, buffer = Sink(), bytearray(b"ab")
    sink.write(buffer)
    buffer[0] = 0
    assert sink.taken() == b"ab"


@pytest.mark.parametrize(("at", "size", "found"), [(4, 2, b"cd"), (6, -1, b"ef"), (6, 9, b"ef"), (0, 1, b"x")])
def test_known_parts_are_read_at_their_places(at: int, size: int, found: bytes) -> None:
    known = Known(8, [(0, b"x"), (4, b"cdef")])
    known.seek(at)
    assert known.read(size) == found
    assert known.tell() == at + len(found)


@pytest.mark.parametrize(("at", "size"), [(2, 1), (3, 2), (0, 5), (0, -1)])
def test_parts_that_are_not_known_are_an_error(at: int, size: int) -> None:
    known = Known(8, [(0, b"x"), (4, b"cdef")])
    known.seek(at)
    with pytest.raises(OSError, match="none that its footer tells of"):
        known.read(size)


def test_a_place_may_be_told_from_the_end() -> None:
    known = Known(8, [(4, b"cdef")])
    assert known.seek(-2, 2) == 6
    assert known.read() == b"ef"


def test_the_footer_is_all_that_is_needed_of_a_files_end() -> None:
    data = written()
    length = footer_bytes(data[-12:], len(data))
    start = len(data) - max(length, min(len(data), raw.TAIL_BYTES))
    metadata = raw.described(Known(len(data), [(start, data[start:])]))
    assert (metadata.num_rows, metadata.num_row_groups) == (ROWS, 4)


@pytest.mark.parametrize("tail", [b"", b"PAR1", b"\x10\0\0\0PAR2" * 2, b"\xff\xff\xff\x7fPAR1" * 2, bytes(8) + b"PAR1"])
def test_what_ends_otherwise_is_no_file_of_parquet(tail: bytes) -> None:
    with pytest.raises(ValueError, match=r"does not end as one does|footer would have"):
        footer_bytes(tail, 1_000)


def test_a_row_group_is_read_from_the_extents_of_its_columns_alone() -> None:
    data = written()
    metadata = raw.described(Known(len(data), [(0, data)]))
    group = metadata.row_group(2)
    parts = [(begin, data[begin:end]) for begin, end in (raw.extent(group.column(number)) for number in range(2))]
    found = raw.opened(Known(len(data), parts), metadata).read_row_group(2)
    assert found.column("at").to_pylist() == list(range(20, 30))
    assert found.column("name").to_pylist() == ["n0", "n1", "n2", "n3"] * 2 + ["n0", "n1"]


def test_a_page_that_is_not_as_it_was_is_an_error() -> None:
    data = written()
    metadata = raw.described(Known(len(data), [(0, data)]))
    _, end = raw.extent(metadata.row_group(1).column(1))
    damaged = data[: end - 1] + bytes([data[end - 1] ^ 1]) + data[end:]
    with pytest.raises(OSError, match=r"(?i)crc|checksum"):
        raw.opened(Known(len(data), [(0, damaged)]), metadata).read_row_group(1)
