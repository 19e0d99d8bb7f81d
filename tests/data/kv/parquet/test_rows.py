"""Rows in columns: what is taken of cells, and what waits to be brought."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from soundstage.core import version
from soundstage.core.errors import DataLoss
from soundstage.data.kv.items import metadata_of
from soundstage.data.kv.manifest import Manifest
from soundstage.data.kv.parquet.rows import Rows, schema, shape
from soundstage.data.parquet.footers import Footer
from soundstage.data.parquet.writing import Writer

APART = Manifest(b"d" * 16, 3_000_000, 1 << 18, b"u" * 16)


def row(key: bytes, value: bytes) -> tuple[bytes, bytes]:
    return key, version.put(1_000, "t", value)


def apart(key: bytes) -> tuple[bytes, bytes]:
    return key, version.put_head(1_000, "t", 0, metadata_of(APART))


def table_of(rows: Rows) -> Any:
    return pa.ipc.open_stream(rows.packed()).read_all()


def test_a_value_in_chunks_is_brought_to_its_row() -> None:
    rows = Rows()
    rows.take([(b"x", [row(b"1", b"a")])], None)
    (found,) = rows.take([(b"y", [row(b"2", b"b"), apart(b"3"), row(b"4", b"d")])], None)
    assert (found.place, found.partition, found.key, found.manifest) == (2, b"y", b"3", APART)
    rows.bring(found, b"c")
    assert table_of(rows).column("value").to_pylist() == [b"a", b"b", b"c", b"d"]
    assert table_of(rows).column("size").to_pylist() == [1, 1, 3_000_000, 1]


def test_one_that_is_larger_than_wanted_stays_away() -> None:
    rows = Rows()
    assert rows.take([(b"x", [apart(b"1"), row(b"2", b"abc"), row(b"3", b"ab")])], 2) == []
    assert table_of(rows).column("value").to_pylist() == [None, None, b"ab"]


def test_the_first_rows_leave() -> None:
    rows = Rows()
    rows.take([(b"x", [row(b"%d" % number, b"v" * number) for number in range(5)])], None)
    first = rows.split(2)
    assert (first.count, rows.count) == (2, 3)
    assert first.tally() == 2 + 1
    assert table_of(rows).column("key").to_pylist() == [b"2", b"3", b"4"]


def test_an_id_that_is_no_text_is_data_loss() -> None:
    with pytest.raises(DataLoss, match="no text"):
        Rows().take([(b"\xff", [row(b"k", b"v")])], None)


def test_what_is_put_aside_has_the_columns_of_the_file() -> None:
    rows = Rows()
    rows.take([(b"x", [row(b"k", b"v")])], None)
    assert table_of(rows).schema == schema()


def test_a_writer_gives_the_file_piece_by_piece() -> None:
    rows, writer = Rows(), Writer(shape())
    rows.take([(b"x", [row(b"k", b"v")])], None)
    packed = rows.packed()
    pieces = [writer.add(packed), writer.add(packed)]
    pieces.append(writer.finish(Footer(namespace="films", exported_us=1, items=2, bytes=4), {}))
    assert all(pieces)
    assert pq.read_table(pa.BufferReader(b"".join(pieces))).num_rows == 2
