"""The book is told by hand what was sent and answered, and has to know what may be shown."""

from __future__ import annotations

import pytest

from soundstage.core.time import Instant
from soundstage.data.timeseries.api import Event, EventItem
from soundstage.data.timeseries.slices import Slice
from soundstage.testing.simulation.scenario import Divergence
from soundstage.testing.simulation.timeseries.book import RECENT, Book, Look, Moment
from soundstage.testing.simulation.timeseries.rules import MARGIN_NS, H, History, M, Rules

RULES = Rules(10 * M, M, 40 * M, 50 * M)
NOW = 100 * H
SLICE = Slice(1, NOW - H, NOW + H, NOW - H, M, 1, "t")


def event(at: int = NOW, event_id: str = "a", **items: bytes) -> Event:
    found = [EventItem(event_item_key=key, event_item_value=value) for key, value in items.items()]
    return Event(time_series_id="ada", event_time=Instant(at), event_id=event_id, event_items=found)


class Desk:
    """A book, and the time."""

    def __init__(self) -> None:
        self.history: History = History(RULES)
        self.history.sees([SLICE])
        self.book: Book = Book(self.history)
        self.ns: int = NOW

    def now(self) -> Moment:
        return self.book.now(self.ns)

    def write(self, *events: Event) -> None:
        """They are sent and acknowledged."""
        self.book.sends(events)
        self.book.acknowledges(events, self.now(), self.now())

    def look(
        self, *found: Event, began: Moment | None = None, kind: bytes | None = None, limit: int | None = None
    ) -> None:
        began = began or self.now()
        self.book.check(found, Look("ada", NOW - H, NOW + H, began, self.now(), kind, limit))

    def drop(self) -> int:
        began = self.now()
        return self.book.drops(began, self.now())


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_what_was_acknowledged_must_be_shown(desk: Desk) -> None:
    desk.write(event(k=b"1"))
    desk.look(event(k=b"1"))
    with pytest.raises(Divergence, match="is not shown"):
        desk.look()


def test_what_was_sent_may_be_shown_and_once_it_was_must_be(desk: Desk) -> None:
    desk.book.sends([event(k=b"1")])
    desk.look()
    desk.look(event(k=b"1"))
    with pytest.raises(Divergence, match="is not shown"):
        desk.look()


def test_what_was_acknowledged_since_a_look_began_may_be_missing_from_it(desk: Desk) -> None:
    began = desk.now()
    desk.write(event(k=b"1"))
    desk.look(began=began)


def test_a_greater_value_takes_the_place_of_a_lesser_one_and_never_the_reverse(desk: Desk) -> None:
    desk.write(event(k=b"2"))
    desk.write(event(k=b"1", j=b"3"))
    desk.look(event(j=b"3", k=b"2"))
    with pytest.raises(Divergence, match="less than k"):
        desk.look(event(j=b"3", k=b"1"))
    with pytest.raises(Divergence, match="less than j"):
        desk.look(event(k=b"2"))


def test_a_value_that_nobody_sent_is_told(desk: Desk) -> None:
    desk.write(event(k=b"2"))
    with pytest.raises(Divergence, match="nobody"):
        desk.look(event(k=b"3"))


def test_what_was_sent_with_an_event_that_is_ahead_is_never_shown(desk: Desk) -> None:
    desk.book.sends([event(k=b"1", kind=b"x")])
    desk.book.refuses([event(k=b"1", kind=b"x")])
    with pytest.raises(Divergence, match="nobody"):
        desk.look(event(k=b"1", kind=b"x"))
    desk.write(event(j=b"2", kind=b"x"))
    desk.look(event(j=b"2", kind=b"x"))


def test_events_twice_or_out_of_order_are_told(desk: Desk) -> None:
    older, newer = event(NOW - 1, k=b"1"), event(k=b"1")
    desk.write(older, newer)
    desk.look(newer, older)
    for wrong in ((older, newer), (newer, newer, older)):
        with pytest.raises(Divergence, match="out of order"):
            desk.look(*wrong)


def test_events_outside_of_the_interval_are_told(desk: Desk) -> None:
    desk.write(event(NOW - H - 1, k=b"1"))
    with pytest.raises(Divergence, match="is not in"):
        desk.look(event(NOW - H - 1, k=b"1"))


def test_a_filter_lets_through_what_matches_and_keeps_nothing_of_it_back(desk: Desk) -> None:
    desk.write(event(kind=b"x"), event(event_id="b", kind=b"y"))
    desk.look(event(kind=b"x"), kind=b"x")
    for found in ([], [event(kind=b"x"), event(event_id="b", kind=b"y")]):
        with pytest.raises(Divergence):
            desk.look(*found, kind=b"x")


def test_a_limit_leaves_out_the_oldest_alone(desk: Desk) -> None:
    older, newer = event(NOW - 1, k=b"1"), event(k=b"1")
    desk.write(older, newer)
    desk.look(newer, limit=1)
    for found in ([older], []):
        with pytest.raises(Divergence, match="is not shown"):
            desk.look(*found, limit=1)


def test_what_may_have_been_dropped_may_be_missing_until_it_is_written_anew(desk: Desk) -> None:
    desk.write(event(k=b"1"))
    assert desk.drop() == 0
    desk.ns = SLICE.end + 50 * M - MARGIN_NS
    assert desk.drop() == 1
    desk.ns = NOW
    desk.look()
    desk.write(event(k=b"1"))
    with pytest.raises(Divergence, match="is not shown"):
        desk.look()


def test_closed_events_are_not_shown_and_may_be_missing(desk: Desk) -> None:
    desk.write(event(k=b"1"))
    desk.ns = SLICE.end + 40 * M + MARGIN_NS
    desk.look()
    with pytest.raises(Divergence, match="was closed"):
        desk.look(event(k=b"1"))


def test_a_late_event_is_taken_only_if_it_may_be_stored(desk: Desk) -> None:
    desk.ns = NOW + 10 * M + MARGIN_NS + 1
    desk.write(event(k=b"1"))
    with pytest.raises(Divergence, match="is too old"):
        desk.book.acknowledges([event(k=b"2")], desk.now(), desk.now())


def test_an_event_that_is_ahead_is_not_taken(desk: Desk) -> None:
    with pytest.raises(Divergence, match="is ahead"):
        desk.write(event(NOW + M + MARGIN_NS + 1, k=b"1"))


def test_refusals_are_right_for_what_is_ahead_or_late_and_not_stored(desk: Desk) -> None:
    desk.book.check_refusal([event(NOW + M, k=b"1")], 0, desk.now(), desk.now())
    desk.book.check_refusal([event(NOW - 10 * M, k=b"1")], 0, desk.now(), desk.now())
    with pytest.raises(Divergence, match="neither"):
        desk.book.check_refusal([event(k=b"1")], 0, desk.now(), desk.now())
    desk.write(event(NOW - 10 * M, k=b"1"))
    with pytest.raises(Divergence, match="is stored"):
        desk.book.check_refusal([event(NOW - 10 * M, k=b"1")], 0, desk.now(), desk.now())
    desk.book.check_refusal([event(NOW - 10 * M, k=b"2")], 0, desk.now(), desk.now())


def test_of_what_is_certain_many_times_little_is_kept_and_nothing_lost(desk: Desk) -> None:
    desk.write(event(j=b"1"))
    for _ in range(50):
        desk.write(event(k=b"1"))
    (told,) = desk.book._told["ada"].values()
    assert len(told.certain) <= 2 * RECENT
    assert told.least(desk.now()) == {"j": b"1", "k": b"1"}
