from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest

from soundstage.testing.simulation.shrink import shrink


class Diverging:
    """Diverges when it is given all of `needed`, and counts the steps it was given."""

    def __init__(self, *needed: int) -> None:
        self.needed = set(needed)
        self.played = 0

    def __call__(self, steps: Sequence[int]) -> bool:
        self.played += len(steps)
        return self.needed <= set(steps)


@pytest.mark.parametrize("needed", [(0,), (99,), (3, 50), (0, 1, 98, 99), (10, 20, 30, 40, 50)])
def test_only_the_steps_that_are_needed_are_left(needed: tuple[int, ...]) -> None:
    assert shrink(range(100), Diverging(*needed)) == list(needed)


def test_the_order_is_kept() -> None:
    steps = list(range(50))
    Random(1).shuffle(steps)
    found = shrink(steps, Diverging(7, 31, 2))
    assert found == sorted(found, key=steps.index)


def test_a_single_step_is_left_as_it_is() -> None:
    assert shrink([5], Diverging(5)) == [5]


def test_nothing_is_never_tried() -> None:
    tried: list[int] = []

    def diverges(steps: Sequence[int]) -> bool:
        tried.append(len(steps))
        return True

    assert len(shrink(range(20), diverges)) == 1
    assert 0 not in tried


def test_no_single_step_of_the_result_can_be_left_out() -> None:
    def diverges(steps: Sequence[int]) -> bool:
        return sum(steps) >= 100

    found = shrink(range(60), diverges)
    assert diverges(found)
    assert not any(diverges(found[:index] + found[index + 1 :]) for index in range(len(found)))


def test_a_budget_bounds_the_steps_that_are_played() -> None:
    diverging = Diverging(0, 500, 999)
    found = shrink(range(1_000), diverging, budget=5_000)
    assert diverging.needed <= set(found)
    assert diverging.played <= 6_000


def test_without_a_budget_all_steps_are_left() -> None:
    assert shrink([1, 2, 3], Diverging(2), budget=0) == [1, 2, 3]
