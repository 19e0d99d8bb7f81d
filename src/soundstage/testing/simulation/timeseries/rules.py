"""What knobs may have been in force in an interval, and which slices there were: by them events are taken and shown.

Changes are known to have been made, or only to have been tried; the host's clock is off by up to two seconds, either
way. Whatever depends on that may go either way too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from soundstage.core.time import NS_PER_S
from soundstage.data.timeseries.slices import Slice

M = 60 * NS_PER_S
H = 60 * M

MARGIN_NS = 5 * NS_PER_S
"""Twice as much as clocks are off, and some."""


class Rules(NamedTuple):
    """The knobs, in nanoseconds; None: for ever, or of any age."""

    accept_ns: int | None
    future_ns: int
    close_ns: int | None
    delete_ns: int | None

    @property
    def oldest_ns(self) -> int | None:
        """The age up to which events are taken."""
        return self.close_ns if self.accept_ns is None else self.accept_ns

    def knobs(self) -> dict[str, Any]:
        """As a namespace has them."""
        retention = {"close_after": self.close_ns, "delete_after": self.delete_ns}
        return {
            "accept_limit": f"{self.accept_ns or 0}ns",
            "accept_future": f"{self.future_ns}ns",
            "retention": {name: f"{value}ns" for name, value in retention.items() if value is not None},
        }


RULES = (
    Rules(None, 10 * NS_PER_S, None, None),
    Rules(20 * M, 10 * NS_PER_S, None, None),
    Rules(10 * M, 10 * NS_PER_S, 40 * M, 50 * M),
    Rules(M, M, H, H),
    Rules(None, 10 * NS_PER_S, 2 * H, 3 * H),
    Rules(30 * M, 10 * NS_PER_S, 30 * M, None),
)

LAYOUTS: tuple[dict[str, Any], ...] = (
    {"seconds_per_slice": "30m", "seconds_per_bucket": "5m", "event_buckets": 1},
    {"seconds_per_slice": "20m", "seconds_per_bucket": "10m", "event_buckets": 3},
    {"seconds_per_slice": "2h", "seconds_per_bucket": "1m", "event_buckets": 1},
    {"seconds_per_slice": "7m", "seconds_per_bucket": "2m", "event_buckets": 2},
)


class _Change(NamedTuple):
    rules: Rules
    began_ns: int


class History:
    """Which rules there were when, and all slices that were ever seen."""

    def __init__(self, rules: Rules) -> None:
        self.current: Rules = rules
        self._certain: list[tuple[int, Rules]] = [(-1, rules)]
        self._tried: list[_Change] = []
        self._slices: dict[str, Slice] = {}

    def tries(self, rules: Rules, now_ns: int) -> None:
        """From now on they may be in force."""
        self._tried.append(_Change(rules, now_ns))

    def succeeds(self, rules: Rules, now_ns: int) -> None:
        """They are in force, and none of before is."""
        self.current = rules
        self._certain.append((now_ns, rules))

    def possible(self, began_ns: int, ended_ns: int) -> set[Rules]:
        """Those that may have been in force at any time in the interval."""
        # Of what happens at one instant nobody knows the order.
        since_ns, base = next(each for each in reversed(self._certain) if each[0] < began_ns)
        later = {rules for at_ns, rules in self._certain if began_ns <= at_ns <= ended_ns}
        tried = {each.rules for each in self._tried if since_ns <= each.began_ns <= ended_ns}
        return {base, *later, *tried}

    def sees(self, slices: Iterable[Slice]) -> None:
        """There are these slices; those that grow do so."""
        self._slices.update((each.table, each) for each in slices)

    def all_slices(self) -> list[Slice]:
        """Those that were ever seen."""
        return list(self._slices.values())

    def ends(self, time_ns: int) -> list[int]:
        """Where the slices end that may have an event of that time."""
        return [each.end for each in self._slices.values() if each.start <= time_ns < each.end]

    def is_shown(self, time_ns: int, began_ns: int, ended_ns: int) -> bool:
        """Whether an event that is there must be shown, all through the interval."""
        ends = self.ends(time_ns)
        return bool(ends) and all(
            rules.close_ns is None or min(ends) + rules.close_ns > ended_ns + MARGIN_NS
            for rules in self.possible(began_ns, ended_ns)
        )

    def may_be_shown(self, time_ns: int, began_ns: int, ended_ns: int) -> bool:
        """Whether an event that is there may be shown at any time in the interval."""
        ends = self.ends(time_ns)
        return not ends or any(
            rules.close_ns is None or max(ends) + rules.close_ns > began_ns - MARGIN_NS
            for rules in self.possible(began_ns, ended_ns)
        )

    def may_be_dropped(self, found: Slice, began_ns: int, ended_ns: int) -> bool:
        """Whether a round of the control loop in the interval may have dropped it."""
        return any(
            rules.delete_ns is not None and found.end + rules.delete_ns <= ended_ns + MARGIN_NS
            for rules in self.possible(began_ns, ended_ns)
        )

    def due(self, began_ns: int, ended_ns: int) -> list[Slice]:
        """Those that a round of the control loop in the interval may have dropped."""
        return [each for each in self.all_slices() if self.may_be_dropped(each, began_ns, ended_ns)]

    def may_be_late(self, time_ns: int, began_ns: int, ended_ns: int) -> bool:
        """Whether an event may have been too old to be new."""
        return any(
            rules.oldest_ns is not None and time_ns < ended_ns + MARGIN_NS - rules.oldest_ns
            for rules in self.possible(began_ns, ended_ns)
        )

    def is_late(self, time_ns: int, began_ns: int, ended_ns: int) -> bool:
        """Whether it was too old for certain."""
        return all(
            rules.oldest_ns is not None and time_ns < began_ns - MARGIN_NS - rules.oldest_ns
            for rules in self.possible(began_ns, ended_ns)
        )

    def may_be_ahead(self, time_ns: int, began_ns: int, ended_ns: int) -> bool:
        """Whether an event may have been too far in the future."""
        return any(time_ns > began_ns - MARGIN_NS + rules.future_ns for rules in self.possible(began_ns, ended_ns))

    def is_ahead(self, time_ns: int, began_ns: int, ended_ns: int) -> bool:
        """Whether it was for certain."""
        return all(time_ns > ended_ns + MARGIN_NS + rules.future_ns for rules in self.possible(began_ns, ended_ns))
