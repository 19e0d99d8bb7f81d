"""Where events lie: keys in the order of reading, partitions that never meet, and the same again for a repetition."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundstage.core.time import INT64_MAX, INT64_MIN
from soundstage.data.timeseries import placement
from soundstage.engines.records.port import KEY_MAX_BYTES, PARTITION_MAX_BYTES

times = st.integers(INT64_MIN, INT64_MAX)
nasty = st.lists(st.sampled_from([b"\0", b"\1", b"a"]), min_size=1, max_size=4).map(b"".join)
texts = st.text(min_size=1, max_size=5).map(str.encode) | nasty
buckets = st.tuples(st.integers(-(2**40), 2**40), st.integers(0, 63), texts)


@given(times, texts, texts, times, texts, texts)
def test_keys_are_in_the_order_of_time_the_newest_first_then_of_event_and_item(
    one: int, one_id: bytes, one_key: bytes, other: int, other_id: bytes, other_key: bytes
) -> None:
    left = placement.event_prefix(one, one_id) + one_key
    right = placement.event_prefix(other, other_id) + other_key
    assert (left < right) == ((-one, one_id, one_key) < (-other, other_id, other_key))


@given(times, texts, texts)
def test_a_key_tells_its_event(time_ns: int, event_id: bytes, item_key: bytes) -> None:
    prefix = placement.event_prefix(time_ns, event_id)
    assert placement.prefix_of(prefix + item_key) == prefix
    assert placement.event_of(prefix) == (time_ns, event_id)


@given(times, texts, texts, times, texts, texts)
def test_what_comes_after_an_event_parts_it_from_all_behind_it(
    one: int, one_id: bytes, one_key: bytes, other: int, other_id: bytes, other_key: bytes
) -> None:
    prefix, right = placement.event_prefix(one, one_id), placement.event_prefix(other, other_id)
    bound = placement.after_event(prefix)
    assert prefix + one_key < bound
    assert right <= prefix or right + other_key >= bound


@given(times, times, texts)
def test_a_span_has_the_events_of_its_interval(start: int, time_ns: int, event_id: bytes) -> None:
    span = placement.span_of(start, placement.key_of_time(INT64_MAX))
    key = placement.event_prefix(time_ns, event_id) + b"k"
    assert span.end is not None
    assert (span.start <= key < span.end) == (time_ns >= start)


@pytest.mark.parametrize("time_ns", [INT64_MIN, -1, 0, 1, INT64_MAX])
def test_where_a_walk_goes_on_tells_the_newest_time_that_is_left(time_ns: int) -> None:
    assert placement.newest_of(placement.key_of_time(time_ns)) == time_ns
    assert placement.newest_of(placement.event_prefix(time_ns, b"e")) == time_ns


def test_before_the_first_time_there_is_no_key() -> None:
    assert placement.key_of_time(INT64_MIN - 1) > placement.event_prefix(INT64_MIN, "\U0010ffff".encode()) + b"\xf4"


@given(buckets, buckets)
def test_partitions_of_different_buckets_and_ids_differ(
    one: tuple[int, int, bytes], other: tuple[int, int, bytes]
) -> None:
    left, right = (placement.partition(series, time, bucket) for time, bucket, series in (one, other))
    assert (left == right) == (one == other)


def test_a_long_id_is_cut_and_told_apart_from_others_and_from_a_short_one_that_looks_so() -> None:
    found = placement.partition(b"x" * 1_024, 7, 1)
    others = placement.partition(b"x" * 1_023 + b"y", 7, 1), placement.partition(found[10:], 7, 1)
    assert len(found) == PARTITION_MAX_BYTES
    assert len({found, *others}) == 3


def test_rows_tell_the_id_that_their_partition_does_not() -> None:
    assert placement.metadata(b"x" * 1_015) == b"x" * 1_015
    assert placement.metadata(b"x" * 1_014) == b""


def test_the_place_of_an_event_is_the_same_for_good() -> None:
    # What is on disk is found by these.
    assert [placement.event_bucket(event_id, 8) for event_id in (b"a", b"b", b"c", b"event-7")] == [7, 7, 3, 2]
    assert placement.event_bucket(b"a", 1) == 0
    assert placement.partition(b"ada", -1, 3).hex() == "7fffffffffffffff0003616461"
    assert placement.event_prefix(1, b"a\0").hex() == "7ffffffffffffffe6100ff0001"


def test_events_are_spread_over_all_buckets() -> None:
    counts = [0] * 4
    for number in range(4_000):
        counts[placement.event_bucket(b"%d" % number, 4)] += 1
    assert min(counts) > 900


def test_the_longest_key_fits() -> None:
    assert len(placement.event_prefix(0, b"\0" * 1_024)) + 2_000 <= KEY_MAX_BYTES
