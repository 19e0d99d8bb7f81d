"""How large pages are unpacked, as their headers say, in files that the library wrote."""

from __future__ import annotations

import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from soundstage.data.parquet.pages import Unreadable, largest_page

MIB = 1 << 20


def chunk(values: list[Any], **options: Any) -> bytes:
    """The only column of a file."""
    to = io.BytesIO()
    pq.write_table(pa.table({"value": values}), to, **options)
    column = pq.read_metadata(io.BytesIO(to.getvalue())).row_group(0).column(0)
    begin = column.dictionary_page_offset or column.data_page_offset
    return to.getvalue()[begin : begin + column.total_compressed_size]


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("compression", ["none", "zstd", "snappy"])
@pytest.mark.parametrize("checksum", [True, False])
def test_a_page_is_as_large_as_what_is_in_it(version: str, compression: str, checksum: bool) -> None:
    data = chunk(
        [bytes(3 * MIB)],
        data_page_version=version,
        compression=compression,
        use_dictionary=False,
        write_page_checksum=checksum,
    )
    assert 3 * MIB <= largest_page(data) < 3 * MIB + 1_024


@pytest.mark.parametrize("use_dictionary", [True, False])
def test_of_many_pages_it_is_the_largest(use_dictionary: bool) -> None:
    values = [b"%06d" % number * 50 for number in range(20_000)]
    data = chunk(values, data_page_size=16 << 10, use_dictionary=use_dictionary)
    assert 16 << 10 <= largest_page(data) <= 2 * MIB


def test_statistics_and_nothings_are_passed_over() -> None:
    data = chunk([None, b"a" * 300, None, b"b"], write_statistics=True, use_dictionary=False)
    assert 300 <= largest_page(data) < 1_024


def test_a_column_without_pages_has_none() -> None:
    assert largest_page(b"") == 0


@pytest.mark.parametrize("data", [b"\xff", b"\x15\x00", b"\x00", bytes(range(1, 200)), b"\x1c" * 100, b"\x19\xff" * 9])
def test_what_are_no_pages_is_told(data: bytes) -> None:
    with pytest.raises(Unreadable):
        largest_page(data)


def test_a_header_cut_anywhere_is_told() -> None:
    data = chunk([b"a" * 30], use_dictionary=False)
    for end in range(1, 8):
        with pytest.raises(Unreadable):
            largest_page(data[:end])
