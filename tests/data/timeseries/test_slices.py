"""Slices: their states by the clock and the knobs, and how the next one is to be."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.data.timeseries.conftest import DAY, NOW, H

from soundstage.core.time import INT64_MAX, INT64_MIN
from soundstage.data.timeseries.config import Kept, Layout
from soundstage.data.timeseries.slices import AFTER_TIME, Lifetime, Slice, covering, following, planned

WIDE = Layout(DAY, H, 2)
NARROW = Layout(5 * H, H, 1)
ENDLESS = Layout(0, 30 * DAY, 1)

FOUND = Slice(1, 10 * DAY, 11 * DAY, 10 * DAY, H, 2, "table")
LIFE = Lifetime(2 * H, Kept(15 * DAY, 16 * DAY))


def plan(slices: list[Slice], at: int, layout: Layout = WIDE) -> Slice:
    return planned(slices, at, layout, len(slices) + 1, "t/")


@pytest.mark.parametrize(
    ("now", "state"),
    [
        (9 * DAY, "active"),
        (11 * DAY + 2 * H, "active"),
        (11 * DAY + 2 * H + 1, "immutable"),
        (26 * DAY - 1, "immutable"),
        (26 * DAY, "closed"),
        (27 * DAY - 1, "closed"),
        (27 * DAY, "deleted"),
    ],
)
def test_a_slice_goes_through_its_states(now: int, state: str) -> None:
    assert LIFE.state(FOUND, now) == state
    assert LIFE.is_read(FOUND, now) == (state in ("active", "immutable"))


def test_what_is_kept_for_ever_and_taken_at_any_age_stays_active() -> None:
    life = Lifetime(None, Kept(None, None))
    assert life.state(FOUND, INT64_MAX - 1) == "active"
    assert life.closes_at(FOUND, INT64_MAX) == life.deleted_at(FOUND, INT64_MAX) == INT64_MAX


def test_a_slice_that_is_being_dropped_is_not_read() -> None:
    assert not LIFE.is_read(msgspec.structs.replace(FOUND, dropping=True), 11 * DAY)


@pytest.mark.parametrize(
    ("at", "found"), [(10 * DAY - 1, False), (10 * DAY, True), (11 * DAY - 1, True), (11 * DAY, False)]
)
def test_the_start_is_in_a_slice_and_the_end_is_not(at: int, *, found: bool) -> None:
    assert (covering([FOUND], at) is FOUND) == found


def test_a_new_slice_begins_at_a_multiple_of_its_width_and_has_a_table_called_by_its_day() -> None:
    found = plan([], NOW)
    assert (found.start, found.end, found.origin) == (NOW // DAY * DAY, (NOW // DAY + 1) * DAY, found.start)
    assert (found.bucket_ns, found.event_buckets, found.table, found.made) == (H, 2, "t/20231114_1", False)


def test_a_slice_of_another_width_ends_where_its_neighbour_begins() -> None:
    first, third = plan([], 0), plan([], 2 * DAY)
    found = plan([first, third], DAY + 2 * H, NARROW)
    assert (found.start, found.end) == (25 * H, 30 * H)
    last = plan([first, found, third], 2 * DAY - 1, NARROW)
    assert (last.start, last.end) == (45 * H, 2 * DAY)


@pytest.mark.parametrize("at", [INT64_MIN, INT64_MAX, -1])
@pytest.mark.parametrize("layout", [WIDE, ENDLESS])
def test_every_time_has_a_slice(at: int, layout: Layout) -> None:
    found = plan([], at, layout)
    assert INT64_MIN <= found.start <= at < found.end <= AFTER_TIME


def test_a_slice_without_an_end_grows_to_both_sides_and_keeps_its_number_and_table() -> None:
    first = plan([], NOW, ENDLESS)
    later = plan([first], first.end + 3 * DAY, ENDLESS)
    earlier = plan([later], first.start - 1, ENDLESS)
    assert (earlier.number, earlier.table, earlier.origin) == (1, first.table, 0)
    assert earlier.start < first.start
    assert earlier.end == later.end > first.end


def test_a_slice_without_an_end_grows_no_farther_than_the_next_one() -> None:
    later = plan([], NOW + 40 * DAY)
    found = plan([later], later.start - 1, ENDLESS)
    assert found.end == later.start
    assert found.endless


@given(st.lists(st.tuples(st.integers(-50 * DAY, 50 * DAY), st.sampled_from([WIDE, NARROW, ENDLESS])), max_size=30))
def test_slices_of_any_settings_made_in_any_order_never_overlap(asked: list[tuple[int, Layout]]) -> None:
    slices: dict[int, Slice] = {}
    for at, layout in asked:
        known = sorted(slices.values(), key=lambda each: each.start)
        if covering(known, at) is None:
            found = planned(known, at, layout, len(slices) + 1, "t/")
            slices[found.number] = found
        known = sorted(slices.values(), key=lambda each: each.start)
        assert covering(known, at) is not None
        assert all(one.end <= other.start for one, other in pairwise(known))


@given(st.integers(0, 24 * 60 - 1), st.integers(0, 24 * 60 - 1))
def test_the_buckets_of_an_interval_are_the_newest_first_and_have_all_of_it(one: int, other: int) -> None:
    first, last = sorted((10 * DAY + one * H // 60, 10 * DAY + other * H // 60))
    buckets = list(FOUND.time_buckets(first, last))
    assert buckets == sorted(buckets, reverse=True)
    assert FOUND.bucket_start(buckets[-1]) <= first
    assert min(last, FOUND.end - 1) < FOUND.bucket_start(buckets[0]) + H


def test_an_event_lies_in_one_of_the_partitions_of_its_bucket() -> None:
    partition = FOUND.partition(b"ada", 10 * DAY + 90 * 60 * 10**9, b"e")
    assert partition in FOUND.partitions(b"ada", 1)
    assert partition not in FOUND.partitions(b"ada", 0)


def test_the_next_slice_is_made_in_the_second_half_of_one_in_use() -> None:
    assert following([FOUND], 10 * DAY + 12 * H - 1, WIDE) is None
    assert following([FOUND], 10 * DAY + 12 * H, WIDE) == 11 * DAY
    after = plan([FOUND], 11 * DAY)
    made = msgspec.structs.replace(after, made=True)
    assert following([FOUND, made], 10 * DAY + 12 * H, WIDE) is None
    # Whoever began it may have died before it had a table.
    assert following([FOUND, after], 10 * DAY + 12 * H, WIDE) == 11 * DAY


def test_nothing_is_made_where_nobody_has_written() -> None:
    assert following([], NOW, WIDE) is None
    assert following([FOUND], NOW, WIDE) is None


def test_where_all_is_to_be_made_ahead_the_slice_of_the_present_is_too() -> None:
    assert following([], NOW, WIDE, ahead=True) == NOW
    assert following([FOUND], NOW, WIDE, ahead=True) == NOW
    assert following([FOUND], 10 * DAY + 12 * H - 1, WIDE, ahead=True) is None


def test_a_slice_without_an_end_grows_a_day_ahead() -> None:
    found = plan([], NOW, Layout(0, H, 1))
    assert following([found], found.end - DAY - 1, ENDLESS) is None
    assert following([found], found.end - DAY, ENDLESS) == found.end
