"""When repeated work is due: every so often, or by a cron expression. Pure: times in, times out."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from typing import Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from soundstage.core.errors import InvalidArgument
from soundstage.core.time import Duration

INTERVAL_MIN_US = 1_000


class Timetable(Protocol):
    """Gives the times at which something is due."""

    def next_after(self, time_us: int) -> int:
        """The first due time after `time_us`, both in microseconds since 1970 UTC."""
        ...


class Every:
    """Due at the multiples of an interval since 1970, the same on every machine. At least 1 ms."""

    def __init__(self, interval: Duration) -> None:
        if interval.us < INTERVAL_MIN_US:
            raise InvalidArgument(f"the interval {interval} is too short", field="interval", hint="use 1ms or more")
        self._interval_us = interval.us

    def next_after(self, time_us: int) -> int:
        return (time_us // self._interval_us + 1) * self._interval_us


class Cron:
    """Due as a cron expression of five fields says, on the clocks of `timezone`.

    Raises `InvalidArgument` for an expression that is none or never due, and for an unknown time zone. In the
    hour that a zone's clocks repeat, and in the one that they leave out, it is due as Debian's cron is.
    """

    def __init__(self, expression: str, timezone: str = "UTC") -> None:
        self._expression = expression
        self._zone: tzinfo = _zone(timezone)
        self.next_after(0)

    def next_after(self, time_us: int) -> int:
        after = datetime.fromtimestamp(time_us // 1_000_000, self._zone)
        try:
            due = next(CronSim(self._expression, after))
        except (CronSimError, StopIteration) as error:
            reason = f": {error}" if str(error) else ", or never due"
            raise InvalidArgument(
                f"{self._expression[:80]!r} is no cron expression{reason}",
                field="cron",
                hint='write minute hour day month weekday, such as "30 4 * * *"',
            ) from None
        return round(due.astimezone(UTC).timestamp()) * 1_000_000


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidArgument(
            f"{name[:80]!r} is no time zone", field="timezone", hint='use a name such as "Europe/Berlin", or "UTC"'
        ) from None
