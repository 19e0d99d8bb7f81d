"""What slices to come should be like: narrow, right, wide and mixed partitions, and that nothing swings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.data.timeseries.conftest import DAY, H, S

from soundstage.data.timeseries.config import BUCKETS_MAX, Layout
from soundstage.data.timeseries.partitioning.rule import Aim, Density, Verdict, judge

MIB = 1 << 20
AIM = Aim(4 * MIB, 60 * S, 8)
WEEKLY = Layout(7 * DAY, 60 * S, 1)
DAILY = Layout(DAY, H, 1)


def density(
    p99: float, layout: Layout = DAILY, *, p95: float | None = None, largest: float = 0, seen: int = 99
) -> Density:
    p95 = p99 * 0.8 if p95 is None else p95
    largest = largest or p99 * 1.5
    return Density("t", layout.bucket_ns, layout.event_buckets, int(p95), int(p99), int(largest), seen)


def judged(layout: Layout, *p99s: float, aim: Aim = AIM) -> Verdict:
    return judge(layout, [density(each, layout) for each in p99s], aim)


def test_a_minute_of_ten_kilobytes_becomes_the_whole_week() -> None:
    # The example of the published paper, with its target.
    verdict = judged(WEEKLY, 1_000, 1_000, aim=Aim(10**7, 60 * S, 8))
    assert verdict.layout == Layout(7 * DAY, 604_800 * S, 1)


def test_narrow_partitions_are_widened_by_as_much_as_they_lack() -> None:
    verdict = judged(DAILY, 0.5 * MIB, 0.5 * MIB)
    assert verdict.layout == Layout(DAY, 8 * H, 1)
    assert (verdict.observed, verdict.slices) == (MIB // 2, ("t", "t"))


def test_event_buckets_go_first() -> None:
    spread = Layout(DAY, H, 8)
    assert judged(spread, MIB, MIB).layout == Layout(DAY, H, 2)
    assert judged(spread, 0.25 * MIB, 0.25 * MIB).layout == Layout(DAY, 2 * H, 1)


def test_wide_partitions_are_narrowed() -> None:
    assert judged(DAILY, 48 * MIB, 48 * MIB).layout == Layout(DAY, 300 * S, 1)


def test_where_buckets_can_be_no_narrower_they_are_spread() -> None:
    least = Layout(DAY, 60 * S, 1)
    assert judged(least, 24 * MIB, 24 * MIB).layout == Layout(DAY, 60 * S, 6)
    assert judged(least, 240 * MIB, 240 * MIB).layout == Layout(DAY, 60 * S, 8)
    assert judged(Layout(DAY, 300 * S, 1), 80 * MIB, 80 * MIB).layout == Layout(DAY, 60 * S, 4)


@pytest.mark.parametrize("p99", [2.1 * MIB, 4 * MIB, 7.9 * MIB])
def test_what_is_about_right_stays(p99: float) -> None:
    assert judged(DAILY, p99, p99).layout is None


@pytest.mark.parametrize("p99s", [(MIB, 4 * MIB), (4 * MIB, MIB), (MIB, 40 * MIB), (40 * MIB, MIB), (MIB,), ()])
def test_two_slices_have_to_agree(p99s: tuple[float, ...]) -> None:
    assert judged(DAILY, *p99s).layout is None


def test_the_slice_that_asks_for_less_is_believed() -> None:
    assert judged(DAILY, 0.1 * MIB, 1.9 * MIB).layout == Layout(DAY, 8_640 * S, 1)
    assert judged(DAILY, 9 * MIB, 400 * MIB).layout == Layout(DAY, 1_600 * S, 1)


def test_only_the_last_slices_count() -> None:
    assert judged(DAILY, 400 * MIB, 400 * MIB, 4 * MIB, 4 * MIB).layout is None


def test_slices_of_other_settings_say_nothing() -> None:
    before = [density(0.1 * MIB, Layout(DAY, 60 * S, 1)) for _ in range(5)]
    assert judge(DAILY, before, AIM).layout is None
    assert judge(DAILY, [*before, density(0.1 * MIB)], AIM).layout is None


def test_few_partitions_say_nothing() -> None:
    assert judge(DAILY, [density(0.1 * MIB, seen=7)] * 3, AIM).layout is None


def test_where_only_some_ids_are_wide_nothing_is_narrowed() -> None:
    few = [density(64 * MIB, p95=0.01 * MIB)] * 2
    verdict = judge(DAILY, few, AIM)
    assert (verdict.layout, "only some ids are wide" in verdict.reason) == (None, True)
    # Not where most of a twentieth are.
    assert judge(DAILY, [density(64 * MIB, p95=30 * MIB)] * 2, AIM).layout is not None


def test_where_a_few_are_large_widening_makes_them_no_vaster_than_bearable() -> None:
    some = [density(0.01 * MIB, largest=8 * MIB)] * 2
    verdict = judge(DAILY, some, AIM)
    assert verdict.layout == Layout(DAY, 8 * H, 1)
    vast = judge(DAILY, [density(0.01 * MIB, largest=64 * MIB)] * 2, AIM)
    assert (vast.layout, "wider buckets would make those vast" in vast.reason) == (None, True)


def test_at_the_bounds_it_says_that_nothing_can_be_done() -> None:
    whole = Layout(DAY, DAY, 1)
    assert "as wide as their slice" in judged(whole, 100, 100).reason
    spread = Layout(DAY, 60 * S, 8)
    assert "no narrower" in judged(spread, 99 * MIB, 99 * MIB).reason


def test_a_slice_without_an_end_is_followed_by_none() -> None:
    endless = Layout(0, DAY, 1)
    assert "none is to come" in judged(endless, 100, 100).reason


def test_a_bucket_that_divides_its_slice_badly_is_taken_as_it_is() -> None:
    odd = Layout(86_413 * S, 60 * S, 1)
    assert judged(odd, 0.5 * MIB, 0.5 * MIB).layout == Layout(86_413 * S, 480 * S, 1)


@given(
    p99s=st.lists(st.integers(1, 2**36), min_size=2, max_size=5),
    hours=st.integers(1, 24 * 400),
    parts=st.integers(1, 5_000),
    event_buckets=st.integers(1, 8),
)
def test_what_is_proposed_can_be_had_and_settles_without_turning_round(
    p99s: list[int], hours: int, parts: int, event_buckets: int
) -> None:
    layout = Layout(hours * H, max(60 * S, hours * H // parts), event_buckets)
    directions = set[bool]()
    for _ in range(4):
        found = judged(layout, *p99s)
        if found.layout is None:
            break
        after = found.layout
        assert 60 * S <= after.bucket_ns <= after.width_ns == layout.width_ns <= after.bucket_ns * BUCKETS_MAX
        assert 1 <= after.event_buckets <= 8
        # As if what an id writes were spread evenly over its time.
        grown = after.bucket_ns / layout.bucket_ns * layout.event_buckets / after.event_buckets
        assert (grown > 1) == (found.observed < AIM.bytes)
        directions.add(grown > 1)
        layout, p99s = after, [round(p99 * grown) for p99 in p99s]
    assert judged(layout, *p99s).layout is None
    assert len(directions) <= 1
