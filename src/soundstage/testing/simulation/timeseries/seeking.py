"""The index: what it shows is there; in the end it lacks nothing that it was told of, and nothing once made anew."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

from soundstage.core.errors import DeadlineExceeded, Exhausted, PreconditionFailed, SoundstageError, Unavailable
from soundstage.core.time import INT64_MAX, INT64_MIN, Instant
from soundstage.data.timeseries.api import (
    AggregationQuery,
    Event,
    EventCount,
    ItemQuery,
    SearchQuery,
    TimeInterval,
    TimeSeries,
)
from soundstage.data.timeseries.service import TimeSeriesService
from soundstage.testing.simulation.host import LOG, SEARCH
from soundstage.testing.simulation.scenario import Divergence, Site
from soundstage.testing.simulation.timeseries.book import KIND, Book, Look, Moment, items_of
from soundstage.testing.simulation.timeseries.rules import History

Place: TypeAlias = tuple[str, int, str]

VALUED = "k"
"""The item by whose value events are searched for."""

KNOBS: Mapping[str, Any] = {"engine": SEARCH, "log": LOG, "fields": {KIND: "keyword", VALUED: "keyword"}}

ALWAYS = TimeInterval(start=Instant(INT64_MIN), end=Instant(INT64_MAX))
KNOWN = (Unavailable, DeadlineExceeded, Exhausted, PreconditionFailed)
ROUNDS = 6
"""Of the role, in one step."""

WHOLE_ROUNDS = 500
SETTLED_S = 10.0
VALUES_MAX = 50
"""So many values are searched for in the end."""


class Seeking:
    """`service` is that of the process that serves; `now` the present."""

    def __init__(
        self,
        site: Site,
        book: Book,
        history: History,
        namespace: str,
        service: Callable[[], TimeSeriesService],
        now: Callable[[], Moment],
    ) -> None:
        self._site = site
        self._book = book
        self._history = history
        self._namespace = namespace
        self._service = service
        self._now = now
        self._told: dict[Place, dict[str, bytes]] = {}
        self._lost: dict[tuple[int, int], int] = {}
        """Up to which moment, by its number, slices of these times may have been dropped."""

        self._role = asyncio.Lock()

    def tells(self, events: Iterable[Event], began: Moment) -> None:
        """All of it is stored, and the index was told, by a write that began then."""
        for event in events:
            if self._lost_until(int(event.event_time)) >= began.number:
                continue
            items = self._told.setdefault(place_of(event), {})
            for key, value in items_of(event).items():
                items[key] = max(value, items.get(key, b""))

    def drops(self, began: Moment, ended: Moment) -> None:
        """A round of the control loop was made: of what it may have dropped the index is told anew, or never."""
        for each in self._history.due(began.ns, ended.ns):
            self._lost[each.start, each.end] = ended.number
        self._told = {place: told for place, told in self._told.items() if self._lost_until(place[1]) < ended.number}

    def _lost_until(self, time_ns: int) -> int:
        return max((number for (start, end), number in self._lost.items() if start <= time_ns < end), default=-1)

    async def tend(self, check: Callable[[], None]) -> None:
        """Some rounds of the role."""
        async with self._role:
            if not self._site.host.is_up:
                return
            with suppress(*KNOWN):
                await self._rounds(check, ROUNDS)
                self._site.note("indexed")

    async def agree(self, check: Callable[[], None], shown: Callable[[], Awaitable[list[Event]]]) -> None:
        """Where all is well the index has, after the rounds of the role, what it was told of before."""
        async with self._role:
            calm, told = self._site.host.calm(), {place: dict(items) for place, items in self._told.items()}
            began = self._now()
            with suppress(*KNOWN):
                if calm is None or not await self._rounds(check, WHOLE_ROUNDS):
                    return
                await self._refresh()
                series = self._site.host.stage.client(TimeSeries, self._namespace)
                found = {place_of(each) for each in await self._found(series, None, 1_000)}
                with_value = await self._by_value(series, told.values())
                there = {place_of(each): items_of(each) for each in await shown()}
                if calm != self._site.host.calm():
                    return
                self._check((set(told) & set(there)) - found, began, "is there, and not found")
                for value, having in with_value.items():
                    # Values only grow: it had this one all the time.
                    due = {place for place in told if told[place].get(VALUED) == value == _value(there, place)}
                    self._check(due - having, began, f"has {value!r}, and is not found by it")
                self._site.note("agreed")

    async def _rounds(self, check: Callable[[], None], most: int) -> bool:
        """Whether there was nothing more to do after so many rounds of the role, or fewer."""
        service = self._service()
        await self._site.host.stage.systems.started("timeseries")
        for _ in range(most):
            more = await service.tend_index(self._namespace, check)
            await service.drop_indexes(check)
            if not more:
                return True
        return False

    async def _refresh(self) -> None:
        for each in await self._site.host.search.indexes():
            await self._site.host.search.refresh(each.spec.name)

    async def search(self, client: int, kind: bytes | None, page_size: int) -> None:
        """What is found is there, as the slices have it."""
        began = self._now()
        series = self._site.client(client, TimeSeries, self._namespace)
        try:
            found = await self._found(series, None if kind is None else (KIND, kind), page_size)
        except KNOWN:
            self._site.note("unfound")
            return
        self._book.check_found(found, Look("", INT64_MIN, INT64_MAX, began, self._now(), kind, None))
        self._site.note("found" if found else "none_found")

    async def rebuild(self, client: int) -> None:
        """The index is asked for anew."""
        with suppress(*KNOWN):
            await self._site.client(client, TimeSeries, self._namespace).rebuild_index()
            self._site.note("rebuilt")

    async def wipe(self) -> None:
        """Somebody drops all indexes."""
        with suppress(SoundstageError):
            for each in await self._site.host.search.indexes():
                await self._site.host.search.drop_index(each.spec.name)
            self._site.note("wiped")

    async def settle(self, shown: Callable[[], Awaitable[list[Event]]]) -> None:
        """Raise `Divergence` unless the index has all that it was told of, and all that `shown` gives once anew."""
        series = self._site.host.stage.client(TimeSeries, self._namespace)
        await self._whole()
        # What is done late undoes nothing.
        await self._site.host.search.catch_up()
        await self._whole()
        await self._compare(series, await shown(), exactly=False)
        await series.rebuild_index()
        await self._whole()
        await self._compare(series, await shown(), exactly=True)

    async def _whole(self) -> None:
        await self._site.environment.sleep(SETTLED_S)
        if not await self._rounds(lambda: None, WHOLE_ROUNDS):
            raise Divergence("the index is never whole")
        await self._refresh()

    async def _compare(self, series: TimeSeries, events: Sequence[Event], *, exactly: bool) -> None:
        began = self._now()
        there = {place_of(each): items_of(each) for each in events}
        found = {place_of(each): items_of(each) for each in await self._found(series, None, 1_000)}
        due = set(there) if exactly else set(there) & set(self._told)
        self._check(due - set(found), began, "is there, and not found")
        self._check(set(found) - set(there), began, "is found, and not there")
        if exactly and due == set(found):
            asked = AggregationQuery(count=EventCount())
            reply = await series.aggregate_event_records(time_interval=ALWAYS, aggregation_query=asked)
            if reply.count != len(found):
                raise Divergence(f"{reply.count} events are counted, and {len(found)} are found")
        for value, having in (await self._by_value(series, there.values())).items():
            due = {place for place, items in there.items() if items.get(VALUED) == value}
            if not exactly:
                due = {place for place in due if self._told.get(place, {}).get(VALUED) == value}
            self._check(due - having, began, f"has {value!r}, and is not found by it")

    def _check(self, places: Iterable[Place], began: Moment, problem: str) -> None:
        """Raise `Divergence` where one of `places` is of a slice that was shown all the time."""
        ended = self._now()
        for place in sorted(places):
            if self._history.is_shown(place[1], began.ns, ended.ns):
                raise Divergence(f"{place} {problem}")

    async def _by_value(self, series: TimeSeries, items: Iterable[Mapping[str, bytes]]) -> dict[bytes, set[Place]]:
        """What is found by each of the last of the values that `items` of events have."""
        values = sorted({each[VALUED] for each in items if VALUED in each})[-VALUES_MAX:]
        return {each: set(map(place_of, await self._found(series, (VALUED, each), 1_000))) for each in values}

    async def _found(self, series: TimeSeries, item: tuple[str, bytes] | None, page_size: int) -> list[Event]:
        query = None
        if item is not None:
            query = SearchQuery(equals=ItemQuery(event_item_key=item[0], event_item_value=item[1]))
        pages = series.search_event_records.pages(time_interval=ALWAYS, search_query=query, page_size=page_size)
        return [each async for page in pages for each in page.records]


def _value(there: Mapping[Place, dict[str, bytes]], place: Place) -> bytes | None:
    return there.get(place, {}).get(VALUED)


def place_of(event: Event) -> Place:
    """By what an event is known across ids."""
    return event.time_series_id, int(event.event_time), event.event_id
