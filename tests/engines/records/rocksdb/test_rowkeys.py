from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundstage.engines.records.rocksdb.rowkeys import (
    AFTER_ITEMS,
    HEAD,
    ITEMS,
    NUMBER,
    due_key,
    hash_bound,
    next_number,
    parse,
    parse_due,
    prefix_of,
)

SEVEN = NUMBER.pack(7)

partitions = st.binary(min_size=1, max_size=40) | st.text("\0\1\xff", min_size=1).map(
    lambda text: text.encode("latin1")
)
keys = st.binary(max_size=40)


@pytest.mark.parametrize(
    ("partition", "prefix"),
    [
        (b"user-1", "000000077c7615c11438e5c9757365722d31"),
        (b"a\0b", "00000007d5a06cd0781253516100ff62"),
    ],
)
def test_the_prefix_of_a_partition_is_pinned(partition: bytes, prefix: str) -> None:
    assert prefix_of(SEVEN, partition).hex() == prefix


def test_an_entry_for_the_sweeper_is_pinned() -> None:
    row_key = prefix_of(SEVEN, b"u") + ITEMS + b"k"
    assert due_key(0x0102030405060708, row_key).hex() == "0000000701020304050607080de0f3cef1e769227500016b"


def test_head_rows_come_before_items_and_both_before_what_is_after() -> None:
    assert HEAD < ITEMS < AFTER_ITEMS


@given(partitions, keys, st.booleans())
def test_a_row_key_is_taken_apart_into_what_it_was_made_of(partition: bytes, key: bytes, is_item: bool) -> None:
    prefix = prefix_of(SEVEN, partition)
    found = parse(prefix + (ITEMS if is_item else HEAD) + key)
    assert found == (prefix, partition, is_item, key)


@given(partitions, partitions, keys, keys)
def test_the_rows_of_one_partition_are_never_among_those_of_another(
    one: bytes, other: bytes, key: bytes, other_key: bytes
) -> None:
    first, second = (prefix_of(SEVEN, partition) for partition in (one, other))
    inside = first + HEAD <= second + ITEMS + other_key < first + AFTER_ITEMS
    assert inside == (one == other)
    assert first + ITEMS + key < first + AFTER_ITEMS


@given(partitions, keys, keys)
def test_items_are_ordered_by_their_keys(partition: bytes, one: bytes, other: bytes) -> None:
    base = prefix_of(SEVEN, partition) + ITEMS
    assert (base + one < base + other) == (one < other)


@given(partitions, st.integers(1, 1_024), st.data())
def test_a_partition_lies_in_the_segment_of_its_hash(partition: bytes, segments: int, data: st.DataObject) -> None:
    segment = data.draw(st.integers(0, segments - 1))
    low, high = ((index << 64) // segments for index in (segment, segment + 1))
    hashed = int.from_bytes(prefix_of(SEVEN, partition)[4:12], "big")
    row_key = prefix_of(SEVEN, partition) + HEAD
    assert (hash_bound(SEVEN, low) <= row_key < hash_bound(SEVEN, high)) == (low <= hashed < high)


@pytest.mark.parametrize("tail", [b"", b"12345678", b"12345678a", b"12345678a\0", b"12345678a\0\3", b"12345678a\0\xff"])
def test_what_is_no_row_key_is_refused(tail: bytes) -> None:
    with pytest.raises(ValueError, match=r"row has the key|not found"):
        parse(SEVEN + tail)


@given(st.binary(max_size=40))
def test_nothing_but_a_value_error_comes_of_garbage(raw: bytes) -> None:
    try:
        found = parse(raw)
    except ValueError:
        return
    assert raw.startswith(found.prefix)


@given(st.integers(0, 2**63), partitions, keys)
def test_an_entry_for_the_sweeper_is_taken_apart_again(due_us: int, partition: bytes, key: bytes) -> None:
    row_key = prefix_of(SEVEN, partition) + ITEMS + key
    assert parse_due(due_key(due_us, row_key)) == (due_us, row_key)


@given(st.integers(0, 2**63), st.integers(0, 2**63), partitions, partitions)
def test_entries_of_a_table_are_ordered_by_time(one_us: int, other_us: int, one: bytes, other: bytes) -> None:
    first, second = (due_key(us, prefix_of(SEVEN, part) + HEAD) for us, part in ((one_us, one), (other_us, other)))
    if one_us != other_us:
        assert (first < second) == (one_us < other_us)


@pytest.mark.parametrize("number", [0, 1, 255, 256, 2**32 - 2])
def test_the_rows_of_a_table_end_where_those_of_the_next_begin(number: int) -> None:
    packed = NUMBER.pack(number)
    assert packed + b"\xff" * 5_000 < next_number(packed) == NUMBER.pack(number + 1)
