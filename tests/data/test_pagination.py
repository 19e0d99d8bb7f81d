"""How many rows to ask for, and when to answer early."""

from __future__ import annotations

import pytest

from soundstage.core.environment import VirtualEnvironment
from soundstage.data.pagination import FIRST_ESTIMATE_BYTES, NO_LIMIT, RESERVE_NS, Patience, RowEstimate

MS = 1_000_000


@pytest.fixture
def environment() -> VirtualEnvironment:
    return VirtualEnvironment(seed=5)


def test_rows_are_what_fills_the_bytes_and_a_tenth() -> None:
    assert RowEstimate(100.0).rows_for(9_999, 1, 10_000) == 110


@pytest.mark.parametrize(("size", "rows"), [(0, 16), (1, 16), (100_000, 1_000)])
def test_rows_stay_within_their_bounds(size: int, rows: int) -> None:
    assert RowEstimate(1.0).rows_for(size, 16, 1_000) == rows


def test_an_estimate_of_nothing_divides_by_nothing() -> None:
    assert RowEstimate(0.0).rows_for(100, 1, 10_000) == 111


def test_a_page_counts_a_fifth() -> None:
    estimate = RowEstimate(100.0)
    estimate.learn(10, 2_000)
    assert estimate.bytes == 120.0


def test_an_estimate_comes_to_the_size_of_the_rows() -> None:
    estimate = RowEstimate()
    for _ in range(60):
        estimate.learn(7, 7 * 1_000)
    assert FIRST_ESTIMATE_BYTES < 999 < estimate.bytes <= 1_000


async def test_without_a_deadline_patience_has_no_end(environment: VirtualEnvironment) -> None:
    patience = Patience(environment, None, None)
    environment.advance(3_600)
    assert (patience.is_over(), patience.stop_ns) == (False, None)


def test_reads_stop_a_little_before_the_deadline(environment: VirtualEnvironment) -> None:
    assert Patience(environment, 50 * MS, None).stop_ns == 50 * MS - RESERVE_NS


def test_the_maximum_counts_from_the_beginning(environment: VirtualEnvironment) -> None:
    environment.advance(1)
    assert Patience(environment, None, 100 * MS).stop_ns == 1_100 * MS - RESERVE_NS


def test_of_a_short_maximum_three_quarters_are_for_reading(environment: VirtualEnvironment) -> None:
    assert Patience(environment, None, 4 * MS).stop_ns == 3 * MS


@pytest.mark.parametrize(("deadline", "most", "stop"), [(50, 100, 48), (100, 50, 48)])
def test_the_sooner_of_the_two_counts(environment: VirtualEnvironment, deadline: int, most: int, stop: int) -> None:
    assert Patience(environment, deadline * MS, most * MS).stop_ns == stop * MS


def test_patience_ends_when_another_read_like_the_last_would_be_late(environment: VirtualEnvironment) -> None:
    patience = Patience(environment, None, 102 * MS)
    for reads_ms, over in ((20, False), (20, False), (20, False), (20, False), (20, True)):
        environment.advance(reads_ms / 1e3)
        assert patience.is_over() is over


def test_the_longest_read_is_what_the_next_may_take(environment: VirtualEnvironment) -> None:
    patience = Patience(environment, None, 102 * MS)
    environment.advance(0.04)
    assert not patience.is_over()
    environment.advance(0.021)
    assert patience.is_over()


def test_quick_reads_never_end_it(environment: VirtualEnvironment) -> None:
    patience = Patience(environment, None, 100 * MS)
    for _ in range(97):
        environment.advance(0.001)
        assert not patience.is_over()


def test_a_read_that_took_no_time_ends_it_when_the_time_has_come(environment: VirtualEnvironment) -> None:
    patience = Patience(environment, None, 100 * MS)
    environment.advance(0.098)
    assert patience.is_over()


async def test_giving_way_takes_no_time(environment: VirtualEnvironment) -> None:
    before = environment.monotonic_ns()
    await Patience(environment, None, None).give_way()
    assert environment.monotonic_ns() == before


def test_without_an_end_reads_are_not_counted() -> None:
    environment = VirtualEnvironment()
    assert Patience(environment, None, None).reads_left == NO_LIMIT


def test_how_many_reads_are_left_is_known_after_the_first() -> None:
    environment = VirtualEnvironment()
    patience = Patience(environment, environment.monotonic_ns() + 100_000_000, None)
    assert patience.reads_left == 1
    environment.advance(0.02)
    assert not patience.is_over()
    assert patience.reads_left == 3
    environment.advance(0.07)
    assert patience.reads_left == 1
