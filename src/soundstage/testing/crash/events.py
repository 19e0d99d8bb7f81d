"""Clients that write events while their server is killed, and know which must be there afterwards, each once.

Each writer sends one call after the other, with events of a series of its own and of one that all share. Their times
lie all over some hours, so that slices are made while the server dies, and every event has several items. What was
answered is there, exactly once; of the call under way when the server died, the only one in doubt, every event is
there whole or not at all, and once it was sent again, all are.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterable, Sequence
from random import Random
from typing import Any, TypeAlias

from soundstage.client import Connection, connect
from soundstage.core.time import INT64_MAX, INT64_MIN, NS_PER_S, Instant
from soundstage.data.timeseries.api import Event, EventItem, TimeInterval, TimeSeries
from soundstage.runtime.namespaces.api import Namespaces, NamespaceSpec
from soundstage.testing.crash.traffic import Broken, Traffic

NAMESPACE = "crash-events"
SHARED = "all"
ALWAYS = TimeInterval(start=Instant(INT64_MIN), end=Instant(INT64_MAX))

BEGIN_NS = 1_700_000_000 * NS_PER_S
SPREAD_S = 6 * 3_600

LARGE_EVERY = 25
"""One call in so many has values that a log's pages cut through."""

KNOBS: dict[str, Any] = {
    "time_partition": {"seconds_per_slice": "10m", "seconds_per_bucket": "1m", "event_buckets": 3},
    "accept_limit": "0s",
}

Key: TypeAlias = tuple[str, int, str]
"""Series, time and id."""


def key_of(event: Event) -> Key:
    """What makes two events one."""
    return event.time_series_id, int(event.event_time), event.event_id


class EventWriter:
    """Its series, the events that must be there, and those in doubt."""

    def __init__(self, number: int, random: Random) -> None:
        self.id: str = f"writer-{number}"
        self.sent: int = 0
        self.acknowledged: int = 0
        self.promised: dict[Key, Event] = {}
        self.doubt: list[Event] = []
        self._random = random

    async def write(self, series: TimeSeries) -> None:
        """The next call is answered; an error leaves it in doubt."""
        self.doubt = self._next()
        await self.send_again(series)
        self.acknowledged += 1

    async def send_again(self, series: TimeSeries) -> None:
        """What was in doubt is promised."""
        await series.write_event_records_sync(events=self.doubt)
        self.promised.update((key_of(event), event) for event in self.doubt)
        self.doubt = []

    @property
    def asks_first(self) -> bool:
        """Whether to look before what is in doubt is sent again; drawn."""
        return self._random.random() < 0.5

    def _next(self) -> list[Event]:
        self.sent += 1
        large = self._random.random() < 1 / LARGE_EVERY
        return [self._event(index, 2_000 if large else 10) for index in range(self._random.randint(1, 6))]

    def _event(self, index: int, size: int) -> Event:
        name, random = f"{self.id}/{self.sent}/{index}", self._random
        items = [
            EventItem(event_item_key=key, event_item_value=f"{name} {key}".encode() * random.randint(1, size))
            for key in ("a", "b", "c")[: random.randint(1, 3)]
        ]
        at = BEGIN_NS + random.randrange(SPREAD_S) * NS_PER_S
        series = SHARED if random.random() < 0.3 else self.id
        return Event(time_series_id=series, event_time=Instant(at), event_id=name, event_items=items)


class EventTraffic(Traffic):
    """Some writers of events, and a reader of what they share; `seed` decides who writes what."""

    def __init__(self, writers: int, seed: int = 0) -> None:
        super().__init__()
        self.writers: list[EventWriter] = [
            EventWriter(number, Random(f"{seed} {number} events")) for number in range(writers)
        ]
        self._shown: dict[Key, Event] = {}

    @property
    def acknowledged(self) -> int:
        return sum(writer.acknowledged for writer in self.writers)

    @property
    def in_doubt(self) -> int:
        return sum(bool(writer.doubt) for writer in self.writers)

    async def prepare(self, url: str) -> None:
        async with connect(url) as connection:
            spec = NamespaceSpec(name=NAMESPACE, abstraction="timeseries", config=KNOBS)
            await connection.client(Namespaces).put(namespace=spec)

    def clients(self, connection: Connection) -> Sequence[Coroutine[Any, Any, None]]:
        series = connection.client(TimeSeries, NAMESPACE)
        return [*(self._keep_writing(writer, series) for writer in self.writers), self._keep_watching(series)]

    async def check(self, connection: Connection) -> None:
        series = connection.client(TimeSeries, NAMESPACE)
        for writer in self.writers:
            if writer.doubt and not writer.asks_first:
                await writer.send_again(series)
        self.compare(await self._everything(series))
        for writer in self.writers:
            if writer.doubt:
                await writer.send_again(series)
        self.compare(await self._everything(series))

    def compare(self, found: Iterable[Event]) -> None:
        """Raise `Broken` unless `found` has all that was promised or shown, and nothing else but what is in doubt."""
        promised, doubted = dict(self._shown), dict[Key, Event]()
        for writer in self.writers:
            promised.update(writer.promised)
            doubted.update((key_of(event), event) for event in writer.doubt)
        seen = set[Key]()
        for event in found:
            key = key_of(event)
            if key in seen:
                raise Broken(f"the event {key} is there twice")
            seen.add(key)
            sent = promised.get(key, doubted.get(key))
            if sent != event:
                raise Broken(f"the event {key} is there as {_keys(event)}, and was sent as {_keys(sent)}")
        if missing := promised.keys() - seen:
            raise Broken(f"{len(missing)} events are gone, first {min(missing)}")

    async def _everything(self, series: TimeSeries) -> list[Event]:
        return [event for name in (SHARED, *(each.id for each in self.writers)) for event in await _all(series, name)]

    async def _keep_writing(self, writer: EventWriter, series: TimeSeries) -> None:
        while True:
            await writer.write(series)
            self.noted()

    async def _keep_watching(self, series: TimeSeries) -> None:
        while True:
            page = await series.read_event_records(time_series_id=SHARED, time_interval=ALWAYS)
            self._shown.update((key_of(event), event) for event in page.records)


async def _all(series: TimeSeries, name: str) -> list[Event]:
    pages = series.read_event_records.pages(time_series_id=name, time_interval=ALWAYS)
    return [event async for page in pages for event in page.records]


def _keys(event: Event | None) -> str:
    if event is None:
        return "nothing"
    return ", ".join(f"{item.event_item_key} of {len(item.event_item_value)} bytes" for item in event.event_items)
