"""The operations of the time series store, over the records engine that each namespace is bound to."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Sequence
from contextlib import aclosing
from typing import Any

from soundstage.core.call import Call
from soundstage.core.errors import NotFound, SoundstageError
from soundstage.core.feed import Position
from soundstage.core.provisioning import Design, Excuse, Terrain, Workload
from soundstage.core.time import INT64_MAX, INT64_MIN, Duration, Instant
from soundstage.data import cursors
from soundstage.data.changes.topics import Elsewhere, check_reach, drop_topics
from soundstage.data.pagination import Patience
from soundstage.data.timeseries import namespace, provisioning
from soundstage.data.timeseries.api import (
    AggregateEventRecords,
    AggregateEventRecordsReply,
    CompactSlices,
    CompactSlicesReply,
    EventsExported,
    EventsImported,
    EventWritten,
    ExportEvents,
    ImportEvents,
    ListSlices,
    ListSlicesReply,
    ReadEventRecords,
    ReadEventRecordsReply,
    RebuildIndex,
    RebuildIndexReply,
    ResponseContext,
    SearchEventRecords,
    SearchEventRecordsReply,
    Tail,
    TailedEvent,
    TimeSeriesHandshake,
    TimeSeriesHandshakeReply,
    TimeSlice,
    WatchEvents,
    WriteEventRecords,
    WriteEventRecordsReply,
)
from soundstage.data.timeseries.api.partitions import (
    DecideProposal,
    ListProposals,
    ListProposalsReply,
    PartitionHistogram,
    PartitionHistogramReply,
    PartitionProposal,
)
from soundstage.data.timeseries.compaction.compactor import check_library
from soundstage.data.timeseries.compaction.rounds import Compactions
from soundstage.data.timeseries.cursors import READ, SEARCH, Cursor
from soundstage.data.timeseries.draining import Drains
from soundstage.data.timeseries.events import EventKey, check_series, records_of
from soundstage.data.timeseries.feed import LOG_KNOB, digest_of
from soundstage.data.timeseries.index.keeping import Keeping
from soundstage.data.timeseries.index.notes import rebuild
from soundstage.data.timeseries.index.searching import ENGINE_KNOB, SearchCursor, Searching
from soundstage.data.timeseries.namespace import ServedNamespace
from soundstage.data.timeseries.parquet.jobs import ParquetJobs
from soundstage.data.timeseries.partitioning import observing, repartitioning
from soundstage.data.timeseries.partitioning.proposals import Proposals
from soundstage.data.timeseries.reads import PageReading, PageResult, Wanted, filters_of, interval_of
from soundstage.data.timeseries.segments.reading import ENGINE_KNOB as ENGINE_KNOB_OF_SEGMENTS
from soundstage.data.timeseries.segments.reading import Segments
from soundstage.data.timeseries.slices import Slice
from soundstage.data.timeseries.tailing import Tailing
from soundstage.data.timeseries.watched import LOG_KNOB as CHANGES_KNOB
from soundstage.data.timeseries.watched import TOPICS, topic_of
from soundstage.data.timeseries.watching import Watch
from soundstage.data.timeseries.writes import check, write
from soundstage.engines.records.port import TableSpec
from soundstage.runtime.leases import LeaseLost
from soundstage.runtime.measurement import Measurement
from soundstage.runtime.service import ServiceContext
from soundstage.runtime.work.context import JobContext


class TimeSeriesService:
    """Holds what it worked out of each namespace's configuration, the slices it knows, and counts."""

    capacity_model: str | None = provisioning.CAPACITY_MODEL
    plan: Callable[[Workload, Terrain], Design | Excuse] = staticmethod(provisioning.plan)
    capacity_arguments: Callable[[Workload], dict[str, Any]] = staticmethod(provisioning.capacity_arguments)

    def __init__(self, context: ServiceContext) -> None:
        self._context = context
        self._environment = context.environment
        self._served: dict[str, ServedNamespace] = {}
        self._indexes = Keeping(context, self._serve)
        self._segments = Segments(context.blobs, context.compute, context.environment)
        self._compactions = Compactions(context, self._segments, self._serve)
        self._drains = Drains(self._serve, context.environment)
        self._parquet = ParquetJobs(context, self._serve)

    async def start(self) -> None:
        """The table exists that says which indexes there may be; namespaces bring their engines."""
        await self._indexes.start()

    async def stop(self) -> None:
        """What was taken and waits is stored, where the stores take it."""
        await self._drains.stop()
        self._served.clear()

    def tables(self, name: str, config: Any, capabilities: frozenset[str]) -> Sequence[TableSpec]:
        """See `namespace.tables`. The engines that an index needs are there."""
        if config.index is not None:
            self._context.searches.search(config.index.engine, ENGINE_KNOB)
            self._context.logs.log(config.index.log, LOG_KNOB)
        if config.compaction is not None:
            check_library()
            self._context.blobs.blobs(config.compaction.engine, ENGINE_KNOB_OF_SEGMENTS)
        if config.watch:
            check_reach(capabilities, self._context.logs, Elsewhere(self._context.config.changes_log, CHANGES_KNOB))
        return namespace.tables(name, config, capabilities)

    async def write_event_records_sync(self, call: Call, request: WriteEventRecords) -> WriteEventRecordsReply:
        began_ns, served = self._environment.monotonic_ns(), self._serve(request.namespace)
        records = records_of(request.events, served.blocked)
        await write(served, records, self._environment.now_ns(), call.deadline_ns)
        return WriteEventRecordsReply(response_context=self._took(served, began_ns))

    async def write_event_records(self, call: Call, request: WriteEventRecords) -> WriteEventRecordsReply:
        began_ns, served = self._environment.monotonic_ns(), self._serve(request.namespace)
        records = records_of(request.events, served.blocked)
        fresh = await check(served, records, self._environment.now_ns(), call.deadline_ns)
        knobs = served.config.queue_buffering
        if fresh:
            served.buffer.offer(fresh, knobs.buffer_capacity, knobs.drain_per_second, self._environment.monotonic_ns())
            self._drains.wake(served)
        return WriteEventRecordsReply(response_context=self._took(served, began_ns))

    async def read_event_records(self, call: Call, request: ReadEventRecords) -> ReadEventRecordsReply:
        began_ns, served = self._environment.monotonic_ns(), self._serve(request.namespace)
        series = check_series(request.time_series_id, served.blocked, "time_series_id")
        start_ns, resume = interval_of(request.time_interval)
        filters = filters_of(request.event_filters)
        cursor = cursors.unseal(self._context.page_tokens, READ, request, Cursor, served.view.generation)
        wanted = Wanted(
            series=series,
            start_ns=start_ns,
            resume=resume if cursor is None else cursor.resume,
            filters=filters,
            records=request.page_size or served.config.page_size,
            records_left=request.total_record_limit if cursor is None else cursor.records_left,
            needed=None if cursor is None else cursor.needed,
            stalled=cursor is not None and cursor.stalled,
        )
        await served.catalogue.refresh()
        patience = Patience(self._environment, call.deadline_ns, served.max_ns)
        reading = PageReading(served, wanted, self._environment, patience, partial=request.allow_partial)
        page = await reading.run()
        return ReadEventRecordsReply(
            records=page.events,
            next_page_token=self._following(served, request, wanted, page),
            partial=True if request.allow_partial and page.cut else None,
            response_context=self._took(served, began_ns),
        )

    async def search_event_records(self, call: Call, request: SearchEventRecords) -> SearchEventRecordsReply:
        began_ns, served = self._environment.monotonic_ns(), self._serve(request.namespace)
        interval_of(request.time_interval)
        cursor = cursors.unseal(self._context.page_tokens, SEARCH, request, SearchCursor, served.view.generation)
        left = request.total_record_limit if cursor is None else cursor.records_left
        records = request.page_size or served.config.page_size
        resume = None if cursor is None else EventKey(cursor.series, cursor.time_ns, cursor.event_id)
        searching = await self._searching(served, call)
        page = await searching.page(
            request.time_interval, request.search_query, records if left is None else min(left, records), resume
        )
        token, left = None, None if left is None else left - len(page.events)
        if page.resume is not None and left != 0:
            place = SearchCursor(served.view.generation, *page.resume, left)
            token = cursors.seal(self._context.page_tokens, SEARCH, request, place)
        return SearchEventRecordsReply(
            records=page.events, next_page_token=token, response_context=self._took(served, began_ns)
        )

    async def aggregate_event_records(self, call: Call, request: AggregateEventRecords) -> AggregateEventRecordsReply:
        began_ns, served = self._environment.monotonic_ns(), self._serve(request.namespace)
        interval_of(request.time_interval)
        reply = await (await self._searching(served, call)).aggregate(request)
        reply.response_context = self._took(served, began_ns)
        return reply

    async def rebuild_index(self, call: Call, request: RebuildIndex) -> RebuildIndexReply:
        served = self._serve(request.namespace)
        await self._searching(served, call)
        return RebuildIndexReply(number=await rebuild(served))

    async def _searching(self, served: ServedNamespace, call: Call) -> Searching:
        await served.catalogue.refresh()
        return Searching(served, self._context.searches, self._environment.now_ns(), call.deadline_ns)

    async def watch_event_records(self, call: Call, request: WatchEvents) -> AsyncGenerator[EventWritten | Position]:
        watch = Watch(request, lambda: self._serve(request.namespace), self._environment)
        async with aclosing(watch.messages()) as messages:
            async for message in messages:
                yield message

    async def tail(self, call: Call, request: Tail) -> AsyncGenerator[TailedEvent | Position]:
        tailing = Tailing(request, lambda: self._serve(request.namespace), self._environment)
        async with aclosing(tailing.messages()) as messages:
            async for message in messages:
                yield message

    async def drop_topics(self, generations: Collection[int], suspects: Collection[str]) -> set[str]:
        """See `changes.topics.drop_topics`."""
        return await drop_topics(self._context.logs, TOPICS, generations, suspects)

    async def check_export_parquet(self, call: Call, request: ExportEvents) -> None:
        await self._parquet.check_export(request)

    async def export_parquet(self, call: Call, request: ExportEvents, job: JobContext) -> EventsExported:
        return await self._parquet.export(request, job)

    async def check_import_parquet(self, call: Call, request: ImportEvents) -> None:
        await self._parquet.check_import(call, request)

    async def import_parquet(self, call: Call, request: ImportEvents, job: JobContext) -> EventsImported:
        return await self._parquet.fill(request, job)

    async def handshake(self, call: Call, request: TimeSeriesHandshake) -> TimeSeriesHandshakeReply:
        return TimeSeriesHandshakeReply(signals=self._serve(request.namespace).signals)

    def signals(self, namespace: str) -> str:
        """See `Signalling`."""
        served = self._served.get(namespace)
        return "" if served is None else served.announced

    async def list_slices(self, call: Call, request: ListSlices) -> ListSlicesReply:
        served = self._serve(request.namespace)
        await served.catalogue.refresh()
        now_ns = self._environment.now_ns()
        return ListSlicesReply(slices=[_told(served, each, now_ns) for each in served.catalogue.slices])

    async def partition_histogram(self, call: Call, request: PartitionHistogram) -> PartitionHistogramReply:
        return await observing.tell(self._serve(request.namespace), request.slice, self._environment)

    async def list_proposals(self, call: Call, request: ListProposals) -> ListProposalsReply:
        return await repartitioning.tell(self._serve(request.namespace), self._environment)

    async def apply_proposal(self, call: Call, request: DecideProposal) -> PartitionProposal:
        served, by = self._serve(request.namespace), call.principal.name
        proposals = Proposals(served.table, self._environment)
        found = await proposals.apply(served.name, request.number, served.layout, by, request.why)
        return repartitioning.told(found)

    async def reject_proposal(self, call: Call, request: DecideProposal) -> PartitionProposal:
        served, by = self._serve(request.namespace), call.principal.name
        proposals = Proposals(served.table, self._environment)
        return repartitioning.told(await proposals.reject(served.name, request.number, by, request.why))

    async def revert_proposal(self, call: Call, request: DecideProposal) -> PartitionProposal:
        served, by = self._serve(request.namespace), call.principal.name
        proposals = Proposals(served.table, self._environment)
        found = await proposals.revert(served.name, request.number, served.layout, by, request.why)
        return repartitioning.told(found)

    async def observe(self, name: str, check: Callable[[], None]) -> None:
        """The partitions of slices that were due are measured, and what follows for slices to come is done."""
        await observing.observe(self._serve(name), self._environment, check)
        await repartitioning.repartition(self._serve(name), self._environment, check)

    async def compact_slices(self, call: Call, request: CompactSlices) -> CompactSlicesReply:
        return CompactSlicesReply(waiting=await self._compactions.ask(self._serve(request.namespace)))

    async def compact(self, name: str, check: Callable[[], None]) -> bool:
        """A step of rewriting the slices of a namespace was done; whether another is due at once."""
        return await self._compactions.round(self._serve(name), check)

    async def clear_left(self, name: str, check: Callable[[], None]) -> None:
        """What slices of a namespace had before they were rewritten is gone, where that is due."""
        await self._compactions.clear_left(self._serve(name), check)

    async def clear_segments(self, check: Callable[[], None]) -> None:
        """Namespaces that are gone have no segments any more."""
        await self._compactions.clear(self._is_digest_gone, check)

    def _is_digest_gone(self, name: str, digest: str) -> bool:
        """Whether the namespace of that name and digest was deleted."""
        try:
            return digest_of(self._context.namespaces.view(name)) != digest
        except NotFound:
            return True
        except SoundstageError:
            return False

    async def tend(self, name: str, check: Callable[[], None]) -> None:
        """Slices that a namespace is to keep no longer are gone, and the one that it is about to need exists.

        What cannot be made, as there is no room for it, keeps nothing from being dropped, and what cannot be dropped
        keeps nothing from being made.
        """
        now_ns, failed = self._environment.now_ns(), None
        try:
            # Asked for each time: how long slices are kept may have been prolonged in the meantime.
            await self._serve(name).catalogue.drop(
                lambda each: self._serve(name).lifetime.state(each, now_ns) == "deleted",
                check,
                self._compactions.clear_run,
            )
        except LeaseLost:
            raise
        except SoundstageError as error:
            failed = error
        served = self._serve(name)
        await served.catalogue.prepare(self._environment.now_ns(), served.layout, dedicated=served.dedicated)
        if failed is not None:
            raise failed

    async def tend_index(self, name: str, check: Callable[[], None]) -> bool:
        """See `Keeping.tend`."""
        return await self._indexes.tend(name, check)

    async def drop_indexes(self, check: Callable[[], None]) -> None:
        """See `Keeping.drop_left`."""
        await self._indexes.drop_left(check)

    def rest_indexes(self) -> None:
        """See `Keeping.rest`."""
        self._indexes.rest()

    def rest_compactions(self) -> None:
        """See `Compactions.rest`."""
        self._compactions.rest()

    def names(self) -> list[str]:
        """The namespaces that are served."""
        return [view.name for view in self._context.namespaces.all()]

    def measurements(self) -> Iterable[Measurement]:
        """By namespace: events written, refused as late, read and queued, and the reads of partitions that took."""
        for name, served in list(self._served.items()):
            if self._is_gone(name):
                # Neither counted, nor kept for as long as the process lives.
                del self._served[name]
                self._compactions.forget(name)
                continue
            labels, tally = {"namespace": name}, served.tally
            for metric, help, value in (
                ("timeseries_events_written", "Events stored, those sent again included", tally.written),
                ("timeseries_events_late", "Events refused as too old", tally.refused),
                ("timeseries_events_read", "Events returned", tally.read),
                ("timeseries_partition_reads", "Reads of single partitions that pages took", tally.partitions_read),
            ):
                yield Measurement(metric, help, value, "counter", labels)
            yield from served.buffer.measurements(labels)
            yield from self._indexes.measurements(name, labels)
            yield from self._compactions.measurements(name, labels)
            slices = len(served.catalogue.slices)
            yield Measurement("timeseries_slices", "Time slices there are", slices, "gauge", labels)

    def _is_gone(self, name: str) -> bool:
        """Whether the namespace was deleted; one that cannot be served for now is to find all as it was."""
        try:
            self._context.namespaces.view(name)
        except NotFound:
            return True
        except SoundstageError:
            return False
        return False

    def _serve(self, name: str) -> ServedNamespace:
        view = self._context.namespaces.view(name)
        served = self._served.get(name)
        if served is None or served.view is not view:
            context, changes = self._context, None
            if view.config.watch:
                changes = topic_of(view, context.logs, context.config.changes_log, self._environment)
            served = self._served[name] = ServedNamespace(
                view, self._environment, context.clock, context.logs, self._segments, served, changes
            )
        return served

    def _following(
        self, served: ServedNamespace, request: ReadEventRecords, wanted: Wanted, page: PageResult
    ) -> str | None:
        """The token of the page that goes on where this one ended; none after the last."""
        if page.resume is None:
            return None
        left = None if wanted.records_left is None else wanted.records_left - len(page.events)
        stalled = page.cut and page.resume == wanted.resume
        cursor = Cursor(served.view.generation, page.resume, left, page.needed, stalled)
        return cursors.seal(self._context.page_tokens, READ, request, cursor)

    def _took(self, served: ServedNamespace, began_ns: int) -> list[ResponseContext]:
        taken = Duration(self._environment.monotonic_ns() - began_ns)
        return [ResponseContext(namespace=served.name, time_taken=taken)]


def _told(served: ServedNamespace, found: Slice, now_ns: int) -> TimeSlice:
    lifetime, kept, compacted = served.lifetime, served.lifetime.kept, found.moved.compacted
    return TimeSlice(
        start=Instant(max(found.start, INT64_MIN)),
        end=Instant(min(found.end, INT64_MAX)),
        table=found.table,
        state=lifetime.state(found, now_ns),
        seconds_per_bucket=Duration(found.bucket_ns),
        event_buckets=found.event_buckets,
        segments=None if compacted is None else compacted.files,
        segment_rows=None if compacted is None else compacted.rows,
        segment_bytes=None if compacted is None else compacted.bytes,
        late=True if compacted is not None and found.tables else None,
        closes_at=None if kept.close_ns is None else Instant(lifetime.closes_at(found, INT64_MAX)),
        deleted_at=None if kept.delete_ns is None else Instant(lifetime.deleted_at(found, INT64_MAX)),
    )


SERVICE = TimeSeriesService
