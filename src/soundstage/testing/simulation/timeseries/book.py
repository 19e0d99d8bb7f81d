"""What was sent, acknowledged and seen of every event, and so what may and must be shown of it.

Of two values under one key the greater one stays, so what is shown of an item is at least the greatest value that was
acknowledged, or seen, before the question; and it is a value that somebody has sent. Once the slice of an event may
have been dropped, only what was sent after that must be there again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

from soundstage.data.timeseries.api import Event
from soundstage.testing.simulation.scenario import Divergence
from soundstage.testing.simulation.timeseries.rules import History

Key: TypeAlias = tuple[int, str]
"""Time and id of an event, within its series."""


KIND = "kind"
"""What an event has there is the same in every write of it."""


RECENT = 4
"""Of an event so many are kept that say the same: looks that began between them are judged by the older ones."""


class Moment(NamedTuple):
    """True time, and the number of what happened then: much may happen at one instant."""

    ns: int
    number: int


class Sending(NamedTuple):
    """A write of an event, or a look at one, that is known to be there. Both are numbers of moments."""

    began: int
    ended: int
    items: dict[str, bytes]

    def says_no_more_than(self, other: Sending) -> bool:
        """Whether all it says is known from `other`, which began later."""
        return self.began <= other.began and all(
            value <= other.items.get(key, b"") for key, value in self.items.items()
        )


class Told:
    """One event. `lost`: its slice may have been dropped up to the moment of that number."""

    __slots__ = ("certain", "lost", "refused", "values")

    def __init__(self) -> None:
        self.values: dict[str, set[bytes]] = {}
        self.refused: set[bytes] = set()
        self.certain: list[Sending] = []
        self.lost: int = -1

    def adds(self, sending: Sending) -> None:
        """It is certain. Of old ones that say less, and no longer, none is kept."""
        self.certain.append(sending)
        if len(self.certain) > 2 * RECENT:
            kept = [each for each in self.certain[:-RECENT] if not each.says_no_more_than(sending)]
            self.certain = [*kept, *self.certain[-RECENT:]]

    def least(self, before: Moment) -> dict[str, bytes]:
        """What must be shown, at least, of a look that begins then."""
        least: dict[str, bytes] = {}
        for each in self.certain:
            if each.ended < before.number and each.began > self.lost:
                for key, value in each.items.items():
                    least[key] = max(value, least.get(key, b""))
        return least


class Look(NamedTuple):
    """A walk over the pages of an interval, from its first request to its last answer."""

    series: str
    start: int
    end: int
    began: Moment
    ended: Moment
    kind: bytes | None
    limit: int | None


def order(event: Event) -> tuple[int, bytes]:
    """By which events are sorted: the newest first."""
    return -int(event.event_time), event.event_id.encode()


def items_of(event: Event) -> dict[str, bytes]:
    return {item.event_item_key: item.event_item_value for item in event.event_items}


class Book:
    """All events of all series."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._moments = 0
        self._told: dict[str, dict[Key, Told]] = {}

    def now(self, ns: int) -> Moment:
        """The present, behind all that has happened."""
        self._moments += 1
        return Moment(ns, self._moments)

    def sends(self, events: Sequence[Event]) -> None:
        """From now on all of it may be there."""
        for event in events:
            told = self._of(event)
            for key, value in items_of(event).items():
                told.values.setdefault(key, set()).add(value)

    def refuses(self, events: Sequence[Event]) -> None:
        """What was sent with an event that is ahead for certain is never there."""
        for event in events:
            self._of(event).refused.update(value for key, value in items_of(event).items() if key != KIND)

    def acknowledges(self, events: Sequence[Event], began: Moment, ended: Moment) -> None:
        """All of it is there, or was dropped. Raises `Divergence` where it could not be taken."""
        self.takes(events, began, ended)
        self.stores(events, began, ended)

    def takes(self, events: Sequence[Event], began: Moment, ended: Moment) -> None:
        """All of it was taken, and may be there. Raises `Divergence` where it could not be."""
        for event in events:
            if self._history.is_ahead(event.event_time, began.ns, ended.ns):
                raise Divergence(f"{event} was taken, and is ahead")
            late = self._history.is_late(event.event_time, began.ns, ended.ns)
            if late and not self._may_be_stored(self._of(event), items_of(event)):
                raise Divergence(f"{event} was taken, and is too old")

    def stores(self, events: Sequence[Event], began: Moment, ended: Moment) -> None:
        """All of it is there, or was dropped."""
        for event in events:
            self._of(event).adds(Sending(began.number, ended.number, items_of(event)))

    def check_refusal(self, events: Sequence[Event], index: int, began: Moment, ended: Moment) -> None:
        """Raise `Divergence` where the event of that index was refused for its time, and could not be."""
        event, history = events[index], self._history
        if history.may_be_ahead(event.event_time, began.ns, ended.ns):
            return
        if not history.may_be_late(event.event_time, began.ns, ended.ns):
            raise Divergence(f"{event} was refused, and is neither too old nor ahead")
        if not history.is_shown(event.event_time, began.ns, ended.ns):
            return
        least = self._of(event).least(began)
        if all(key in least and least[key] >= value for key, value in items_of(event).items()):
            raise Divergence(f"{event} was refused as too old, and is stored")

    def drops(self, began: Moment, ended: Moment) -> int:
        """A round of the control loop was made; how many events may have gone."""
        due, count = self._history.due(began.ns, ended.ns), 0
        for events in self._told.values():
            for (time_ns, _), told in events.items():
                if any(each.start <= time_ns < each.end for each in due):
                    told.lost = max(told.lost, ended.number)
                    count += 1
        return count

    def check(self, found: Sequence[Event], look: Look) -> None:
        """Raise `Divergence` unless `found` is a right answer to `look`. What was seen is certain from then on."""
        orders = [order(each) for each in found]
        if orders != sorted(set(orders)):
            raise Divergence(f"events are shown twice or out of order: {orders}")
        for event in found:
            self._check_shown(event, look)
        last = orders[-1] if look.limit is not None and len(found) >= look.limit else None
        for event_id in self._missing(look, {(int(each.event_time), each.event_id) for each in found}, last):
            raise Divergence(f"{event_id} of {look.series} is not shown by {look}")
        for event in found:
            self._of(event).adds(Sending(look.began.number, look.ended.number, items_of(event)))

    def check_found(self, found: Sequence[Event], look: Look) -> None:
        """Raise `Divergence` unless what an index shows is there, in order; it may lack what is newer than it."""
        orders = [(-int(each.event_time), each.time_series_id, each.event_id) for each in found]
        if orders != sorted(set(orders)):
            raise Divergence(f"events are found twice or out of order: {orders}")
        for event in found:
            self._check_shown(event, look)

    def _check_shown(self, event: Event, look: Look) -> None:
        told, items = self._of(event), items_of(event)
        if not look.start <= event.event_time < look.end:
            raise Divergence(f"{event} is not in {look}")
        if not self._history.may_be_shown(event.event_time, look.began.ns, look.ended.ns):
            raise Divergence(f"{event} is shown, and its slice was closed")
        for key, value in items.items():
            if value not in told.values.get(key, ()) or value in told.refused:
                raise Divergence(f"{event} has a value that nobody may have written")
        for key, value in told.least(look.began).items():
            if items.get(key, b"") < value:
                raise Divergence(f"{event} has less than {key} {value!r}, which is there")
        if look.kind is not None and items[KIND] != look.kind:
            raise Divergence(f"{event} does not match the filter {look.kind!r}")

    def _missing(self, look: Look, found: set[Key], last: tuple[int, bytes] | None) -> Iterable[Key]:
        for (time_ns, event_id), told in self._told.get(look.series, {}).items():
            if (time_ns, event_id) in found or not look.start <= time_ns < look.end:
                continue
            if last is not None and (-time_ns, event_id.encode()) > last:
                continue
            least = told.least(look.began)
            if not least or (look.kind is not None and least.get(KIND) != look.kind):
                continue
            if self._history.is_shown(time_ns, look.began.ns, look.ended.ns):
                yield time_ns, event_id

    def _may_be_stored(self, told: Told, items: dict[str, bytes]) -> bool:
        """Whether others have sent as much: what is sent now is known already."""
        return all(max(told.values.get(key, {b""})) >= value for key, value in items.items())

    def _of(self, event: Event) -> Told:
        return self._told.setdefault(event.time_series_id, {}).setdefault(
            (int(event.event_time), event.event_id), Told()
        )
