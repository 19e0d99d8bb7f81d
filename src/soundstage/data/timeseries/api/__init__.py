"""The messages and operations of the time series store."""

# The bodies of declared operations never run.
# pyright: reportReturnType=false

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from soundstage.core.errors import DataLoss, Forbidden, NotFound, PreconditionFailed, TooLarge, Unavailable
from soundstage.core.feed import feed
from soundstage.core.job import job
from soundstage.core.message import Duration, Instant, Int64, NamespaceName, PageToken
from soundstage.core.operation import AsyncFace, SyncFace, operation
from soundstage.data.timeseries.api.changes import EventWritten, Tail, TailedEvent, WatchEvents
from soundstage.data.timeseries.api.events import Event, EventItem, TimeInterval
from soundstage.data.timeseries.api.parquet import (
    BadRow,
    EventColumns,
    EventsExported,
    EventsImported,
    ExportEvents,
    ImportEvents,
)
from soundstage.data.timeseries.api.partitions import (
    DecideProposal,
    ListProposals,
    ListProposalsReply,
    PartitionHistogram,
    PartitionHistogramReply,
    PartitionProposal,
)
from soundstage.data.timeseries.api.signals import TimeSeriesHandshake, TimeSeriesHandshakeReply

__all__ = [
    "CALLS",
    "PAGE_SIZE_MAX",
    "AggregateBucket",
    "AggregateEventRecords",
    "AggregateEventRecordsReply",
    "AggregationQuery",
    "BadRow",
    "BooleanQuery",
    "Bound",
    "DecideProposal",
    "Event",
    "EventColumns",
    "EventCount",
    "EventFilter",
    "EventItem",
    "EventWritten",
    "EventsExported",
    "EventsImported",
    "ExportEvents",
    "Histogram",
    "ImportEvents",
    "ItemName",
    "ItemQuery",
    "ListProposals",
    "ListProposalsReply",
    "ListSlices",
    "ListSlicesReply",
    "PartitionHistogram",
    "PartitionHistogramReply",
    "PartitionProposal",
    "RangeQuery",
    "ReadEventRecords",
    "ReadEventRecordsReply",
    "RebuildIndex",
    "RebuildIndexReply",
    "ResponseContext",
    "SearchEventRecords",
    "SearchEventRecordsReply",
    "SearchQuery",
    "SliceState",
    "SyncTimeSeries",
    "Tail",
    "TailedEvent",
    "TimeHistogram",
    "TimeInterval",
    "TimeSeries",
    "TimeSeriesCalls",
    "TimeSlice",
    "TopTerms",
    "WatchEvents",
    "WriteEventRecords",
    "WriteEventRecordsReply",
]

Message = msgspec.Struct

PAGE_SIZE_MAX = 10_000

SliceState: TypeAlias = Literal["active", "immutable", "closed", "deleted"]


class ResponseContext(Message, frozen=True, kw_only=True):
    """How long a namespace took to answer."""

    namespace: str
    time_taken: Duration


class WriteEventRecords(Message, kw_only=True):
    namespace: NamespaceName = ""
    events: Annotated[list[Event], Meta(description="up to 5000 items in all, together up to 4 MiB; of any ids")]


class WriteEventRecordsReply(Message, kw_only=True):
    """What became of all events; `response_context` says how long it took."""

    response_context: list[ResponseContext]


class EventFilter(Message, frozen=True, kw_only=True):
    """Events that have exactly this value under this key."""

    match_event_item_key: Annotated[str, Meta(description="of an item of the event")]
    match_event_item_value: Annotated[bytes, Meta(description="what that item holds, to the byte")]


class ReadEventRecords(Message, kw_only=True):
    namespace: NamespaceName = ""
    time_series_id: Annotated[str, Meta(description="whose events: text of 1 to 1024 bytes")]
    time_interval: Annotated[TimeInterval, Meta(description="which of them")]
    event_filters: Annotated[
        Annotated[list[EventFilter], Meta(max_length=64)] | None,
        Meta(description="only events that match them all; none: every one"),
    ] = None
    page_size: (
        Annotated[int, Meta(ge=1, le=PAGE_SIZE_MAX, description="events of a page; none: the namespace's `page_size`")]
        | None
    ) = None
    total_record_limit: (
        Annotated[int, Meta(ge=1, le=2**63 - 1, description="events over all pages; none: no limit")] | None
    ) = None
    allow_partial: Annotated[
        bool,
        Meta(description="answer at the end of the objective whatever is missing then, and say that it is partial"),
    ] = False
    page_token: PageToken = None


class ReadEventRecordsReply(Message, kw_only=True, omit_defaults=True):
    """One page, the newest event first. With `partial` it ended at the objective; `next_page_token` goes on."""

    records: list[Event]
    next_page_token: str | None = None
    partial: bool | None = None
    response_context: list[ResponseContext]


class BooleanQuery(Message, frozen=True, kw_only=True):
    """Events that match all of `search_query`, or with `OR` one of them."""

    search_query: Annotated[
        list[SearchQuery], Meta(min_length=1, max_length=100, description="what they have to be like")
    ]
    operator: Annotated[Literal["AND", "OR"], Meta(description="like all of them, or like one")] = "AND"


class ItemQuery(Message, frozen=True, kw_only=True):
    """An item key, and what is asked of the value there; as text, such as `42` or `true`."""

    event_item_key: Annotated[str, Meta(description="one that the namespace's index has")]
    event_item_value: Annotated[bytes, Meta(description="by the kind of the field")]


class ItemName(Message, frozen=True, kw_only=True):
    """An item key."""

    event_item_key: Annotated[str, Meta(description="one that the namespace's index has")]


class Bound(Message, frozen=True, kw_only=True):
    """One end of a range."""

    event_item_value: Annotated[bytes, Meta(description="by the kind of the field")]
    inclusive: Annotated[bool, Meta(description="whether the value itself is in the range")] = True


class RangeQuery(Message, frozen=True, kw_only=True):
    """Events whose value under the key lies between the bounds that are given: one, or both."""

    event_item_key: Annotated[str, Meta(description="one that the namespace's index has")]
    lower_bound: Bound | None = None
    upper_bound: Bound | None = None


class SearchQuery(Message, frozen=True, kw_only=True):
    """What events have to be like: exactly one of these."""

    boolean_query: BooleanQuery | None = None
    not_query: Annotated[SearchQuery | None, Meta(description="those that do not match this")] = None
    equals: Annotated[ItemQuery | None, Meta(description="the value under the key is this; not of texts")] = None
    range: RangeQuery | None = None
    prefix: Annotated[ItemQuery | None, Meta(description="a keyword begins so, or one of the words of a text does")] = (
        None
    )
    exists: Annotated[ItemName | None, Meta(description="there is a value of the field's kind under the key")] = None
    match: Annotated[ItemQuery | None, Meta(description="the text under the key has all these words")] = None


class SearchEventRecords(Message, kw_only=True):
    namespace: NamespaceName = ""
    time_interval: Annotated[TimeInterval, Meta(description="when they happened")]
    search_query: Annotated[SearchQuery | None, Meta(description="what they are like; none: everything")] = None
    page_size: (
        Annotated[int, Meta(ge=1, le=PAGE_SIZE_MAX, description="events of a page; none: the namespace's `page_size`")]
        | None
    ) = None
    total_record_limit: (
        Annotated[int, Meta(ge=1, le=2**63 - 1, description="events over all pages; none: no limit")] | None
    ) = None
    page_token: PageToken = None


class SearchEventRecordsReply(Message, kw_only=True, omit_defaults=True):
    """One page, the newest event first, and of one time by their ids; `next_page_token` goes on."""

    records: list[Event]
    next_page_token: str | None = None
    response_context: list[ResponseContext]


class EventCount(Message, frozen=True, kw_only=True):
    """How many events there are, and nothing else."""


class Histogram(Message, frozen=True, kw_only=True):
    """Events by their values under a key, which are numbers: those of `width` from a multiple of it on."""

    event_item_key: Annotated[str, Meta(description="one that the namespace's index has")]
    width: Annotated[float, Meta(gt=0, description="up to 1000 of them may have events")]


class TimeHistogram(Message, frozen=True, kw_only=True):
    """Events by their times: those of `interval` from a multiple of it on, counted from 1970 by UTC."""

    interval: Annotated[Duration, Meta(description="a millisecond, or more; up to 1000 of them may have events")]


class TopTerms(Message, frozen=True, kw_only=True):
    """The `limit` values under a key that most events have; among equals the least."""

    event_item_key: Annotated[str, Meta(description="one that the namespace's index has")]
    limit: Annotated[int, Meta(ge=1, le=1_000, description="so many values at most")] = 10


class AggregationQuery(Message, frozen=True, kw_only=True):
    """What is counted over the events: exactly one of these."""

    count: EventCount | None = None
    distinct: Annotated[
        ItemName | None, Meta(description="how many values differ: exact up to 1000, else within 5 %")
    ] = None
    sum: Annotated[ItemName | None, Meta(description="of numbers, as a double")] = None
    min: Annotated[ItemName | None, Meta(description="the least number")] = None
    max: Annotated[ItemName | None, Meta(description="the greatest number")] = None
    histogram: Histogram | None = None
    time_histogram: TimeHistogram | None = None
    top_terms: TopTerms | None = None


class AggregateEventRecords(Message, kw_only=True):
    namespace: NamespaceName = ""
    time_interval: Annotated[TimeInterval, Meta(description="when they happened")]
    search_query: Annotated[SearchQuery | None, Meta(description="what they are like; none: everything")] = None
    aggregation_query: Annotated[AggregationQuery, Meta(description="what is counted")]


class AggregateBucket(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Events with something in common: a value, a number from which on theirs lie, or such a time."""

    count: Int64
    event_item_value: bytes | None = None
    start: float | None = None
    start_time: Instant | None = None


class AggregateEventRecordsReply(Message, kw_only=True, omit_defaults=True):
    """`count` is of all events that match. `value` is absent where no event has one, and so is what was not asked for.

    `others` counts the events whose values are in none of the `buckets`.
    """

    count: Int64
    value: float | None = None
    buckets: list[AggregateBucket] | None = None
    others: Int64 | None = None
    response_context: list[ResponseContext]


class RebuildIndex(Message, kw_only=True):
    namespace: NamespaceName = ""


class RebuildIndexReply(Message, kw_only=True):
    """The index that is going to be made is the one of this `number`."""

    number: Int64


class CompactSlices(Message, kw_only=True):
    namespace: NamespaceName = ""


class CompactSlicesReply(Message, kw_only=True):
    """`waiting` counts the slices that are going to be rewritten."""

    waiting: Int64


class ListSlices(Message, kw_only=True):
    namespace: NamespaceName = ""


class TimeSlice(Message, frozen=True, kw_only=True, omit_defaults=True):
    """A table of events from `start` on and before `end`, and how they lie in it.

    `closes_at` and `deleted_at` are when it is read for the last time, and when it is dropped; absent: never.
    Where its events lie in segments, `segments` counts the files, `segment_rows` the items of events in them and
    `segment_bytes` what they take; with `late` the table has events too, which came later.
    """

    start: Instant
    end: Instant
    table: str
    state: SliceState
    seconds_per_bucket: Duration
    event_buckets: Int64
    closes_at: Instant | None = None
    deleted_at: Instant | None = None
    segments: Int64 | None = None
    segment_rows: Int64 | None = None
    segment_bytes: Int64 | None = None
    late: bool | None = None


class ListSlicesReply(Message, kw_only=True):
    """The slices there are, the oldest first."""

    slices: list[TimeSlice]


class TimeSeriesCalls:
    """Events of many ids in the order of time: written once, read by id and interval, the newest first."""

    system = "timeseries"
    attunement = "soundstage.data.timeseries.attunement"

    @operation(
        WriteEventRecords,
        access="write",
        idempotent=True,
        errors=(NotFound, Forbidden, TooLarge, DataLoss),
        checks_types=True,
    )
    def write_event_records_sync(self) -> WriteEventRecordsReply:
        """All events are stored and stay so; sent again, they are the same events.

        If one of them is refused nothing is stored. Those of one id that lie together become visible together.
        """

    @operation(
        WriteEventRecords,
        access="write",
        idempotent=True,
        errors=(NotFound, Forbidden, TooLarge, DataLoss),
        checks_types=True,
    )
    def write_event_records(self) -> WriteEventRecordsReply:
        """All events are taken, and are stored within moments; those that wait are lost where their process crashes.

        They are checked as by `write_event_records_sync`. `exhausted`, when too many wait: none of them is taken.
        """

    @operation(ReadEventRecords, access="read", idempotent=True, errors=(NotFound, Forbidden, TooLarge, DataLoss))
    def read_event_records(self) -> ReadEventRecordsReply:
        """One page of the events of an id in an interval, the newest first; an unknown id reads as empty."""

    @operation(SearchEventRecords, access="read", idempotent=True, errors=(NotFound, TooLarge, Unavailable, DataLoss))
    def search_event_records(self) -> SearchEventRecordsReply:
        """One page of the events of all ids that match, the newest first, as the index knows them: seconds later."""

    @operation(
        AggregateEventRecords, access="read", idempotent=True, errors=(NotFound, TooLarge, Unavailable, DataLoss)
    )
    def aggregate_event_records(self) -> AggregateEventRecordsReply:
        """What is counted over the events of all ids that match, as the index knows them: seconds later."""

    @operation(RebuildIndex, access="admin", idempotent=True, errors=(NotFound,))
    def rebuild_index(self) -> RebuildIndexReply:
        """The index is made anew from the slices, and takes the old one's place when it is whole."""

    @feed(WatchEvents, access="read", errors=(NotFound, Forbidden))
    def watch_event_records(self) -> EventWritten:
        """Every write to a namespace that is watched, from a cursor on: in order for each id, and at least once.

        It tells of writes, whatever the times of their events; events that are stored again are told again. What the
        retention drops is not told.
        """

    @feed(Tail, access="read", errors=(NotFound, Forbidden, TooLarge, DataLoss))
    def tail(self) -> TailedEvent:
        """The events of an id as they come, in any namespace: soon after each is stored, and those of a look in order.

        Those that come more than 10 s later than newer ones are not shown, and after a cursor some may be shown again.
        """

    @job(ExportEvents, access="read", restart="resume", errors=(NotFound, Forbidden, TooLarge, DataLoss))
    def export_parquet(self) -> EventsExported:
        """The events of an interval are rows of one file of Parquet, for other programs and for `import_parquet`.

        It holds every event that was acknowledged before it began, once, and of those written meanwhile some; what
        reads do not show, as events of closed slices and of blocked ids, it does not have.
        """

    @job(ImportEvents, access="admin", restart="resume", errors=(NotFound, DataLoss, TooLarge))
    def import_parquet(self) -> EventsImported:
        """Every row of a file is an event of the namespace, stored as by `write_event_records_sync`.

        Slices of old times are made as they are needed. To repeat it is safe: rows of the same file are the same
        events. After a failure the rows before it are in.
        """

    @operation(CompactSlices, access="admin", idempotent=True, errors=(NotFound,))
    def compact_slices(self) -> CompactSlicesReply:
        """Slices whose events are not accepted any more are rewritten into segments as soon as may be.

        Without this they wait for `compaction.after`. It takes minutes at least; `list_slices` tells how far it is.
        """

    @operation(ListSlices, access="read", idempotent=True, errors=(NotFound,))
    def list_slices(self) -> ListSlicesReply:
        """The slices of a namespace, with their states and settings."""

    @operation(TimeSeriesHandshake, access="read", idempotent=True, errors=(NotFound,))
    def handshake(self) -> TimeSeriesHandshakeReply:
        """How clients of a namespace are to be: objectives, sizes of pages, when to send a call a second time."""

    @operation(PartitionHistogram, access="read", idempotent=True, errors=(NotFound,))
    def partition_histogram(self) -> PartitionHistogramReply:
        """How large the partitions of each slice are, as it was last looked at: in minutes, or now where never."""

    @operation(ListProposals, access="read", idempotent=True, errors=(NotFound,))
    def list_proposals(self) -> ListProposalsReply:
        """How slices to come should be cut, by what the last ones hold, and what became of earlier proposals."""

    @operation(DecideProposal, access="admin", errors=(NotFound, PreconditionFailed))
    def apply_proposal(self) -> PartitionProposal:
        """Slices that have not begun are cut as the proposal says, until it is reverted or the knobs change."""

    @operation(DecideProposal, access="admin", errors=(NotFound, PreconditionFailed))
    def reject_proposal(self) -> PartitionProposal:
        """The proposal is not made again for the layout that it is about."""

    @operation(DecideProposal, access="admin", errors=(NotFound, PreconditionFailed))
    def revert_proposal(self) -> PartitionProposal:
        """Slices that have not begun are cut as before the proposal, which is not made again for that layout."""


class TimeSeries(AsyncFace, TimeSeriesCalls):
    """The time series store, asynchronous: `stage.client(TimeSeries, "trips")`."""


class SyncTimeSeries(SyncFace, TimeSeriesCalls):
    """The time series store, synchronous: `stage.client(SyncTimeSeries, "trips")`."""


CALLS = TimeSeriesCalls
