"""Which token times must be taken, from the history of the knobs."""

from __future__ import annotations

import pytest

from soundstage.testing.kv.drift import Drift

MINUTE = 60_000_000
NOW = 1_000 * MINUTE


@pytest.mark.parametrize(
    ("at", "taken"),
    [(-10 * MINUTE - 1, False), (-10 * MINUTE, True), (0, True), (2_000_000, True), (2_000_001, False)],
)
def test_a_time_within_both_bounds_is_taken(at: int, taken: bool) -> None:
    assert Drift("10m", "2s").takes(NOW + at, NOW) is taken


def test_a_raise_reaches_back_when_the_difference_has_passed() -> None:
    drift = Drift("2m", "2s")
    drift.change("30m", "2s", NOW)
    assert drift.oldest_us(NOW) == NOW - 2 * MINUTE
    assert drift.oldest_us(NOW + 28 * MINUTE) == NOW - 2 * MINUTE
    assert drift.oldest_us(NOW + 29 * MINUTE) == NOW - MINUTE


def test_a_lowering_counts_at_once() -> None:
    drift = Drift("30m", "2s")
    drift.change("2m", "2s", NOW)
    assert drift.oldest_us(NOW) == NOW - 2 * MINUTE


def test_the_same_knobs_again_are_no_change() -> None:
    drift = Drift("2m", "2s")
    drift.change("2m", "5s", NOW)
    drift.change("30m", "5s", NOW + MINUTE)
    assert drift.oldest_us(NOW + MINUTE) == NOW - MINUTE
