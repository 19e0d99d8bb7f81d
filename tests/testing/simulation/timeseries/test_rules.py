"""Which knobs may have been in force, by what was tried and what is known."""

from __future__ import annotations

import pytest

from soundstage.data.timeseries.slices import Slice
from soundstage.testing.simulation.timeseries.rules import MARGIN_NS, RULES, H, History, M

ONE, TWO, THREE = RULES[2], RULES[3], RULES[4]


@pytest.fixture
def history() -> History:
    return History(ONE)


def test_rules_are_in_force_until_others_are_known_to_be(history: History) -> None:
    history.tries(TWO, 10)
    assert history.possible(0, 9) == {ONE}
    assert history.possible(0, 10) == history.possible(11, 12) == {ONE, TWO}
    history.succeeds(TWO, 20)
    assert history.possible(15, 16) == {ONE, TWO}
    # Of what happens at one instant nobody knows the order.
    assert history.possible(20, 30) == {ONE, TWO}
    assert history.possible(21, 30) == {TWO}
    assert history.current is TWO


def test_rules_that_were_only_tried_stay_possible(history: History) -> None:
    history.tries(TWO, 10)
    history.tries(THREE, 20)
    assert history.possible(30, 40) == {ONE, TWO, THREE}
    history.succeeds(THREE, 50)
    assert history.possible(51, 60) == {THREE}


def test_a_slice_is_known_as_it_has_grown(history: History) -> None:
    history.sees([Slice(1, 0, 10, 0, 1, 1, "t", endless=True)])
    history.sees([Slice(1, 0, 20, 0, 1, 1, "t", endless=True)])
    assert (history.ends(15), history.ends(20)) == ([20], [])
    assert len(history.all_slices()) == 1


def test_what_a_clock_that_is_off_decides_may_go_either_way(history: History) -> None:
    history.sees([Slice(1, 0, H, 0, M, 1, "t")])
    closes = H + 40 * M
    for off_ns, must, may in ((-MARGIN_NS - 1, True, True), (0, False, True), (MARGIN_NS, False, False)):
        at = closes + off_ns
        assert (history.is_shown(0, at, at), history.may_be_shown(0, at, at)) == (must, may)


def test_an_event_of_which_no_slice_is_known_may_be_shown_and_need_not_be(history: History) -> None:
    assert not history.is_shown(0, 1, 1)
    assert history.may_be_shown(0, 1, 1)


def test_late_and_ahead_are_certain_beyond_the_margin_alone(history: History) -> None:
    now = 10 * H
    assert history.may_be_late(now - 10 * M, now, now)
    assert not history.is_late(now - 10 * M - MARGIN_NS, now, now)
    assert history.is_late(now - 10 * M - MARGIN_NS - 1, now, now)
    assert history.may_be_ahead(now + ONE.future_ns, now, now)
    assert not history.is_ahead(now + ONE.future_ns + MARGIN_NS, now, now)
    assert history.is_ahead(now + ONE.future_ns + MARGIN_NS + 1, now, now)


def test_what_is_kept_for_ever_is_never_dropped_nor_closed() -> None:
    history = History(RULES[0])
    found = Slice(1, 0, H, 0, M, 1, "t")
    history.sees([found])
    assert not history.may_be_dropped(found, 0, 10**6 * H)
    assert history.is_shown(0, 0, 10**6 * H)
