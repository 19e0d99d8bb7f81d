"""What is asked of topics and appends before anything is done."""

from __future__ import annotations

from collections import Counter

import pytest

from soundstage.core.errors import InvalidArgument, TooLarge
from soundstage.engines.log.arrivals import (
    check_apart,
    check_entries,
    check_limits,
    check_partition,
    check_positions,
    check_spec,
    check_token,
    digest_of,
    partition_of,
    size_of,
    spread,
)
from soundstage.engines.log.port import Entry, Position, Stored, TopicSpec

SPEC = TopicSpec(name="a/b", partitions=4)


@pytest.mark.parametrize("name", ["a", "a/b/c", "A.b_c-d", "-", "9/9", "a" * 200])
def test_what_is_a_name_is_one(name: str) -> None:
    assert check_spec(TopicSpec(name=name)).name == name


@pytest.mark.parametrize("name", ["", "/", "a/", "/a", "a//b", ".a", "a/.b", "a b", "a" * 201])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check_spec(TopicSpec(name=name))
    assert (caught.value.field, bool(caught.value.hint)) == ("name", True)


def test_limits_of_nothing_are_limits() -> None:
    spec = TopicSpec(name="a", retention_us=0, retention_bytes=0, token_us=0)
    assert check_spec(spec) is spec


def test_the_size_of_an_entry_is_that_of_its_parts() -> None:
    headers = (("ä", b"12"), ("", b""))
    assert size_of(Entry(b"123", b"12345", headers)) == 3 + 5 + 2 + 2
    assert size_of(Stored(5, 0, None, None)) == 0


def test_the_bytes_of_a_call_are_told() -> None:
    assert check_entries(SPEC, [Entry(b"123"), Entry(None, b"1")], 0) == 4


def test_the_first_wrong_entry_is_named() -> None:
    with pytest.raises(TooLarge) as caught:
        check_entries(SPEC, [Entry(b""), Entry(bytes((1 << 20) + 1))], 0)
    assert caught.value.field == "entries[1]"


@pytest.mark.parametrize("token", ["a", "ä" * 128, "a" * 256, " "])
def test_what_is_a_token_is_one(token: str) -> None:
    assert check_token(token) == token.encode()


@pytest.mark.parametrize("token", ["", "a" * 257, "\0", "a\0b"])
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(InvalidArgument):
        check_token(token)


@pytest.mark.parametrize(("partition", "there"), [(-1, False), (0, True), (3, True), (4, False)])
def test_a_partition_is_checked(partition: int, there: bool) -> None:
    if there:
        assert check_partition(SPEC, partition) == partition
    else:
        with pytest.raises(InvalidArgument, match="no partition"):
            check_partition(SPEC, partition)


def test_the_greatest_page_is_one() -> None:
    check_limits(0, 100_000, 8 << 20)
    with pytest.raises(InvalidArgument, match="offsets"):
        check_limits(-1, 1, 1)


def test_positions_are_counted() -> None:
    check_positions([Position("a", 0, 0)] * 2_048)
    with pytest.raises(InvalidArgument, match="2048"):
        check_positions([Position("a", 0, 0)] * 2_049)


def test_where_keys_go_never_changes() -> None:
    # Part of the disk format: another function would send a key elsewhere than its older entries.
    keys = (b"", b"a", b"key", b"\0\xff")
    assert [partition_of(key, 1_024) for key in keys] == [194, 543, 483, 1011]


def test_keys_are_spread_evenly() -> None:
    counted = Counter(partition_of(b"%d" % number, 8) for number in range(8_000))
    assert min(counted.values()) > 850
    assert max(counted.values()) < 1_150


def test_entries_without_keys_go_where_they_are_told() -> None:
    entries = [Entry(b"", b"a"), Entry(b""), Entry(b"")]
    assert spread(SPEC, entries, None, 3) == [partition_of(b"a", 4), 3, 3]
    assert spread(SPEC, entries, 1, 3) == [1, 1, 1]
    with pytest.raises(InvalidArgument):
        spread(SPEC, entries, 4, 3)


def test_calls_that_differ_have_other_digests() -> None:
    calls = [
        ([Entry(b"a")], None),
        ([Entry(b"a")], 0),
        ([Entry(b"a", b"")], None),
        ([Entry(None, b"a")], None),
        ([Entry(b"a"), Entry(b"")], None),
        ([Entry(b"a", headers=(("", b""),))], None),
        ([Entry(b"a", time_us=0)], None),
    ]
    assert len({digest_of(entries, partition) for entries, partition in calls}) == len(calls)
    assert digest_of([Entry(b"a")], None) == digest_of((Entry(b"a"),), None)


def test_appends_of_one_call_go_to_partitions_of_their_own() -> None:
    taken: set[tuple[str, int]] = set()
    check_apart(taken, "a", [0, 0, 1])
    check_apart(taken, "b", [0])
    with pytest.raises(InvalidArgument) as refused:
        check_apart(taken, "a", [2, 1])
    assert "partition 1 of 'a'" in refused.value.detail
