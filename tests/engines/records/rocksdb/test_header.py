from __future__ import annotations

import msgspec
import pytest

from soundstage.core import version
from soundstage.engines.records.port import KEY_CEILING, RangeDelete, Stamp
from soundstage.engines.records.rocksdb.header import Header, decode, decode_range, encode, encode_range

TIME_US = 1_700_000_000_000_000
PUT = version.put(TIME_US, "token", b"value", TIME_US + 1_000_000, b"meta")
DELETE = version.delete(TIME_US, "token")
LATER = version.delete(TIME_US + 1, "token")
NEWEST = version.identity(PUT)


def test_cells_are_pinned() -> None:
    assert PUT.hex() == "00060a24181e400000746f6b656e0000060a24182d8240000000046d65746176616c7565"
    assert DELETE.hex() == "00060a24181e400001746f6b656e00000000000000000000000000"


@pytest.mark.parametrize(
    ("header", "stored"),
    [
        (Header(NEWEST, None, (), b"a", b"b\0"), "95c40f00060a24181e400000746f6b656e00c0c2c40161c4026200"),
        (
            Header(NEWEST, DELETE, (RangeDelete(b"a", None, DELETE),)),
            "95c40f00060a24181e400000746f6b656e00c41b00060a24181e400001746f6b656e00000000000000000000000000c3c0c400",
        ),
    ],
)
def test_headers_are_pinned(header: Header, stored: str) -> None:
    assert encode(header).hex() == stored


@pytest.mark.parametrize(
    ("end", "stored"),
    [
        (b"z", "92c4017ac41b00060a24181e400001746f6b656e00000000000000000000000000"),
        (None, "92c0c41b00060a24181e400001746f6b656e00000000000000000000000000"),
    ],
)
def test_ranges_are_pinned(end: bytes | None, stored: str) -> None:
    assert encode_range(end, DELETE).hex() == stored
    assert decode_range(bytes.fromhex(stored)) == (end, DELETE)


@pytest.mark.parametrize(
    "header", [Header(NEWEST), Header(NEWEST, DELETE), Header(NEWEST, None, (), b"", b"\xff" * 4_097)]
)
def test_a_header_is_read_as_it_was_written(header: Header) -> None:
    assert decode(encode(header)) == (header, False)


def test_ranges_are_rows_of_their_own_which_the_header_tells_of() -> None:
    header, has_ranges = decode(encode(Header(NEWEST, None, (RangeDelete(b"a", b"b", DELETE),))))
    assert (header.ranges, has_ranges) == ((), True)


def test_a_header_without_items_is_small() -> None:
    assert len(encode(Header(NEWEST, DELETE))) < 60


def test_a_header_without_items_has_no_place_for_any() -> None:
    header = decode(encode(Header(NEWEST, DELETE)))[0]
    assert header.low is KEY_CEILING
    assert header.low >= header.high


def test_the_stamp_is_that_of_the_newest_version() -> None:
    header = Header(NEWEST)
    assert header.stamp == header.stamp == Stamp(TIME_US, "token")


@pytest.mark.parametrize(
    ("header", "covered"),
    [
        (Header(NEWEST), False),
        (Header(NEWEST, DELETE), True),
        (Header(NEWEST, None, (RangeDelete(b"a", b"b", DELETE),)), True),
    ],
)
def test_a_header_knows_whether_it_has_tombstones(header: Header, covered: bool) -> None:
    assert header.covered == covered


@pytest.mark.parametrize(
    ("partition", "key", "expected"),
    [
        (None, b"a", DELETE),
        (None, b"b", None),
        (None, b"c", LATER),
        (DELETE, b"b", DELETE),
        (DELETE, b"c", LATER),
        (LATER, b"a", LATER),
    ],
)
def test_the_greatest_tombstone_over_a_key_counts(partition: bytes | None, key: bytes, expected: bytes | None) -> None:
    ranges = (RangeDelete(b"a", b"b", DELETE), RangeDelete(b"c", None, LATER))
    assert Header(NEWEST, partition, ranges).covering(key) == expected


def test_garbage_is_refused() -> None:
    with pytest.raises(msgspec.DecodeError):
        decode(b"garbage")
