"""Pages of one record, by range or by keys."""

from __future__ import annotations

import msgspec

from soundstage.core.errors import DeadlineExceeded
from soundstage.core.limits import check_id
from soundstage.data.kv.api import GetItems, GetItemsReply, Item, Predicate, Selection
from soundstage.data.kv.cursors import Cursor
from soundstage.data.kv.items import Shape, item_of, token_of, weight_of
from soundstage.data.kv.namespace import ServedNamespace
from soundstage.data.kv.pagination import Patience, RowEstimate
from soundstage.data.kv.predicates import check_keys, checked, span_of
from soundstage.engines.records.port import Budget, Row, Span, Stamp

DEFAULT = Selection()


class PageResult(msgspec.Struct, gc=False):
    """A page and where the next one begins; `resume` None: there is none."""

    items: list[Item]
    stamp: Stamp | None
    resume: bytes | None
    items_left: int | None
    row_bytes: float


class Filling:
    """The page being filled: what is in it and what still fits."""

    __slots__ = ("bytes_left", "items", "items_left", "read_left", "shape")

    def __init__(self, served: ServedNamespace, selection: Selection, cursor: Cursor | None) -> None:
        config = served.config
        wanted = config.page_size_bytes if selection.page_size_bytes is None else selection.page_size_bytes
        self.bytes_left = min(int(wanted), int(config.page_size_max))
        self.items_left = selection.item_limit if cursor is None else cursor.items_left
        self.read_left = max(int(config.read_bytes_max), self.bytes_left)
        self.shape = Shape(selection)
        self.items: list[Item] = []

    @property
    def full(self) -> bool:
        return self.bytes_left <= 0 or self.items_left == 0 or self.read_left <= 0

    def take(self, row: Row, served: ServedNamespace) -> bool:
        """Put the row's item in; false when it does not fit and the page is not empty."""
        item = self.shape.item(*row)
        weight = weight_of(item, row[1])
        if self.items and (weight > self.bytes_left or self.items_left == 0):
            return False
        self.items.append(item)
        self.bytes_left -= weight
        if self.items_left is not None:
            self.items_left -= 1
        served.amplification.returned += weight
        return True

    def limit_rows(self, rows: int) -> int:
        """Of `rows`, as many as the limit on items allows, and one to see whether there are more."""
        return rows if self.items_left is None else min(rows, self.items_left)

    def has_read(self, rows: list[Row], served: ServedNamespace, estimate: RowEstimate) -> None:
        """Account for what the store returned."""
        size = sum(len(key) + len(cell) for key, cell in rows)
        self.read_left -= size
        served.amplification.read += size
        estimate.learn(len(rows), size)
        served.estimate.learn(len(rows), size)


async def get_one(served: ServedNamespace, record: str, key: bytes, now_us: int) -> GetItemsReply:
    """The short way of a read of one key: no page to fill, none to follow."""
    page = await served.records.get(served.table, check_id(record), (key,), now_us)
    return GetItemsReply(
        items=[item_of(*row) for row in page.rows],
        record_token=token_of(page.stamp),
    )


async def read_page(
    served: ServedNamespace, request: GetItems, cursor: Cursor | None, patience: Patience, now_us: int
) -> PageResult:
    """One page of a record. Raises `InvalidArgument` for a predicate or id that breaks the rules."""
    partition = check_id(request.id)
    selection = request.selection or DEFAULT
    predicate = checked(request.predicate)
    filling = Filling(served, selection, cursor)
    estimate = RowEstimate(served.estimate.bytes if cursor is None else cursor.row_bytes)
    reverse = selection.reverse != served.descending
    if predicate.match_keys is not None:
        keys = sorted(check_keys(predicate.match_keys.keys, "predicate.match_keys.keys[{}]"), reverse=reverse)
        return await _by_keys(served, partition, keys, filling, estimate, patience, cursor, now_us, reverse=reverse)
    span = _rest(predicate, cursor, reverse=reverse)
    if span is None:
        return PageResult([], None, None, filling.items_left, estimate.bytes)
    return await _by_span(served, partition, span, filling, estimate, patience, now_us)


async def _by_span(
    served: ServedNamespace,
    partition: bytes,
    span: Span,
    filling: Filling,
    estimate: RowEstimate,
    patience: Patience,
    now_us: int,
) -> PageResult:
    config = served.config
    while True:
        size = filling.bytes_left if filling.shape.include_values else filling.read_left
        rows = filling.limit_rows(estimate.rows_for(size, config.rows_min, config.rows_max))
        page = await served.records.read(
            served.table, partition, span, Budget(rows, max(1, size), patience.stop_ns), now_us
        )
        filling.has_read(page.rows, served, estimate)
        resume = page.resume
        for row in page.rows:
            if not filling.take(row, served):
                resume = row[0] + b"\0" if span.reverse else row[0]
                break
        if resume is None or filling.items_left == 0:
            return PageResult(filling.items, page.stamp, None, filling.items_left, estimate.bytes)
        if filling.full or resume != page.resume or patience.is_over():
            return PageResult(filling.items, page.stamp, resume, filling.items_left, estimate.bytes)
        span = _after(span, resume)


async def _by_keys(
    served: ServedNamespace,
    partition: bytes,
    keys: list[bytes],
    filling: Filling,
    estimate: RowEstimate,
    patience: Patience,
    cursor: Cursor | None,
    now_us: int,
    *,
    reverse: bool,
) -> PageResult:
    config = served.config
    if cursor is not None:
        keys = [key for key in keys if (key <= cursor.resume if reverse else key >= cursor.resume)]
    stamp: Stamp | None = None
    position = 0
    while True:
        size = filling.bytes_left if filling.shape.include_values else filling.read_left
        count = estimate.rows_for(size, config.rows_min, config.rows_max)
        chunk = keys[position : position + count]
        page = await served.records.get(served.table, partition, chunk, now_us)
        stamp = page.stamp
        filling.has_read(page.rows, served, estimate)
        position += len(chunk)
        for row in page.rows:
            if not filling.take(row, served):
                return PageResult(filling.items, stamp, row[0], filling.items_left, estimate.bytes)
        if position >= len(keys) or filling.items_left == 0:
            return PageResult(filling.items, stamp, None, filling.items_left, estimate.bytes)
        if filling.full or patience.is_over():
            return PageResult(filling.items, stamp, keys[position], filling.items_left, estimate.bytes)


async def count_rows(
    served: ServedNamespace, record: str, predicate: Predicate | None, patience: Patience, now_us: int
) -> tuple[int, bool]:
    """How many items match, and whether that is all; stops at the namespace's `count_limit` or in time."""
    partition = check_id(record)
    match = checked(predicate)
    if match.match_keys is not None:
        keys = check_keys(match.match_keys.keys, "predicate.match_keys.keys[{}]")
        page = await served.records.get(served.table, partition, keys, now_us)
        return len(page.rows), True
    span, count, limit = span_of(match), 0, served.config.count_limit
    while span is not None:
        rows = min(served.config.rows_max, limit - count)
        page = await served.records.read(
            served.table, partition, span, Budget(rows, int(served.config.read_bytes_max), patience.stop_ns), now_us
        )
        count += len(page.rows)
        if page.resume is None:
            break
        if count >= limit:
            return count, False
        if patience.is_over():
            return _early(count)
        span = _after(span, page.resume)
    return count, True


def _early(count: int) -> tuple[int, bool]:
    if not count:
        raise DeadlineExceeded(
            "no item could be counted in time", hint="allow more time", outcome="not_applied", retryable=True
        )
    return count, False


def _rest(predicate: Predicate, cursor: Cursor | None, *, reverse: bool) -> Span | None:
    span = span_of(predicate, reverse)
    return span if span is None or cursor is None else _after(span, cursor.resume)


def _after(span: Span, resume: bytes) -> Span:
    return Span(span.start, resume, True) if span.reverse else Span(resume, span.end, False)
