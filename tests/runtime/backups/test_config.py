from __future__ import annotations

import pytest

from soundstage.core.errors import InvalidArgument
from soundstage.runtime.backups.config import SystemConfig


def test_without_a_schedule_there_is_no_timetable() -> None:
    assert SystemConfig().timetable() is None


def test_a_schedule_goes_by_the_clocks_of_its_zone() -> None:
    utc, berlin = (SystemConfig(schedule="0 3 * * *", timezone=zone).timetable() for zone in ("UTC", "Europe/Berlin"))
    assert utc is not None
    assert berlin is not None
    assert utc.next_after(0) - berlin.next_after(0) == 3_600 * 10**6


@pytest.mark.parametrize(
    ("schedule", "timezone", "knob"),
    [
        ("soon", "UTC", "schedule"),
        ("", "UTC", "schedule"),
        ("0 0 31 2 *", "UTC", "schedule"),
        ("0 0 * * *", "Mars", "timezone"),
    ],
)
def test_a_schedule_that_is_none_is_refused_by_its_knob(schedule: str, timezone: str, knob: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        SystemConfig(schedule=schedule, timezone=timezone).check()
    assert refused.value.field == knob
