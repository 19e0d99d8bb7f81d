"""Which places are not asked for a while, because they failed lately: a store that is down holds up no others.

A place that failed is closed for a time that doubles with each further failure. After that one set at a time may try
whether it is well again; once one mutation was applied it is open to all.
"""

from __future__ import annotations

from soundstage.core.errors import SoundstageError, Unavailable
from soundstage.data.writeahead.config import SystemConfig

PLACES_MAX = 10_000
"""Places that are remembered to have failed; the one that failed first is forgotten for another."""


class Closed(Unavailable):
    """The place failed lately, and is not asked before `until_us`."""

    until_us: int = 0


class _Failing:
    """A place that fails: so many times in a row, and for the last time with `error`."""

    def __init__(self) -> None:
        self.times = 0
        self.until_us = 0
        self.probed = False
        self.detail = ""


class Gates:
    """The places of one target, as this process knows them."""

    def __init__(self, config: SystemConfig) -> None:
        self._least_us = max(1, config.retry_min.us // 2)
        self._most_us = max(1, config.retry_max.us // 2)
        self._failing: dict[str, _Failing] = {}

    def enter(self, place: str, now_us: int) -> None:
        """The caller may ask the place now, and is to say what came of it. Raises `Closed`."""
        failing = self._failing.get(place)
        if failing is None:
            return
        if now_us < failing.until_us or failing.probed:
            closed = Closed(failing.detail, outcome="not_applied")
            closed.until_us = max(failing.until_us, now_us + self._pause_us(failing))
            raise closed
        failing.probed = True

    def passed(self, place: str) -> None:
        """The place is well."""
        if place in self._failing:
            del self._failing[place]

    def failed(self, place: str, error: SoundstageError, now_us: int) -> None:
        """The place failed in a way that may pass; what was under way together fails once."""
        failing = self._failing.get(place)
        if failing is None:
            if len(self._failing) >= PLACES_MAX:
                del self._failing[next(iter(self._failing))]
            failing = self._failing[place] = _Failing()
        failing.probed, failing.detail = False, error.detail
        if now_us >= failing.until_us:
            failing.times += 1
            failing.until_us = now_us + self._pause_us(failing)

    def _pause_us(self, failing: _Failing) -> int:
        return min(self._most_us, self._least_us * 2 ** min(failing.times - 1, 32))

    def left(self, place: str) -> None:
        """The place neither passed nor failed: what was asked of it was wrong, or nobody waited for the answer."""
        failing = self._failing.get(place)
        if failing is not None:
            failing.probed = False
