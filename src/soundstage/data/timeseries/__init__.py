"""The time series store: events of many ids, written once, read by id and interval, the newest first.

    async with Stage.open() as stage:
        trips = stage.client(TimeSeries, "trips")
        item = EventItem(event_item_key="station", event_item_value=b"Porte Maillot")
        event = Event(time_series_id="bike-7", event_time=Instant.parse("2026-11-27T08:15:00Z"), event_id="…", …)
        await trips.write_event_records_sync(events=[event])
        page = await trips.read_event_records(time_series_id="bike-7", time_interval=TimeInterval(start=…, end=…))

Messages and operations are in `api`, the knobs of a namespace and what those left out come to in `config`. Inside:

    placement    in which partition an event lies; `slices`: time slices, and how the next one is to be
    catalogue    which slices there are, as all processes agree on them; makes and drops their tables
    events       events as rows, checked; `writes`: what becomes of late ones; `watched`, `watching`: the feed
    buffer       events of fire-and-forget writes that wait; `draining`: how they reach the store
    index, partitioning   search and aggregates across ids, by a search engine; partitions: their sizes, and how to cut
    parquet      events to files and from them, by jobs; `segments`, `compaction`: old slices in files, read as before
    partitions   the reader of a list of partitions: one stream of events; `fanout`: of how many at once
    reads        pages; `cursors`: where they go on
    namespace, service    a namespace as this process serves it, and the operations; `signalling`: what clients hear
    roles        makes slices ahead of need and drops them in time

Data on disk: table `timeseries/<namespace>` with the catalogue of slices and notes of its index and partitions, and for
each slice a table `timeseries/<namespace>/<generation>_<day>_<number>`, with a partition per id, time bucket and event
bucket, and a row per item of an event.
"""

from __future__ import annotations

from soundstage.data.timeseries.api import (
    AggregationQuery,
    BooleanQuery,
    Bound,
    Event,
    EventColumns,
    EventCount,
    EventFilter,
    EventItem,
    Histogram,
    ItemName,
    ItemQuery,
    ListSlicesReply,
    RangeQuery,
    ReadEventRecordsReply,
    ResponseContext,
    SearchQuery,
    SyncTimeSeries,
    TimeHistogram,
    TimeInterval,
    TimeSeries,
    TimeSlice,
    TopTerms,
    WriteEventRecordsReply,
)

__all__ = [
    "AggregationQuery",
    "BooleanQuery",
    "Bound",
    "Event",
    "EventColumns",
    "EventCount",
    "EventFilter",
    "EventItem",
    "Histogram",
    "ItemName",
    "ItemQuery",
    "ListSlicesReply",
    "RangeQuery",
    "ReadEventRecordsReply",
    "ResponseContext",
    "SearchQuery",
    "SyncTimeSeries",
    "TimeHistogram",
    "TimeInterval",
    "TimeSeries",
    "TimeSlice",
    "TopTerms",
    "WriteEventRecordsReply",
]
