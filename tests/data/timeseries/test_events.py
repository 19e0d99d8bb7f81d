"""Events as rows: which are refused, by which field, and which of two values stays."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.data.timeseries.conftest import NOW, S, event

from soundstage.core import version
from soundstage.core.errors import Forbidden, InvalidArgument, TooLarge
from soundstage.core.limits import CALL_MAX_BYTES
from soundstage.data.timeseries.api import Event, EventItem
from soundstage.data.timeseries.events import Window, check_future, late, records_of, too_late


def cell(at: int, value: bytes, series: str = "ada") -> bytes:
    return records_of([event(at, series=series, k=value)], ())[0].rows[0][1]


def test_a_row_is_a_function_of_its_event_and_its_value() -> None:
    assert records_of([event(NOW, k=b"1", j=b"2")], ()) == records_of([event(NOW, k=b"1", j=b"2")], ())


def test_of_two_values_the_greater_stays() -> None:
    assert max(cell(NOW, b"10"), cell(NOW, b"9"), cell(NOW, b"")) == cell(NOW, b"9")


@pytest.mark.parametrize("at", [-(2**63), -1, 0, 999, 2**63 - 1])
def test_every_time_has_a_version(at: int) -> None:
    assert version.time_us(cell(at, b"v")) == max(1, at // 1_000)


def test_the_rows_of_a_long_id_tell_it() -> None:
    series = "é" * 512
    assert version.split(cell(NOW, b"v", series)).metadata == series.encode()
    assert version.split(cell(NOW, b"v")).metadata == b""


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"time_series_id": ""}, "events[1].time_series_id"),
        ({"time_series_id": "x" * 1_025}, "events[1].time_series_id"),
        ({"event_id": ""}, "events[1].event_id"),
        ({"event_id": "\ud800"}, "events[1].event_id"),
        ({"event_items": []}, "events[1].event_items"),
        (
            {"event_items": [EventItem(event_item_key="", event_item_value=b"")]},
            "events[1].event_items[0].event_item_key",
        ),
        (
            {"event_items": [EventItem(event_item_key="k" * 2_001, event_item_value=b"")]},
            "events[1].event_items[0].event_item_key",
        ),
        (
            {"event_items": [EventItem(event_item_key="k", event_item_value=b"")] * 2},
            "events[1].event_items[1].event_item_key",
        ),
    ],
)
def test_what_cannot_be_stored_is_refused_by_its_path(changes: dict[str, Any], field: str) -> None:
    bad: Event = msgspec.structs.replace(event(NOW), **changes)
    with pytest.raises(InvalidArgument) as refused:
        records_of([event(NOW), bad], ())
    assert (refused.value.field, bool(refused.value.hint)) == (field, True)


def test_no_events_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="events is empty"):
        records_of([], ())


def test_too_many_items_are_refused() -> None:
    assert len(records_of([event(NOW, str(number)) for number in range(5_000)], ())) == 5_000
    with pytest.raises(TooLarge, match="5001"):
        records_of([event(NOW, str(number)) for number in range(5_001)], ())


def test_too_many_bytes_are_refused() -> None:
    with pytest.raises(TooLarge, match="bytes"):
        records_of([event(NOW, k=bytes(CALL_MAX_BYTES))], ())


def test_blocked_ids_are_refused() -> None:
    with pytest.raises(Forbidden) as refused:
        records_of([event(NOW), event(NOW, series="spam")], frozenset({"spam"}))
    assert refused.value.field == "events[1].time_series_id"


def test_what_has_not_happened_yet_is_refused() -> None:
    records = records_of([event(NOW), event(NOW + S), event(NOW + S + 1)], ())
    check_future(records[:2], Window(None, NOW + S))
    with pytest.raises(InvalidArgument) as refused:
        check_future(records, Window(None, NOW + S))
    assert refused.value.field == "events[2].event_time"


def test_an_event_of_just_the_limit_is_not_late() -> None:
    records = records_of([event(NOW), event(NOW - 1), event(NOW + 1)], ())
    assert late(records, Window(NOW, NOW)) == [1]
    assert late(records, Window(None, NOW)) == []


def test_a_late_event_is_told_which_knob_decides() -> None:
    refused = too_late(3, records_of([event(NOW)], ())[0])
    assert (refused.field, refused.retryable) == ("events[3].event_time", False)
    assert "accept_limit" in (refused.hint or "")
