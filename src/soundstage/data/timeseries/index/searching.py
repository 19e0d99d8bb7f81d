"""Pages of the events that match, and what is counted over them: the index says which, the slices have them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from soundstage.core.errors import InvalidArgument, NotFound, Unavailable
from soundstage.data.timeseries.api import (
    AggregateEventRecords,
    AggregateEventRecordsReply,
    Event,
    SearchQuery,
    TimeInterval,
)
from soundstage.data.timeseries.events import EventKey
from soundstage.data.timeseries.feed import digest_of
from soundstage.data.timeseries.index.aggregates import NAME, aggregation_of, counted
from soundstage.data.timeseries.index.events import events_of
from soundstage.data.timeseries.index.fields import EVENT, SERIES, TIME, Fields
from soundstage.data.timeseries.index.queries import after, query_of, visible, within
from soundstage.data.timeseries.namespace import ServedNamespace
from soundstage.engines.search import port
from soundstage.engines.search.port import Request, Search
from soundstage.engines.search.queries import Bool, Query, Sort
from soundstage.runtime.service import Searches

HITS = 200
"""Asked for at once, and then looked up in the slices."""

HITS_MAX = 10_000
"""Looked up for one page: where most are not to be shown it goes on in the next."""

EVENTS = 32
"""Looked up at once: they are held until it is known whether the page has room."""

ENGINE_KNOB = "index.engine"

ORDER = (Sort(TIME, descending=True), Sort(SERIES), Sort(EVENT))


class SearchCursor(msgspec.Struct, frozen=True, array_like=True):
    """Behind which event a search goes on; `generation` and `records_left` as those of reads."""

    generation: int
    series: str
    time_ns: int
    event_id: str
    records_left: int | None


class SearchPage(NamedTuple):
    """Events, and behind which the next page goes on; None: there is none."""

    events: list[Event]
    resume: EventKey | None


def alias_of(digest: str) -> str:
    """By which the index of a namespace is searched."""
    return f"ts-{digest}"


class Searching:
    """Asks the index of one namespace. Raises `InvalidArgument` where it has none."""

    def __init__(self, served: ServedNamespace, searches: Searches, now_ns: int, deadline_ns: int | None) -> None:
        config = served.config.index
        if config is None:
            raise InvalidArgument(
                f"the namespace {served.name!r} has no index", field="namespace", hint="its knob is index"
            )
        self._served = served
        self._engine: Search = searches.search(config.engine, ENGINE_KNOB)
        self._fields = Fields(config.fields)
        self._alias = alias_of(digest_of(served.view))
        self._now_ns = now_ns
        self._deadline_ns = deadline_ns

    async def page(
        self, interval: TimeInterval, wanted: SearchQuery | None, records: int, resume: EventKey | None
    ) -> SearchPage:
        """Up to `records` events, from behind `resume` on."""
        found = SearchPage([], resume)
        query, bytes_left = query_of(wanted, self._fields), int(self._served.config.page_size_bytes)
        looked = 0
        while len(found.events) < records and looked < HITS_MAX:
            parts: list[Query] = [] if found.resume is None else [after(found.resume)]
            limit = min(HITS, records - len(found.events))
            request = Request(
                query=self._within(interval, query, parts),
                sort=ORDER,
                limit=limit,
                fields=(TIME, SERIES, EVENT),
                count=False,
            )
            hits = [each.document.fields for each in (await self._ask(request)).hits]
            keys = [EventKey(each[SERIES], each[TIME], each[EVENT]) for each in hits]
            events = await self._events(keys, bytes_left)
            looked += len(events)
            for key, event in zip(keys, events, strict=False):
                # What the slices do not have any more was dropped meanwhile.
                if event is not None and event.time_series_id not in self._served.blocked:
                    size = _size(event)
                    if found.events and size > bytes_left:
                        return found
                    bytes_left -= size
                    found.events.append(event)
                found = found._replace(resume=key)
            if len(events) == len(keys) < limit:
                return found._replace(resume=None)
        return found

    async def _events(self, keys: Sequence[EventKey], size: int) -> list[Event | None]:
        """Those of `keys`, or of the first of them, which have more than `size` bytes."""
        found: list[Event | None] = []
        for at in range(0, len(keys), EVENTS):
            found += await events_of(self._served, keys[at : at + EVENTS], self._now_ns)
            if sum(_size(each) for each in found if each is not None) > size:
                break
        return found

    async def aggregate(self, request: AggregateEventRecords) -> AggregateEventRecordsReply:
        """What is counted; `response_context` is empty yet."""
        query = query_of(request.search_query, self._fields)
        asked = aggregation_of(request.aggregation_query, self._fields)
        page = await self._ask(
            Request(query=self._within(request.time_interval, query, []), limit=0, aggregations=asked, count=True)
        )
        told = counted(request.aggregation_query, self._fields, page.aggregations.get(NAME))
        return AggregateEventRecordsReply(
            count=page.total or 0, value=told.value, buckets=told.buckets, others=told.others, response_context=[]
        )

    def _within(self, interval: TimeInterval, query: Query, parts: list[Query]) -> Bool:
        served = self._served
        shown = [each for each in served.catalogue.slices if served.lifetime.is_read(each, self._now_ns)]
        return visible(query, [within(interval.start, interval.end), *parts], served.blocked, shown)

    async def _ask(self, request: Request) -> port.Page:
        try:
            return await self._engine.search(self._alias, request, deadline_ns=self._deadline_ns)
        except NotFound:
            raise _unready("the index is being made") from None
        except InvalidArgument as error:
            if not await self._is_by_the_knobs():
                raise _unready(f"the index is being made anew: {error.detail}") from error
            raise

    async def _is_by_the_knobs(self) -> bool:
        """Whether the index that serves has the fields that the namespace names."""
        serving = [each.spec for each in await self._engine.indexes() if self._alias in each.aliases]
        return any(spec.fields == self._fields.spec(spec.name).fields for spec in serving)


def _size(event: Event) -> int:
    return sum(len(each.event_item_key) + len(each.event_item_value) for each in event.event_items)


def _unready(detail: str) -> Unavailable:
    return Unavailable(
        detail, hint="try again when it is whole; the role timeseries-index makes it", retry_after_ms=1_000
    )
