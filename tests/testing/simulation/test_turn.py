from __future__ import annotations

import asyncio
from random import Random

import pytest

from soundstage.testing.simulation.turn import (
    Turn,
    aside,
    dice,
    directly,
    holding,
    is_direct,
    present,
    strikes,
    taking,
)


def test_nothing_strikes_outside_of_a_turn() -> None:
    assert not any(strikes(1.0) for _ in range(10))


def test_what_is_certain_strikes_in_a_turn() -> None:
    with taking(Turn(Random(1))):
        assert all(strikes(1.0) for _ in range(10))


def test_what_cannot_happen_throws_no_dice() -> None:
    turn = Turn(Random(1))
    with taking(turn):
        assert not strikes(0.0)
    assert turn.dice.random() == Random(1).random()


def test_strikes_are_as_frequent_as_their_rate() -> None:
    with taking(Turn(Random(1))):
        assert 250 < sum(strikes(0.3) for _ in range(1_000)) < 350


def test_dice_are_those_of_the_present_turn() -> None:
    mine = Random(1)
    with taking(Turn(mine)):
        assert dice() is mine


def test_there_are_no_dice_outside_of_a_turn() -> None:
    with pytest.raises(LookupError, match="thrown in a turn"):
        dice()


def test_tasks_that_a_step_starts_belong_to_its_turn() -> None:
    async def inner() -> Turn | None:
        return present()

    async def main() -> bool:
        turn = Turn(Random(1))
        with taking(turn):
            task = asyncio.ensure_future(inner())
        return await task is turn and present() is None

    assert asyncio.run(main())


def test_turns_are_nested() -> None:
    one, other = Turn(Random(1)), Turn(Random(2))
    with taking(one):
        with taking(other):
            assert present() is other
        assert present() is one


def test_what_is_done_aside_belongs_to_no_turn() -> None:
    with taking(Turn(Random(1))):
        with aside():
            assert present() is None
            assert not strikes(1.0)
        assert present() is not None


def test_writes_are_held_up_only_within() -> None:
    turn = Turn(Random(1))
    with taking(turn):
        with holding(45.0):
            assert turn.hold_s == 45.0
        assert turn.hold_s == 0.0


def test_calls_are_direct_only_within() -> None:
    with taking(Turn(Random(1))):
        with directly():
            assert is_direct()
        assert not is_direct()


@pytest.mark.parametrize("manner", [directly, lambda: holding(1.0)])
def test_how_calls_travel_is_said_in_a_turn(manner: object) -> None:
    with pytest.raises(LookupError, match="in a turn"), manner():  # type: ignore[operator]
        pass
