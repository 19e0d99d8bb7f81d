"""The operations of the key-value store, over the records engine that each namespace is bound to."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Sequence
from contextlib import aclosing, suppress
from typing import Any

from soundstage.core.call import Call
from soundstage.core.errors import DeadlineExceeded, InvalidArgument, NotFound, SoundstageError, Unavailable
from soundstage.core.feed import Position
from soundstage.core.limits import CALL_MAX_BYTES, KEY_MAX_BYTES, check_id
from soundstage.core.message import IdempotencyToken
from soundstage.core.streaming import Body, Content
from soundstage.data.changes.topics import Elsewhere, check_reach, drop_topics
from soundstage.data.kv import namespace
from soundstage.data.kv.api import (
    BatchGetItems,
    BatchGetItemsReply,
    Condition,
    CountItems,
    CountItemsReply,
    DeleteItems,
    DeleteItemsReply,
    ExportParquet,
    GetItems,
    GetItemsReply,
    GetValue,
    Handshake,
    HandshakeReply,
    ImportParquet,
    Item,
    ItemChange,
    MutateItems,
    MutateItemsReply,
    ParquetExported,
    ParquetImported,
    PutItems,
    PutItemsReply,
    PutValue,
    PutValueReply,
    ScanItems,
    ScanItemsReply,
    Truncate,
    TruncateReply,
    ValueInfo,
    WatchItems,
)
from soundstage.data.kv.batches import batch_pages
from soundstage.data.kv.conditions import conditional
from soundstage.data.kv.counts import count_rows
from soundstage.data.kv.cursors import Cursor, seal, unseal
from soundstage.data.kv.dictionaries.serving import DictionaryCalls
from soundstage.data.kv.erasing import Erasure, erase, is_last
from soundstage.data.kv.foreseen import answered_before
from soundstage.data.kv.hot_items import HotItem, HotItems
from soundstage.data.kv.items import item_of, token_of
from soundstage.data.kv.large_values import with_chunks
from soundstage.data.kv.mutations import Mutations
from soundstage.data.kv.namespace import ServedNamespace
from soundstage.data.kv.parquet.jobs import ParquetJobs
from soundstage.data.kv.predicates import wanted_of
from soundstage.data.kv.provisioning import Planned
from soundstage.data.kv.reads import filling_of, read_page
from soundstage.data.kv.scans import check_scan, scan_page
from soundstage.data.kv.selections import EVERYTHING, Filling, checked_selection
from soundstage.data.kv.shelf import TOLD_NS
from soundstage.data.kv.signalling import for_client, names_dictionary
from soundstage.data.kv.streamed_values import StreamedValues, Writing
from soundstage.data.kv.tokens import check_min_version, check_reached, effective, tell_repeatable
from soundstage.data.kv.truncated import eraser, stamp_of
from soundstage.data.kv.uploads import Swept, sweep
from soundstage.data.kv.watched import LOG_KNOB, TOPICS, ChangeLog
from soundstage.data.kv.watching import Watch
from soundstage.data.kv.writes import LargeValues, delete_batch, put_batch
from soundstage.data.pagination import Patience
from soundstage.engines.records.port import Batch, Conditional, Stamp, TableSpec
from soundstage.runtime.measurement import Measurement
from soundstage.runtime.service import ServiceContext
from soundstage.runtime.work.context import JobContext


class KeyValueService(DictionaryCalls, Planned):
    """Holds what it worked out of each namespace's configuration, items read lately, and counts."""

    def __init__(self, context: ServiceContext) -> None:
        super().__init__(context, self._serve)
        self._context = context
        self._clock = context.clock
        self._view = context.namespaces.view
        self._now_us = context.environment.now_us
        self._served: dict[str, ServedNamespace] = {}
        self._hot = HotItems(context.config.hot_items)
        self.mutations: Mutations = Mutations(context, self._serve)
        self._parquet = ParquetJobs(context, self._serve)
        writing = Writing(self._serve, self._token, self._conditional, self._applied, self._saw)
        self._streamed = StreamedValues(context.environment, writing)

    async def start(self) -> None:
        """Nothing to open: namespaces bring their engines."""

    async def stop(self) -> None:
        for served in self._served.values():
            if served.cached is not None:
                await served.cached.close()
        self._served.clear()
        self._hot.clear()

    def tables(self, name: str, config: Any, capabilities: frozenset[str]) -> Sequence[TableSpec]:
        """See `namespace.tables`."""
        if config.cache.engine is not None:
            cache = self._context.caches.cache(config.cache.engine, namespace.CACHE_ENGINE)
            namespace.check_cache(cache, capabilities)
        if config.watch:
            check_reach(capabilities, self._context.logs, Elsewhere(self._context.config.changes_log, LOG_KNOB))
        return namespace.tables(name, config, capabilities)

    def scopes(self, operation: str, request: Any) -> Sequence[str]:
        """The namespaces of a set of mutations."""
        return self.mutations.namespaces(request)

    async def mutate_items(self, call: Call, request: MutateItems) -> MutateItemsReply:
        return await self.mutations.accept(call, request)

    async def put_items(self, call: Call, request: PutItems) -> PutItemsReply:
        served = self._serve(request.namespace)
        token, time_us = self._token(served, request)
        partition = check_id(request.id)
        if served.packs and names_dictionary(request.items):
            await served.look()
        try:
            least = served.config.chunk_threshold
            batch = put_batch(partition, request.items, time_us, token.token, least, served.codecs)
        except LargeValues:
            return await self._put_large(call, served, partition, request, token, time_us)
        except InvalidArgument as refusal:
            return await answered_before(
                served, partition, request, time_us, self._conditional, refusal, call.deadline_ns
            )
        asked = None if request.condition is None else self._conditional(served, request.condition, batch, token)
        # Written out, as `_applied` has it: a coroutine more would be felt.
        try:
            stamp_us = await served.records.apply(
                served.table, partition, batch, conditional=asked, deadline_ns=call.deadline_ns
            )
        except (Unavailable, DeadlineExceeded) as error:
            tell_repeatable(error, request.idempotency_token)
            raise
        if asked is not None:
            # The stamp of a conditional write may lie past its token's time.
            self._saw(served, stamp_us)
        return PutItemsReply(idempotency_token=effective(token, stamp_us), remember_for=served.remember_for)

    async def _put_large(
        self,
        call: Call,
        served: ServedNamespace,
        partition: bytes,
        request: PutItems,
        token: IdempotencyToken,
        time_us: int,
    ) -> PutItemsReply:
        # What is known of a repetition is what was asked for, wherever its values lie.
        try:
            whole = put_batch(partition, request.items, time_us, token.token, CALL_MAX_BYTES, served.codecs)
        except InvalidArgument as refusal:
            return await answered_before(
                served, partition, request, time_us, self._conditional, refusal, call.deadline_ns
            )
        asked = None if request.condition is None else self._conditional(served, request.condition, whole, token)
        batch = await with_chunks(served, self._context.environment, partition, whole, call.deadline_ns)
        stamp_us = await self._applied(served, call, partition, batch, request, asked)
        return PutItemsReply(idempotency_token=effective(token, stamp_us), remember_for=served.remember_for)

    async def delete_items(self, call: Call, request: DeleteItems) -> DeleteItemsReply:
        served = self._serve(request.namespace)
        token, time_us = self._token(served, request)
        partition = check_id(request.id)
        batch = delete_batch(request.predicate, time_us, token.token)
        stamp_us = await self._apply(served, call, partition, batch, request, token)
        return DeleteItemsReply(idempotency_token=effective(token, stamp_us), remember_for=served.remember_for)

    async def get_items(self, call: Call, request: GetItems) -> GetItemsReply:
        served = self._serve(request.namespace)
        predicate = request.predicate
        # One item by its key, which is most of what is asked, has no page to fill and none to follow. All of this
        # is written out here: a call more would be felt.
        if (
            predicate is not None
            and (match := predicate.match_keys) is not None
            and type(match.keys) is list
            and len(match.keys) == 1
            and request.selection is None
            and request.page_token is None
            and request.min_version is None
            and predicate.match_all is None
            and predicate.match_range is None
            and type(key := match.keys[0]) is bytes
            and type(request.id) is str
            and len(key) <= KEY_MAX_BYTES
        ):
            address = (served, request.id, key)
            hot = self._hot.find(address)
            if hot is not None and (not hot.expires_us or self._now_us() < hot.expires_us):
                self._hot.found += 1
                if hot.stamp_us > served.clock.last_us:
                    self._saw(served, hot.stamp_us)
                items = [] if hot.item is None else [hot.item]
                return GetItemsReply(items=items, record_token=hot.record_token)
            if served.cached is not None:
                return await self._get_page(call, served, request, self._now_us())
            self._hot.missed += 1
            page = await served.records.get(served.table, check_id(request.id), (key,), self._now_us())
            if page.stamp is not None and page.stamp.time_us > served.clock.last_us:
                self._saw(served, page.stamp.time_us)
            item, token = item_of(*page.rows[0]) if page.rows else None, token_of(page.stamp)
            if item is not None and item.value is None:
                return await self._get_page(call, served, request, self._now_us())
            if page.mark is not None and page.stamp is not None and self._hot.admits(address):
                self._hot.keep(address, HotItem(page.mark, item, token, page.stamp.time_us, _expires_us(item)))
            return GetItemsReply(items=[] if item is None else [item], record_token=token)
        return await self._get_page(call, served, request, self._now_us())

    async def _get_page(self, call: Call, served: ServedNamespace, request: GetItems, now_us: int) -> GetItemsReply:
        partition = check_id(request.id)
        selection = checked_selection(request.selection)
        wanted = wanted_of(request.predicate, reverse=selection.reverse != served.descending)
        check_min_version(request.min_version)
        cursor = unseal(self._context.page_tokens, request, served.view.generation)
        if cursor is not None:
            wanted = wanted.after(cursor.resume)
        filling = filling_of(served, selection, cursor)
        patience = self._patience(call, served, "get_items")
        question = None
        if served.cached is not None and cursor is None and selection is EVERYTHING:
            question = served.cached.question(wanted)
        page = await read_page(
            served, partition, wanted, filling, patience, now_us, question=question, least=request.min_version
        )
        check_reached(request.min_version, page.stamp)
        self._saw(served, 0 if page.stamp is None else page.stamp.time_us)
        return GetItemsReply(
            items=page.items,
            record_token=token_of(page.stamp) if cursor is None else None,
            next_page_token=self._following(served, request, page.resume, filling),
        )

    async def scan_items(self, call: Call, request: ScanItems) -> ScanItemsReply:
        served = self._serve(request.namespace)
        selection = checked_selection(request.selection)
        check_scan(selection)
        cursor = unseal(self._context.page_tokens, request, served.view.generation)
        patience = self._patience(call, served, "scan_items")
        scanned, filling = await scan_page(served, request, selection, cursor, patience, self._now_us())
        self._saw(served, scanned.newest_us)
        return ScanItemsReply(
            records=scanned.records,
            next_page_token=self._following(served, request, scanned.position, filling),
        )

    async def batch_get_items(self, call: Call, request: BatchGetItems) -> BatchGetItemsReply:
        served = self._serve(request.namespace)
        patience = self._patience(call, served, "batch_get_items")
        records, newest_us = await batch_pages(served, request, self._context.page_tokens, patience, self._now_us())
        self._saw(served, newest_us)
        return BatchGetItemsReply(records=records)

    async def count_items(self, call: Call, request: CountItems) -> CountItemsReply:
        served = self._serve(request.namespace)
        partition, wanted = check_id(request.id), wanted_of(request.predicate)
        patience = self._patience(call, served, "count_items")
        count, exact = await count_rows(served, partition, wanted, patience, self._now_us())
        return CountItemsReply(count=count, exact=exact)

    async def handshake(self, call: Call, request: Handshake) -> HandshakeReply:
        served = self._serve(request.namespace)
        if served.packs:
            with suppress(SoundstageError):
                # What is known will do while the store is down.
                await served.look(TOLD_NS)
        return HandshakeReply(signals=for_client(served.signals, request.client))

    def signals(self, namespace: str) -> str:
        """The version of what a namespace tells its clients, if that is worth asking for."""
        served = self._served.get(namespace)
        return "" if served is None else served.announced

    async def watch_items(self, call: Call, request: WatchItems) -> AsyncGenerator[ItemChange | Position]:
        watch = Watch(request, lambda: self._serve(request.namespace), self._context.environment)
        served = self._serve(request.namespace)
        async with aclosing(watch.messages()) as messages:
            async for message in messages:
                if type(message) is ItemChange:
                    # Another server may have written it, whose clock is ahead of this one's.
                    self._saw(served, message.idempotency_token.generation_time // 1_000)
                yield message

    async def check_export_parquet(self, call: Call, request: ExportParquet) -> None:
        await self._parquet.check_export(request)

    async def export_parquet(self, call: Call, request: ExportParquet, job: JobContext) -> ParquetExported:
        return await self._parquet.export(request, job)

    async def check_import_parquet(self, call: Call, request: ImportParquet) -> None:
        await self._parquet.check_import(call, request)

    async def import_parquet(self, call: Call, request: ImportParquet, job: JobContext) -> ParquetImported:
        return await self._parquet.fill(request, job)

    async def truncate(self, call: Call, request: Truncate) -> TruncateReply:
        served = self._serve(request.namespace)
        if request.confirm != served.name:
            raise InvalidArgument(
                f"confirm is {request.confirm[:80]!r}, not the namespace's name",
                field="confirm",
                hint=f"all records of {served.name!r} are going to be gone for good: send its name to say so",
            )
        token, time_us = self._token(served, request)
        at = stamp_of(time_us, token.token)
        if served.changes is not None:
            # First, as with every write: who follows never misses what was acknowledged.
            await served.changes.tell_truncated(eraser(at), call.deadline_ns)
        await self._context.truncations.truncate(served.name, served.view.generation, at, call.principal.name)
        return TruncateReply(idempotency_token=effective(token, time_us))

    def truncated(self) -> list[tuple[str, Stamp, bool]]:
        """The namespaces of which something is hidden, by which truncation, and whether the last pass is due."""
        now_us, views = self._now_us(), self._context.namespaces.all()
        return [
            (view.name, view.truncated, is_last(self._serve(view.name), view.truncated, now_us))
            for view in views
            if view.truncated is not None
        ]

    async def erase_truncated(self, name: str, check: Callable[[], None]) -> Erasure | None:
        """What was truncated of a namespace is gone from its engine; None where nothing was. See `erasing`."""
        served = self._serve(name)
        at = served.view.truncated
        if at is None:
            return None
        erasure = await erase(served, self._context.environment, check)
        if erasure.last:
            await self._context.truncations.forget_truncation(name, served.view.generation, at)
        return erasure

    async def put_value(self, call: Call, request: PutValue, body: Body) -> PutValueReply:
        return await self._streamed.put(call, request, body)

    async def get_value(self, call: Call, request: GetValue) -> Content[ValueInfo]:
        return await self._streamed.get(request)

    async def drop_topics(self, generations: Collection[int], suspects: Collection[str]) -> set[str]:
        """See `changes.topics.drop_topics`."""
        return await drop_topics(self._context.logs, TOPICS, generations, suspects)

    async def sweep_values(self, name: str, limit: int) -> Swept:
        """Up to `limit` large values of a namespace were looked at whose turn it is; see `uploads`."""
        served = self._serve(name)
        swept = await sweep(served, self._context.environment, limit)
        served.dropped += swept.dropped
        return swept

    def measurements(self) -> Iterable[Measurement]:
        """Reads of hot items, and by namespace how many bytes were read from the store over those returned."""
        for outcome, times in (("found", self._hot.found), ("missed", self._hot.missed)):
            yield Measurement(
                "kv_hot_items", "Reads of one item that found it kept, or not", times, "counter", {"outcome": outcome}
            )
        for name, served in list(self._served.items()):
            try:
                self._view(name)
            except SoundstageError as error:
                # Deleted, or not to be served: neither is counted, nor kept for as long as the process lives.
                del self._served[name]
                if served.cached is not None and isinstance(error, NotFound):
                    served.cached.heads.stop()
                continue
            labels = {"namespace": name}
            counted = served.amplification
            yield Measurement(
                "kv_read_bytes", "Keys and cells that pages made the store return", counted.read, "counter", labels
            )
            yield Measurement(
                "kv_values_dropped", "Large values whose chunks were removed", served.dropped, "counter", labels
            )
            yield Measurement("kv_returned_bytes", "Of those, what replies held", counted.returned, "counter", labels)
            if served.cached is not None:
                yield from served.cached.measurements(labels)

    def _serve(self, name: str) -> ServedNamespace:
        view = self._view(name)
        served = self._served.get(name)
        if served is None or served.view is not view:
            context = self._context
            environment, changes = context.environment, None
            if view.config.watch:
                changes = ChangeLog(view, context.logs, context.config.changes_log, environment)
            served = self._served[name] = ServedNamespace(view, environment, served, changes, context.caches)
        return served

    def _token(
        self, served: ServedNamespace, request: PutItems | DeleteItems | PutValue | Truncate
    ) -> tuple[IdempotencyToken, int]:
        """The token of a write, the caller's or else one made here, and its time."""
        token = request.idempotency_token
        if token is None:
            token = served.clock.token()
            time_us = token.generation_time // 1_000
            now_us = self._now_us()
            if time_us > now_us:
                served.window.check_own(time_us, now_us)
            self._clock.observe(time_us, now_us)
            return token, time_us
        time_us = served.window.admit(token, self._now_us())
        self._saw(served, time_us)
        return token, time_us

    def _saw(self, served: ServedNamespace, time_us: int) -> None:
        """A reply names a write of that time: those that this process makes tokens for from here on are later."""
        served.clock.observe(time_us)
        self._clock.observe(time_us)

    def _patience(self, call: Call, served: ServedNamespace, operation: str) -> Patience:
        return Patience(self._context.environment, call.deadline_ns, served.max_ns[operation])

    def _following(
        self, served: ServedNamespace, request: GetItems | ScanItems, resume: bytes | None, filling: Filling
    ) -> str | None:
        """The token of the page that goes on at `resume`; none after the last."""
        if resume is None:
            return None
        cursor = Cursor(served.view.generation, resume, filling.items_left, filling.estimate.bytes)
        return seal(self._context.page_tokens, request, cursor)

    async def _apply(
        self,
        served: ServedNamespace,
        call: Call,
        partition: bytes,
        batch: Batch,
        request: PutItems | DeleteItems,
        token: IdempotencyToken,
    ) -> int:
        asked = None if request.condition is None else self._conditional(served, request.condition, batch, token)
        return await self._applied(served, call, partition, batch, request, asked)

    async def _applied(
        self,
        served: ServedNamespace,
        call: Call,
        partition: bytes,
        batch: Batch,
        request: PutItems | DeleteItems | PutValue,
        asked: Conditional | None,
    ) -> int:
        try:
            stamp_us = await served.records.apply(
                served.table, partition, batch, conditional=asked, deadline_ns=call.deadline_ns
            )
        except (Unavailable, DeadlineExceeded) as error:
            tell_repeatable(error, request.idempotency_token)
            raise
        if asked is not None:
            # The stamp of a conditional write may lie past its token's time.
            self._saw(served, stamp_us)
        return stamp_us

    def _conditional(
        self, served: ServedNamespace, condition: Condition | list[Condition], batch: Batch, token: IdempotencyToken
    ) -> Conditional:
        if not served.conditional:
            raise InvalidArgument(
                f"the namespace {served.name!r} takes no conditional writes",
                field="condition",
                hint="its knob conditional_writes is false and fixed: copy it into a namespace where it is true",
            )
        # A record's newest version may lie at the limit of the future; what comes after it is a tick beyond.
        return conditional(condition, batch, token.token, self._now_us() + served.window.future_us + 1)


def _expires_us(item: Item | None) -> int:
    """0 for what does not expire."""
    return 0 if item is None or item.metadata.expires_at is None else item.metadata.expires_at // 1_000


SERVICE = KeyValueService
