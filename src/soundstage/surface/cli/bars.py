"""Counts per interval of time: how long an interval is, where each begins, and what lies in it."""

from __future__ import annotations

import msgspec

from soundstage.core.errors import InvalidArgument
from soundstage.core.time import NS_PER_MS, NS_PER_S, Duration, Instant

BARS_ASKED_MAX = 1_000
"""Bars of an interval that somebody asked for."""

BARS_CHOSEN_MAX = 100
"""Bars of one that is chosen; a third as many at least, unless they would be of less than a millisecond."""

_MINUTE = 60 * NS_PER_S
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR

WIDTHS = (
    *(number * NS_PER_MS for number in (1, 2, 5, 10, 20, 50, 100, 200, 500)),
    *(number * NS_PER_S for number in (1, 2, 5, 10, 15, 30)),
    *(number * _MINUTE for number in (1, 2, 5, 10, 15, 30)),
    *(number * _HOUR for number in (1, 2, 3, 6, 12)),
    *(number * _DAY for number in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000)),
)
"""What an interval is chosen from: wide enough at last for all the time there is."""


class Bars(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of consecutive intervals of `width`, the first of which begins at `start`, a multiple of it."""

    start: Instant
    width: Duration
    counts: list[int]

    def add(self, at: int, count: int) -> None:
        """So many more happened `at` that time. What is outside of all bars is not counted."""
        place = (at - self.start) // self.width
        if 0 <= place < len(self.counts):
            self.counts[place] += count

    @property
    def end(self) -> int:
        """Where the last one ends."""
        return self.start + self.width * len(self.counts)

    @property
    def total(self) -> int:
        """What all have together."""
        return sum(self.counts)


def chosen_width(start: int, end: int) -> Duration:
    """How long an interval is best, to draw what is between: the least that makes few enough bars."""
    return Duration(next(width for width in WIDTHS if _number(start, end, width) <= BARS_CHOSEN_MAX))


def empty_bars(start: int, end: int, width: int) -> Bars:
    """Bars of `width` from the one with `start` on to the one before `end`, without any count.

    Raises `InvalidArgument` where the end is not after the start, and for bars that are too many or too narrow.
    """
    if end <= start:
        raise InvalidArgument("there is no time between start and end to plot", hint="give a later end")
    if width < NS_PER_MS:
        raise InvalidArgument(f"intervals of {Duration(width)} are too short to plot", hint="give 1ms or more")
    number = _number(start, end, width)
    if number > BARS_ASKED_MAX:
        hint = f"up to {BARS_ASKED_MAX} can be drawn: give a longer one, such as {chosen_width(start, end)}"
        raise InvalidArgument(f"intervals of {Duration(width)} make {number} bars", hint=hint)
    return Bars(start=Instant(start // width * width), width=Duration(width), counts=[0] * number)


def _number(start: int, end: int, width: int) -> int:
    return -(-end // width) - start // width
