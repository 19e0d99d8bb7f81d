"""The disk format: what is written today must be read for ever."""

from __future__ import annotations

import pytest

from soundstage.engines.log.port import Entry, Stored
from soundstage.engines.log.rocksdb.layout import (
    ROW_BYTES,
    Head,
    draft,
    entries_of,
    forgetting,
    head_key,
    head_of_row,
    next_number,
    partition_prefix,
    row_of,
    token_key,
)

ONE = b"\0\0\0\1"


def test_keys_are_laid_out_as_described() -> None:
    assert partition_prefix(ONE, 2) == b"\0\0\0\1\0\0\0\2"
    assert head_key(ONE, 2) == b"\0\0\0\1\xff\xff\xff\xffh\0\0\0\2"
    assert token_key(ONE, b"t") == b"\0\0\0\1\xff\xff\xff\xfflt"
    assert forgetting(ONE) == b"\0\0\0\1\xff\xff\xff\xffx"


def test_everything_of_a_topic_lies_before_the_next_one() -> None:
    assert head_key(ONE, 0xFFFFFFFF) < next_number(ONE) == b"\0\0\0\2"


def test_a_row_is_laid_out_as_described() -> None:
    row = row_of(7, 9, [Stored(5, 9, b"k", b"v", (("h", b"x"),)), Stored(6, 10, None, None)])
    assert row.hex() == (
        "0000000000000007" "0000000000000009" "00000004"
        "92" "95" "05" "09" "c4016b" "c40176" "91" "92" "a168" "c40178"
        "95" "06" "0a" "c0" "c0" "90"
    )  # fmt: skip


def test_a_row_is_read_as_it_was_written() -> None:
    entries = [Stored(2**40, 2**50, b"\xff" * 300, b"\0" * 70_000), Stored(2**40 + 1, 2**50, b"", b"")]
    row = row_of(2**33, 2**50, entries)
    assert (entries_of(row), head_of_row(row)) == (entries, (2**33, 2**50, 70_300))


def test_a_head_may_lack_what_is_added_later() -> None:
    assert Head() == Head(0, 0, 0, 0, 0, 0, 0, 0)


def test_a_draft_holds_the_entries_in_their_order() -> None:
    drafted = draft([Entry(b"a"), Entry(b"bb", b"k", time_us=5)], 10, 7, 100, 20)
    ((offset, row),) = drafted.rows
    assert entries_of(row) == [Stored(10, 20, None, b"a"), Stored(11, 20, b"k", b"bb")]
    assert (offset, head_of_row(row)) == (10, (100, 20, 4))
    assert drafted[1:] == (12, 20, 104)


def test_a_draft_has_rows_of_a_bounded_size() -> None:
    drafted = draft([Entry(bytes(10_000))] * 20, 0, 0, 0, 1)
    heads = [head_of_row(row) for _, row in drafted.rows]
    assert [offset for offset, _ in drafted.rows] == [0, 6, 12, 18]
    assert all(head.size <= ROW_BYTES for head in heads)
    assert [head.before for head in heads] == [0, 60_000, 120_000, 180_000]
    assert drafted.given == 200_000


@pytest.mark.parametrize("size", [ROW_BYTES, ROW_BYTES + 1, 1 << 20])
def test_a_large_entry_has_a_row_of_its_own(size: int) -> None:
    drafted = draft([Entry(b"a"), Entry(bytes(size)), Entry(b"b")], 0, 0, 0, 1)
    assert [offset for offset, _ in drafted.rows] == [0, 1, 2]
