"""A budget is spent row by row, and ends for good."""

from __future__ import annotations

import pytest

from soundstage.core.environment import VirtualEnvironment
from soundstage.engines.records.metering import Meter
from soundstage.engines.records.port import Budget, Row

ROW: Row = (b"12", b"345678")
SIZE = 8


def taken(budget: Budget, *rows: Row) -> list[bool]:
    meter = Meter(budget, VirtualEnvironment())
    return [meter.takes(row) for row in rows]


@pytest.mark.parametrize(("rows", "expected"), [(1, [True, False, False]), (2, [True, True, False])])
def test_so_many_rows_are_taken(rows: int, expected: list[bool]) -> None:
    assert taken(Budget(rows=rows), ROW, ROW, ROW) == expected


@pytest.mark.parametrize("size", [2 * SIZE, 3 * SIZE - 1])
def test_rows_are_taken_while_they_fit(size: int) -> None:
    assert taken(Budget(bytes=size), ROW, ROW, ROW) == [True, True, False]


def test_keys_count_as_well_as_cells() -> None:
    assert taken(Budget(bytes=10), (b"1234567890", b""), (b"1", b"")) == [True, False]


@pytest.mark.parametrize("budget", [Budget(rows=0), Budget(bytes=0), Budget(rows=-1, bytes=-1), Budget(bytes=SIZE - 1)])
def test_the_first_row_is_taken_whatever_it_weighs(budget: Budget) -> None:
    assert taken(budget, ROW, ROW) == [True, False]


def test_a_row_that_weighs_nothing_fits_to_the_end() -> None:
    assert taken(Budget(bytes=SIZE), ROW, (b"", b"")) == [True, True]


def test_what_a_caller_thinks_likely_is_no_limit() -> None:
    assert taken(Budget(likely_rows=1), ROW, ROW, ROW) == [True, True, True]


@pytest.mark.parametrize(("passed_ns", "takes"), [(999, True), (1_000, False), (1_001, False)])
def test_nothing_is_taken_from_the_deadline_on(passed_ns: int, takes: bool) -> None:
    environment = VirtualEnvironment()
    meter = Meter(Budget(deadline_ns=1_000), environment)
    environment.advance(passed_ns / 1e9)
    assert meter.takes(ROW) is takes


def test_time_ends_a_call_that_is_under_way() -> None:
    environment = VirtualEnvironment()
    meter = Meter(Budget(deadline_ns=1_000), environment)
    assert meter.takes(ROW)
    environment.advance(1e-6)
    assert not meter.takes(ROW)
