"""The operations of the key-value store, over the records engine that each namespace is bound to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from soundstage.core.call import Call
from soundstage.core.errors import DeadlineExceeded, InvalidArgument, SoundstageError, Unavailable
from soundstage.core.limits import check_id
from soundstage.core.message import IdempotencyToken
from soundstage.data.kv import namespace
from soundstage.data.kv.api import (
    BatchGetItems,
    BatchGetItemsReply,
    Condition,
    CountItems,
    CountItemsReply,
    DeleteItems,
    DeleteItemsReply,
    GetItems,
    GetItemsReply,
    PutItems,
    PutItemsReply,
    ScanItems,
    ScanItemsReply,
)
from soundstage.data.kv.conditions import conditional
from soundstage.data.kv.cursors import Cursor, seal, unseal
from soundstage.data.kv.items import token_of
from soundstage.data.kv.namespace import ServedNamespace
from soundstage.data.kv.pagination import Patience
from soundstage.data.kv.reads import count_rows, get_one, read_page
from soundstage.data.kv.scans import batch_pages, scan_page
from soundstage.data.kv.tokens import effective
from soundstage.data.kv.writes import delete_batch, put_batch
from soundstage.engines.records.port import Batch, Conditional, TableSpec
from soundstage.runtime.measurement import Measurement
from soundstage.runtime.service import ServiceContext


class KeyValueService:
    """Holds nothing but what it worked out of each namespace's configuration, and counts."""

    def __init__(self, context: ServiceContext) -> None:
        self._context = context
        self._view = context.namespaces.view
        self._now_us = context.environment.now_us
        self._served: dict[str, ServedNamespace] = {}

    async def start(self) -> None:
        """Nothing to open: namespaces bring their engines."""

    async def stop(self) -> None:
        self._served.clear()

    def tables(self, name: str, config: Any, capabilities: frozenset[str]) -> Sequence[TableSpec]:
        """See `namespace.tables`."""
        return namespace.tables(name, config, capabilities)

    async def put_items(self, call: Call, request: PutItems) -> PutItemsReply:
        served = self._serve(request.namespace)
        token = request.idempotency_token or self._context.clock.token()
        time_us = self._admit(served, token)
        partition = check_id(request.id)
        batch = put_batch(partition, request.items, time_us, token.token, served.config.chunk_threshold)
        stamp_us = await self._apply(served, call, partition, batch, request, token)
        return PutItemsReply(idempotency_token=effective(stamp_us, token.token))

    async def delete_items(self, call: Call, request: DeleteItems) -> DeleteItemsReply:
        served = self._serve(request.namespace)
        token = request.idempotency_token or self._context.clock.token()
        time_us = self._admit(served, token)
        partition = check_id(request.id)
        batch = delete_batch(request.predicate, time_us, token.token)
        stamp_us = await self._apply(served, call, partition, batch, request, token)
        return DeleteItemsReply(idempotency_token=effective(stamp_us, token.token))

    async def get_items(self, call: Call, request: GetItems) -> GetItemsReply:
        served = self._serve(request.namespace)
        predicate = request.predicate
        if (
            predicate is not None
            and (match := predicate.match_keys) is not None
            and len(match.keys) == 1
            and request.selection is None
            and request.page_token is None
            and predicate.match_all is None
            and predicate.match_range is None
            and len(match.keys[0]) <= 1_024
        ):
            return await get_one(served, request.id, match.keys[0], self._now_us())
        cursor = unseal(self._context.page_tokens, request, served.view.generation)
        page = await read_page(served, request, cursor, self._patience(call, served), self._now_us())
        following = None
        if page.resume is not None:
            next_cursor = Cursor(served.view.generation, page.resume, page.items_left, page.row_bytes)
            following = seal(self._context.page_tokens, request, next_cursor)
        return GetItemsReply(
            items=page.items,
            record_token=token_of(page.stamp) if cursor is None else None,
            next_page_token=following,
        )

    async def scan_items(self, call: Call, request: ScanItems) -> ScanItemsReply:
        served = self._serve(request.namespace)
        cursor = unseal(self._context.page_tokens, request, served.view.generation)
        patience = self._patience(call, served)
        records, following = await scan_page(served, request, cursor, patience, self._now_us())
        token = None if following is None else seal(self._context.page_tokens, request, following)
        return ScanItemsReply(records=records, next_page_token=token)

    async def batch_get_items(self, call: Call, request: BatchGetItems) -> BatchGetItemsReply:
        served = self._serve(request.namespace)
        tokens, patience = self._context.page_tokens, self._patience(call, served)
        return BatchGetItemsReply(records=await batch_pages(served, request, tokens, patience, self._now_us()))

    async def count_items(self, call: Call, request: CountItems) -> CountItemsReply:
        served = self._serve(request.namespace)
        patience = self._patience(call, served)
        count, exact = await count_rows(served, request.id, request.predicate, patience, self._now_us())
        return CountItemsReply(count=count, exact=exact)

    def measurements(self) -> Iterable[Measurement]:
        """Read amplification by namespace: bytes read from the store over bytes returned."""
        for name, served in self._served.items():
            labels = {"namespace": name}
            counted = served.amplification
            yield Measurement(
                "kv_read_bytes", "Keys and cells that the store returned", counted.read, "counter", labels
            )
            yield Measurement("kv_returned_bytes", "Of those, what replies held", counted.returned, "counter", labels)

    def _serve(self, name: str) -> ServedNamespace:
        view = self._view(name)
        served = self._served.get(name)
        if served is None or served.view is not view:
            served = self._served[name] = ServedNamespace(view, served)
        return served

    def _admit(self, served: ServedNamespace, token: IdempotencyToken) -> int:
        time_us = served.window.admit(token, self._now_us())
        self._context.clock.observe(time_us)
        return time_us

    def _patience(self, call: Call, served: ServedNamespace) -> Patience:
        return Patience(self._context.environment, call.deadline_ns, served.max_ns)

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
        try:
            return await served.records.apply(
                served.table, partition, batch, conditional=asked, deadline_ns=call.deadline_ns
            )
        except (Unavailable, DeadlineExceeded) as error:
            _tell_repeatable(error, request)
            raise

    def _conditional(
        self, served: ServedNamespace, condition: Condition | list[Condition], batch: Batch, token: IdempotencyToken
    ) -> Conditional:
        if not served.conditional:
            raise InvalidArgument(
                f"the namespace {served.name!r} takes no conditional writes",
                field="condition",
                hint="its knob conditional_writes is false and fixed: copy it into a namespace where it is true",
            )
        return conditional(condition, batch, token.token, self._now_us() + served.window.future_us)


def _tell_repeatable(error: SoundstageError, request: PutItems | DeleteItems) -> None:
    """Without a token of the caller's, a repetition would be another write."""
    if request.idempotency_token is None:
        error.retryable = False
        error.hint = "send an idempotency_token to make writes safe to repeat; read before writing again"


SERVICE = KeyValueService
