"""The model is what the tests believe, so it is told by hand what it has to say."""

from __future__ import annotations

import pytest

from soundstage.core.time import Duration, Instant
from soundstage.data.timeseries.api import Event, EventItem, TimeSlice
from soundstage.testing.timeseries.model import Model, Rules

RULES = Rules(10, 5, 100, 200)


def event(at: int, event_id: str = "e", **items: bytes) -> Event:
    found = [EventItem(event_item_key=key, event_item_value=value) for key, value in items.items()]
    return Event(time_series_id="ada", event_time=Instant(at), event_id=event_id, event_items=found)


def slices(*edges: tuple[int, int]) -> list[TimeSlice]:
    return [
        TimeSlice(
            start=Instant(start),
            end=Instant(end),
            table="t",
            state="active",
            seconds_per_bucket=Duration(1),
            event_buckets=1,
        )
        for start, end in edges
    ]


@pytest.fixture
def model() -> Model:
    model = Model(RULES)
    model.sees(slices((0, 1_000), (1_000, 2_000)))
    return model


def test_the_newest_is_first_and_equal_times_are_in_the_order_of_events(model: Model) -> None:
    model.take([event(995, "a", k=b"1"), event(1_000, "b", k=b"2"), event(1_000, "a", k=b"3")], 1_000)
    assert [(each.event_time, each.event_id) for each in model.read("ada", 0, 2_000, {}, 1_000)] == [
        (1_000, "a"),
        (1_000, "b"),
        (995, "a"),
    ]
    assert model.read("ada", 996, 1_000, {}, 1_000) == []


def test_the_greater_value_stays_and_items_add_up(model: Model) -> None:
    model.take([event(1_000, k=b"2"), event(1_000, k=b"1"), event(1_000, j=b"")], 1_000)
    assert model.read("ada", 0, 2_000, {}, 1_000) == [event(1_000, j=b"", k=b"2")]


def test_events_match_all_filters(model: Model) -> None:
    model.take([event(1_000, "a", k=b"1", j=b"2"), event(1_000, "b", k=b"1")], 1_000)
    assert len(model.read("ada", 0, 2_000, {"k": b"1"}, 1_000)) == 2
    assert len(model.read("ada", 0, 2_000, {"k": b"1", "j": b"2"}, 1_000)) == 1


def test_the_first_that_is_ahead_is_refused_then_the_first_that_is_late(model: Model) -> None:
    assert model.refused([event(990, k=b"1"), event(1_005, k=b"1")], 1_000) is None
    assert model.refused([event(989, k=b"1"), event(1_006, k=b"1")], 1_000) == 1
    assert model.refused([event(990, k=b"1"), event(989, k=b"1")], 1_000) == 1


def test_a_repetition_of_what_is_stored_is_never_late(model: Model) -> None:
    model.take([event(1_000, k=b"2")], 1_000)
    assert model.refused([event(1_000, k=b"2")], 1_020) is None
    assert model.refused([event(1_000, k=b"1")], 1_020) is None
    assert model.refused([event(1_000, k=b"3")], 1_020) == 0
    assert model.refused([event(1_000, j=b"")], 1_020) == 0


def test_what_is_closed_is_hidden_and_what_is_deleted_is_forgotten(model: Model) -> None:
    model.take([event(995, k=b"1"), event(1_001, k=b"2")], 1_000)
    assert len(model.read("ada", 0, 2_000, {}, 1_099)) == 2
    assert len(model.read("ada", 0, 2_000, {}, 1_100)) == model.hidden(1_100) == 1
    assert [model.forget(1_199), model.forget(1_200), model.forget(1_200)] == [0, 1, 0]


def test_slices_that_overlap_are_told(model: Model) -> None:
    with pytest.raises(AssertionError, match="overlap"):
        model.sees(slices((0, 1_001), (1_000, 2_000)))
