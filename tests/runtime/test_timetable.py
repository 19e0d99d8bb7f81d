from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundstage.core.errors import InvalidArgument
from soundstage.core.time import Duration, Instant
from soundstage.runtime.timetable import Cron, Every, Timetable

TIMES = st.integers(0, 4_000_000_000_000_000)


def us(text: str) -> int:
    return Instant.parse(text).us


def shown(timetable: Timetable, after: str, count: int) -> list[str]:
    times, time_us = list[str](), us(after)
    for _ in range(count):
        time_us = timetable.next_after(time_us)
        times.append(Instant.from_us(time_us).rfc3339())
    return times


@given(TIMES, st.integers(1_000, 10**12))
def test_an_interval_is_due_at_its_multiples(time_us: int, interval_us: int) -> None:
    due_us = Every(Duration(interval_us * 1_000)).next_after(time_us)
    assert due_us % interval_us == 0
    assert 0 < due_us - time_us <= interval_us


def test_an_interval_below_a_millisecond_is_refused() -> None:
    with pytest.raises(InvalidArgument):
        Every(Duration.parse("999us"))


@pytest.mark.parametrize(
    ("expression", "times"),
    [
        ("30 4 * * *", ["2026-11-26T04:30:00Z", "2026-11-27T04:30:00Z"]),
        ("*/20 * * * *", ["2026-11-26T00:20:00Z", "2026-11-26T00:40:00Z"]),
        ("0 0 1 * *", ["2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"]),
        ("0 12 * * MON", ["2026-11-30T12:00:00Z", "2026-12-07T12:00:00Z"]),
        ("0 0 29 2 *", ["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"]),
    ],
)
def test_cron_expressions_are_due_as_cron_is(expression: str, times: list[str]) -> None:
    assert shown(Cron(expression), "2026-11-26T00:00:00Z", 2) == times


@given(TIMES)
def test_a_cron_expression_is_due_later_and_at_whole_minutes(time_us: int) -> None:
    due_us = Cron("*/7 */3 * * *").next_after(time_us)
    assert due_us > time_us
    assert due_us % 60_000_000 == 0


def test_a_zone_has_its_own_clocks() -> None:
    due_us = Cron("0 9 * * *", "Europe/Berlin").next_after(us("2026-07-01T12:00:00Z"))
    at = datetime.fromtimestamp(due_us / 1e6, ZoneInfo("Europe/Berlin"))
    assert (at.hour, at.day) == (9, 2)


def test_an_hour_that_clocks_leave_out_is_not_missed() -> None:
    times = shown(Cron("30 2 * * *", "Europe/Berlin"), "2026-03-28T12:00:00Z", 2)
    assert times[0].startswith("2026-03-29T0")
    assert times[1] == "2026-03-30T00:30:00Z"


def test_an_hour_that_clocks_repeat_is_due_once() -> None:
    times = shown(Cron("30 2 * * *", "Europe/Berlin"), "2026-10-24T12:00:00Z", 2)
    assert times[0].startswith("2026-10-25T0")
    assert times[1].startswith("2026-10-26T0")


@pytest.mark.parametrize("expression", ["", "* * * *", "61 * * * *", "a b c d e", "0 0 31 2 *", "0 0 * * 9"])
def test_what_is_no_expression_is_refused_with_an_example(expression: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        Cron(expression)
    assert "30 4 * * *" in (refused.value.hint or "")


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../etc/passwd"])
def test_what_is_no_time_zone_is_refused(zone: str) -> None:
    with pytest.raises(InvalidArgument, match="time zone"):
        Cron("* * * * *", zone)
