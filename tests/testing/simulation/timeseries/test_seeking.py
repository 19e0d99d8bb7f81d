"""What an index must have is what it was told of, unless that may have been dropped since."""

from __future__ import annotations

from typing import Any, cast

from tests.testing.simulation.timeseries.test_book import NOW, Desk, event

from soundstage.testing.simulation.timeseries.book import Moment
from soundstage.testing.simulation.timeseries.rules import H
from soundstage.testing.simulation.timeseries.seeking import Seeking, place_of


def test_what_may_have_been_dropped_is_not_told_of_until_it_is_written_anew() -> None:
    desk, nothing = Desk(), cast("Any", None)
    seeking = Seeking(nothing, desk.book, desk.history, "events", nothing, desk.now)
    told = event(k=b"1")
    before = desk.now()
    seeking.tells([told], before)
    early = desk.now()
    seeking.drops(early, desk.now())
    assert set(seeking._told) == {place_of(told)}
    desk.ns = NOW + 2 * H
    seeking.drops(desk.now(), desk.now())
    assert seeking._told == {}
    # Of a write that began before it nobody knows.
    seeking.tells([told], early)
    assert seeking._told == {}
    anew: Moment = desk.now()
    seeking.tells([told], anew)
    assert set(seeking._told) == {place_of(told)}
