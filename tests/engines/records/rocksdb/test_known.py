from __future__ import annotations

import tracemalloc

import pytest

from soundstage.core import version
from soundstage.engines.records.port import RangeDelete
from soundstage.engines.records.rocksdb.header import Header
from soundstage.engines.records.rocksdb.known import KnownHeaders

MIB = 1 << 20


def header(number: int = 0, ranges: int = 0, key_bytes: int = 8) -> Header:
    newest = version.identity(version.put(number, f"token-{number}", b""))
    deleted = version.delete(number, f"token-{number}")
    spans = tuple(RangeDelete(b"%04d" % (2 * at), b"%04d" % (2 * at + 1), deleted) for at in range(ranges))
    return Header(newest, None, spans, b"a" * key_bytes, b"b" * key_bytes)


def prefix(number: int) -> bytes:
    return b"prefix-%09d" % number


def test_what_was_remembered_is_found() -> None:
    known, one = KnownHeaders(MIB), header()
    known.remember(b"a", one)
    known.remember(b"b", None)
    assert known.found == {b"a": one, b"b": None}


def test_the_last_header_of_a_partition_counts() -> None:
    known, later = KnownHeaders(MIB), header(2)
    known.remember(b"a", header(1))
    known.remember(b"a", later)
    assert known.found == {b"a": later}


def test_the_budget_holds_however_many_are_remembered() -> None:
    known = KnownHeaders(MIB)
    for number in range(20_000):
        known.remember(prefix(number), header(number))
        assert known.bytes <= MIB
    assert 500 < len(known.found) < 20_000


def test_the_oldest_are_forgotten_first() -> None:
    known = KnownHeaders(MIB)
    for number in range(20_000):
        known.remember(prefix(number), None)
    left = sorted(known.found)
    assert left == [prefix(number) for number in range(20_000 - len(left), 20_000)]


def test_a_header_with_many_ranges_weighs_as_much_as_many_without() -> None:
    light, heavy = KnownHeaders(64 * MIB), KnownHeaders(64 * MIB)
    light.remember(b"a", header())
    heavy.remember(b"a", header(ranges=1_000))
    assert heavy.bytes > 300 * light.bytes


def test_one_that_is_larger_than_the_budget_is_known_until_the_next() -> None:
    known, large = KnownHeaders(100_000), header(ranges=1_000)
    known.remember(b"a", header())
    known.remember(b"b", header())
    known.remember(b"a", large)
    assert known.found == {b"a": large}
    known.remember(b"b", None)
    assert known.found == {b"b": None}


def test_the_mark_of_what_was_remembered_last_ends_with_the_next_write_however_large_it_is() -> None:
    known, large = KnownHeaders(1_000), header(1, ranges=1_000)
    known.remember(b"a", large)
    mark = large.marked()
    known.remember(b"a", header(2, ranges=1_000))
    assert not mark.current


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, header()),
        (header(), None),
        (header(ranges=3), header()),
        (header(), header(ranges=3)),
        (header(), header(key_bytes=4_000)),
        (None, None),
    ],
)
def test_what_replaces_another_is_weighed_as_if_it_were_alone(before: Header | None, after: Header | None) -> None:
    replaced, alone = KnownHeaders(MIB), KnownHeaders(MIB)
    replaced.remember(b"a", before)
    replaced.remember(b"a", after)
    alone.remember(b"a", after)
    assert replaced.bytes == alone.bytes


def test_nothing_is_known_or_weighed_once_it_is_cleared() -> None:
    known = KnownHeaders(MIB)
    known.remember(b"a", header(ranges=3))
    known.clear()
    assert (known.found, known.bytes) == ({}, 0)


@pytest.mark.parametrize("ranges", [0, 5])
def test_the_estimate_is_what_python_takes(ranges: int) -> None:
    known = KnownHeaders(1 << 40)
    tracemalloc.start()
    for number in range(5_000):
        known.remember(prefix(number), header(number, ranges, 30))
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert 0.6 < known.bytes / taken < 2


def test_the_mark_of_a_header_that_is_replaced_ends() -> None:
    known, one, other = KnownHeaders(MIB), header(1), header(2)
    marks = one.marked(), other.marked()
    known.remember(b"a", one)
    known.remember(b"a", other)
    assert [mark.current for mark in marks] == [False, True]


def test_a_header_that_is_remembered_again_stays_current() -> None:
    known, one = KnownHeaders(MIB), header()
    known.remember(b"a", one)
    mark = one.marked()
    known.remember(b"a", one)
    assert (mark.current, one.marked()) == (True, mark)


def test_the_mark_of_a_header_that_is_forgotten_ends() -> None:
    known = KnownHeaders(MIB)
    headers = [header(number) for number in range(20_000)]
    for number, each in enumerate(headers):
        each.marked()
        known.remember(prefix(number), each)
    left = set(map(id, known.found.values()))
    assert all(each.marked().current == (id(each) in left) for each in headers)


def test_no_mark_is_current_once_nothing_is_known() -> None:
    known, one = KnownHeaders(MIB), header()
    mark = one.marked()
    known.remember(b"a", one)
    known.remember(b"b", None)
    known.clear()
    assert not mark.current
