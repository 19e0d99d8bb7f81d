from __future__ import annotations

import pytest

from soundstage.core.errors import InvalidArgument
from soundstage.core.time import INT64_MAX, INT64_MIN, Duration, Instant
from soundstage.surface.cli.bars import BARS_ASKED_MAX, BARS_CHOSEN_MAX, chosen_width, empty_bars

DAY = Duration.parse("1d")
MIDNIGHT = Instant.parse("2026-10-24T00:00:00Z")


@pytest.mark.parametrize(
    ("long", "width"),
    [("100ms", "1ms"), ("1m", "1s"), ("1h", "1m"), ("1d", "15m"), ("7d", "2h"), ("31d", "12h"), ("365d", "5d")],
)
def test_an_interval_is_chosen_that_makes_few_bars(long: str, width: str) -> None:
    assert chosen_width(MIDNIGHT, MIDNIGHT + Duration.parse(long)) == Duration.parse(width)


@pytest.mark.parametrize("bits", range(27, 63))
def test_what_is_chosen_makes_neither_few_bars_nor_many(bits: int) -> None:
    start = MIDNIGHT % 10**12
    for long in (2**bits, 2**bits * 5 // 4, 2**bits * 3 // 2, 2**bits * 7 // 4):
        bars = empty_bars(start, start + long, chosen_width(start, start + long))
        assert BARS_CHOSEN_MAX // 3 <= len(bars.counts) <= BARS_CHOSEN_MAX


def test_all_the_time_there_is_can_be_drawn() -> None:
    bars = empty_bars(INT64_MIN, INT64_MAX, chosen_width(INT64_MIN, INT64_MAX))
    assert bars.start <= INT64_MIN < INT64_MAX <= bars.end
    assert len(bars.counts) <= BARS_CHOSEN_MAX


def test_bars_begin_at_multiples_of_their_width_and_hold_start_and_end() -> None:
    bars = empty_bars(MIDNIGHT + 1, MIDNIGHT + DAY + 1, DAY)
    assert (bars.start, bars.end, len(bars.counts)) == (MIDNIGHT, MIDNIGHT + 2 * DAY, 2)


def test_an_end_at_an_edge_adds_no_bar() -> None:
    assert len(empty_bars(MIDNIGHT, MIDNIGHT + DAY, DAY).counts) == 1


def test_before_1970_bars_begin_before_what_they_hold() -> None:
    bars = empty_bars(-1, 1, DAY)
    bars.add(-1, 1)
    assert (bars.start, bars.counts) == (-DAY, [1, 0])


def test_each_count_is_in_the_bar_of_its_time_and_what_is_outside_in_none() -> None:
    bars = empty_bars(MIDNIGHT, MIDNIGHT + 2 * DAY, DAY)
    for at, count in ((0, 1), (DAY - 1, 2), (DAY, 4), (2 * DAY, 8), (-1, 16)):
        bars.add(MIDNIGHT + at, count)
    assert (bars.counts, bars.total) == ([3, 4], 7)


@pytest.mark.parametrize(
    ("long", "width", "told"),
    [
        (0, DAY, "no time between"),
        (-1, DAY, "no time between"),
        (DAY, 999_999, "too short"),
        (DAY, 0, "too short"),
        (DAY, -DAY, "too short"),
        ((BARS_ASKED_MAX + 1) * DAY, DAY, "make 1001 bars"),
    ],
)
def test_what_cannot_be_drawn_is_refused(long: int, width: int, told: str) -> None:
    with pytest.raises(InvalidArgument, match=told):
        empty_bars(MIDNIGHT, MIDNIGHT + long, width)
