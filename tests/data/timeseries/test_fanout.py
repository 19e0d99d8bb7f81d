"""How many partitions are read at once."""

from __future__ import annotations

import pytest

from soundstage.data.timeseries.fanout import FanOut


@pytest.mark.parametrize(("needed", "width"), [(0.0, 1), (0.5, 1), (1.0, 1), (1.2, 2), (8.0, 10), (1_000.0, 64)])
def test_a_quarter_more_than_pages_needed_within_bounds(needed: float, width: int) -> None:
    assert FanOut(needed, 64).width() == width


@pytest.mark.parametrize(("needed", "width"), [(0.0, 1), (1.4, 1), (1.6, 2), (8.9, 9), (1_000.0, 64)])
def test_where_the_store_is_in_this_process_as_many_as_pages_needed(needed: float, width: int) -> None:
    assert FanOut(needed, 64, elsewhere=False).width() == width


def test_pages_that_need_one_partition_bring_it_down_to_one() -> None:
    found = FanOut(8.0, 64)
    for _ in range(40):
        found.learn(1)
    assert found.width() == 1


def test_pages_that_need_many_bring_it_up_to_the_bound() -> None:
    found = FanOut(8.0, 64)
    for _ in range(30):
        found.learn(100_000)
    assert found.width() == 64


def test_within_a_page_it_doubles_up_to_the_bound() -> None:
    assert [FanOut(1, 64).wider(width) for width in (1, 8, 40, 64)] == [2, 16, 64, 64]


def test_where_the_store_is_in_this_process_an_average_that_comes_near_from_below_reads_them_all_at_once() -> None:
    found = FanOut(8.0, 64, elsewhere=False)
    for _ in range(40):
        found.learn(10)
    assert (found.needed < 10, found.width()) == (True, 10)


def test_where_the_store_is_in_this_process_a_page_that_needs_more_reads_a_quarter_more_and_then_doubles() -> None:
    found, widths = FanOut(16, 64, elsewhere=False), [16]
    for _ in range(6):
        widths.append(found.wider(widths[-1]))
    assert widths == [16, 4, 8, 16, 32, 64, 64]


def test_where_the_store_is_in_this_process_a_page_that_needed_one_reads_another() -> None:
    assert FanOut(1, 64, elsewhere=False).wider(1) == 1
