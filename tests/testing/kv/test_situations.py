"""What must occur often enough."""

from __future__ import annotations

from soundstage.testing.kv.situations import REQUIRED, Situations


def test_what_occurs_in_one_of_a_hundred_steps_is_not_missed() -> None:
    assert Situations({"steps": 200, **dict.fromkeys(REQUIRED, 2)}).missed() == {}


def test_what_is_rarer_is_missed_with_its_share() -> None:
    counted = Situations({"steps": 200, **dict.fromkeys(REQUIRED, 2), "equal_us": 1})
    assert counted.missed() == {"equal_us": 0.005}


def test_of_no_steps_everything_is_missed() -> None:
    assert set(Situations().missed()) == set(REQUIRED)
