"""What the store has to answer: a dict of events, and the rules by which they are taken, shown and forgotten."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from soundstage.core.time import Instant
from soundstage.data.timeseries.api import Event, EventItem, TimeSlice

Key = tuple[int, str]
"""Time and id of an event, within its series."""

Items = dict[str, bytes]


class Rules(NamedTuple):
    """The knobs that decide, in nanoseconds; None: for ever, or of any age."""

    accept_ns: int | None
    future_ns: int
    close_ns: int | None
    delete_ns: int | None

    @property
    def oldest_ns(self) -> int | None:
        """The age up to which events are taken."""
        return self.close_ns if self.accept_ns is None else self.accept_ns


class Interval(NamedTuple):
    """A slice as it was seen."""

    start: int
    end: int


class Model:
    """All events that are kept, by series."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self._series: dict[str, dict[Key, Items]] = {}
        self._slices: list[Interval] = []

    def sees(self, slices: Sequence[TimeSlice]) -> None:
        """The store has these slices. Raises `AssertionError` where they overlap."""
        self._slices = [Interval(each.start, each.end) for each in slices]
        for one, next_one in zip(self._slices, self._slices[1:], strict=False):
            assert one.end <= next_one.start, f"{one} and {next_one} overlap"

    def refused(self, events: Sequence[Event], now_ns: int) -> int | None:
        """The index of the first event that is not taken; None: all are."""
        for index, event in enumerate(events):
            if event.event_time > now_ns + self.rules.future_ns:
                return index
        return next((index for index, event in enumerate(events) if self.is_late(event, now_ns)), None)

    def is_old(self, event: Event, now_ns: int) -> bool:
        """Whether it is taken only as a repetition."""
        return self.rules.oldest_ns is not None and event.event_time < now_ns - self.rules.oldest_ns

    def is_late(self, event: Event, now_ns: int) -> bool:
        """Whether it is too old, and no repetition of what is stored."""
        if not self.is_old(event, now_ns):
            return False
        stored = self._series.get(event.time_series_id, {}).get((event.event_time, event.event_id), {})
        return not self._is_shown(event.event_time, now_ns) or any(
            item.event_item_key not in stored or stored[item.event_item_key] < item.event_item_value
            for item in event.event_items
        )

    def take(self, events: Sequence[Event], now_ns: int) -> None:
        """All `events` were accepted."""
        for event in events:
            if self.is_old(event, now_ns):
                continue
            items = self._series.setdefault(event.time_series_id, {}).setdefault(
                (int(event.event_time), event.event_id), {}
            )
            for item in event.event_items:
                before = items.get(item.event_item_key)
                if before is None or before < item.event_item_value:
                    items[item.event_item_key] = item.event_item_value

    def forget(self, now_ns: int) -> int:
        """Slices whose time is over were dropped; how many events went with them."""
        if self.rules.delete_ns is None:
            return 0
        gone = [each for each in self._slices if each.end + self.rules.delete_ns <= now_ns]
        count = 0
        for events in self._series.values():
            for key in [key for key in events if any(each.start <= key[0] < each.end for each in gone)]:
                del events[key]
                count += 1
        return count

    def read(self, series: str, start: int, end: int, filters: Mapping[str, bytes], now_ns: int) -> list[Event]:
        """The events to be shown, the newest first."""
        found = [
            (time_ns, event_id, items)
            for (time_ns, event_id), items in self._series.get(series, {}).items()
            if start <= time_ns < end
            and self._is_shown(time_ns, now_ns)
            and all(items.get(key) == value for key, value in filters.items())
        ]
        found.sort(key=lambda each: (-each[0], each[1].encode()))
        return [
            Event(
                time_series_id=series,
                event_time=Instant(time_ns),
                event_id=event_id,
                event_items=[
                    EventItem(event_item_key=key, event_item_value=items[key]) for key in sorted(items, key=str.encode)
                ],
            )
            for time_ns, event_id, items in found
        ]

    def hidden(self, now_ns: int) -> int:
        """How many events are kept and not shown."""
        return sum(not self._is_shown(key[0], now_ns) for events in self._series.values() for key in events)

    def _is_shown(self, time_ns: int, now_ns: int) -> bool:
        found = next((each for each in self._slices if each.start <= time_ns < each.end), None)
        close_ns = self.rules.close_ns
        return found is not None and (close_ns is None or found.end + close_ns > now_ns)
