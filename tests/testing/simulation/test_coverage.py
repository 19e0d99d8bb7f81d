from __future__ import annotations

from collections import Counter

from soundstage.testing.simulation.coverage import Coverage

LEAST = {"often": 0.01, "seldom": 0.01, "never": 0.01}


def some() -> Coverage:
    return Coverage(
        steps=1_000,
        virtual_s=7_200.0,
        acts=Counter(put=900, get=100),
        faults=Counter(port_late=3),
        situations=Counter(often=10, seldom=9),
    )


def test_a_share_is_of_all_steps() -> None:
    assert some().share("often") == 0.01


def test_a_run_without_steps_has_no_shares() -> None:
    assert Coverage().share("often") == 0.0


def test_what_falls_short_is_missed() -> None:
    assert some().missed(LEAST) == {"seldom": 0.009, "never": 0.0}


def test_runs_are_added() -> None:
    total = Coverage()
    total.add(some())
    total.add(some())
    assert (total.steps, total.virtual_s, total.acts["put"], total.situations["often"]) == (2_000, 14_400.0, 1_800, 20)
    assert total.faults == Counter(port_late=6)


def test_people_read_shares_beside_what_was_asked_for() -> None:
    assert some().lines(LEAST) == [
        "1000 steps in 2.0 hours of virtual time",
        "acts: get 100, put 900",
        "faults: port_late 3",
        "situation never: 0 steps, 0.00% of at least 1.0%",
        "situation often: 10 steps, 1.00% of at least 1.0%",
        "situation seldom: 9 steps, 0.90% of at least 1.0%",
    ]


def test_a_situation_that_nothing_asks_for_is_shown_too() -> None:
    assert "situation seldom: 9 steps, 0.90%" in some().lines({})
