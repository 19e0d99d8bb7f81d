from __future__ import annotations

from collections.abc import Iterable
from itertools import permutations

import pytest

from soundstage.testing.simulation.linearizer import Linearizer
from soundstage.testing.simulation.scenario import Divergence


def add(state: int, amount: int) -> Iterable[tuple[int, int]]:
    """A counter that answers with what it came to."""
    return [(state + amount, state + amount)]


def write(state: str, value: str | None) -> Iterable[tuple[str, str]]:
    """A register; None reads it."""
    return [(state, state)] if value is None else [(value, "written")]


def counter() -> Linearizer[int, int, int]:
    return Linearizer(0, add)


def register(value: str = "a") -> Linearizer[str, str | None, str]:
    return Linearizer(value, write)


def test_one_after_the_other_is_the_model() -> None:
    counted = counter()
    for expected in range(1, 5):
        counted.end(counted.begin(1), expected)
    assert counted.states() == {4}


def test_an_answer_that_cannot_be_is_a_divergence() -> None:
    counted = counter()
    with pytest.raises(Divergence, match="1 was answered with 2, which can only be 1; the state before was 0"):
        counted.end(counted.begin(1), 2)


def test_what_is_under_way_together_takes_effect_in_any_order() -> None:
    for order in permutations((1, 2, 4)):
        counted = counter()
        numbers = {amount: counted.begin(amount) for amount in (1, 2, 4)}
        total = 0
        for amount in order:
            total += amount
            counted.end(numbers[amount], total)
        assert counted.states() == {7}


def test_orders_that_contradict_each_other_are_a_divergence() -> None:
    counted = counter()
    first, second = counted.begin(1), counted.begin(2)
    counted.end(first, 3)
    with pytest.raises(Divergence):
        counted.end(second, 3)


def test_an_effect_that_was_seen_came_before() -> None:
    held = register()
    writing, reading = held.begin("b"), held.begin(None)
    held.end(reading, "b")
    with pytest.raises(Divergence):
        held.end(held.begin(None), "a")
    held.end(writing, "written")


def test_an_effect_that_was_not_seen_may_come_yet() -> None:
    held = register()
    writing = held.begin("b")
    held.end(held.begin(None), "a")
    held.end(held.begin(None), "b")
    held.end(writing, "written")


def test_a_request_takes_effect_before_its_end() -> None:
    held = register()
    held.end(held.begin("b"), "written")
    with pytest.raises(Divergence):
        held.end(held.begin(None), "a")


def test_a_request_takes_effect_once() -> None:
    counted = counter()
    losing = counted.begin(5)
    counted.end(counted.begin(1), 6)
    with pytest.raises(Divergence, match="and under way are 5"):
        counted.end(counted.begin(1), 12)
    counted.lose(losing)


def test_what_was_lost_has_happened_or_has_not() -> None:
    counted = counter()
    counted.lose(counted.begin(5))
    assert counted.states() == {0, 5}
    counted.end(counted.begin(1), 6)
    assert counted.states() == {6}


def test_what_was_lost_does_not_happen_later() -> None:
    counted = counter()
    counted.lose(counted.begin(5))
    counted.end(counted.begin(1), 1)
    with pytest.raises(Divergence):
        counted.end(counted.begin(1), 7)


def test_what_is_under_way_may_happen_later() -> None:
    counted = counter()
    counted.begin(5)
    counted.end(counted.begin(1), 1)
    counted.end(counted.begin(1), 7)


def test_what_was_refused_has_not_happened() -> None:
    counted = counter()
    counted.refuse(counted.begin(5))
    assert counted.states() == {0}


def test_a_refusal_of_what_was_seen_is_a_divergence() -> None:
    counted = counter()
    refused = counted.begin(5)
    counted.end(counted.begin(1), 6)
    with pytest.raises(Divergence, match="5 was refused, and its effect was seen"):
        counted.refuse(refused)


def test_a_model_may_leave_a_choice() -> None:
    tossed: Linearizer[str, None, str] = Linearizer("", lambda state, _: [("heads", "heads"), ("tails", "tails")])
    tossed.end(tossed.begin(None), "tails")
    assert tossed.states() == {"tails"}


def test_too_many_possibilities_are_a_fault_of_the_scenario() -> None:
    counted = counter()
    for amount in range(12):
        counted.begin(2**amount)
    with pytest.raises(RuntimeError, match="12 requests are under way"):
        counted.states()
