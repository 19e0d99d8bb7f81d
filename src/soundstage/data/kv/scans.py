"""Walks over all records of a namespace, and pages of many records at once."""

from __future__ import annotations

from soundstage.core.errors import InvalidArgument, TooLarge
from soundstage.core.limits import check_id
from soundstage.core.pages import PageTokens
from soundstage.data.kv.api import (
    BatchGetItems,
    BatchRecord,
    GetItems,
    Item,
    ScanItems,
    ScannedRecord,
    Selection,
)
from soundstage.data.kv.cursors import Cursor, seal
from soundstage.data.kv.namespace import ServedNamespace
from soundstage.data.kv.pagination import Patience, RowEstimate
from soundstage.data.kv.predicates import checked, span_of
from soundstage.data.kv.reads import DEFAULT, Filling, read_page
from soundstage.engines.records.port import KEY_CEILING, Budget


async def scan_page(
    served: ServedNamespace, request: ScanItems, cursor: Cursor | None, patience: Patience, now_us: int
) -> tuple[list[ScannedRecord], Cursor | None]:
    """One page of the walk, and where it goes on."""
    selection = request.selection or DEFAULT
    if selection.reverse:
        raise InvalidArgument(
            "a scan has the engine's order", field="selection.reverse", hint="leave it out; sort what you receive"
        )
    filling = Filling(served, selection, cursor)
    estimate = RowEstimate(served.estimate.bytes if cursor is None else cursor.row_bytes)
    position = None if cursor is None else cursor.resume
    records: list[ScannedRecord] = []
    config = served.config
    while True:
        size = filling.bytes_left if filling.shape.include_values else filling.read_left
        rows = filling.limit_rows(estimate.rows_for(size, config.rows_min, config.rows_max))
        budget = Budget(rows, max(1, size), patience.stop_ns)
        page = await served.records.walk(
            served.table, request.segment, request.total_segments, position, budget, now_us
        )
        for partition, found in page.partitions:
            filling.has_read(found, served, estimate)
            _add(records, partition.decode(), [_taken(filling, row, served) for row in found])
        position = page.position
        if position is None or filling.items_left == 0:
            return records, None
        if filling.full or patience.is_over():
            return records, Cursor(served.view.generation, position, filling.items_left, estimate.bytes)


async def batch_pages(
    served: ServedNamespace, request: BatchGetItems, tokens: PageTokens, patience: Patience, now_us: int
) -> list[BatchRecord]:
    """A page per id, in their order; ids that the bytes of the reply did not reach are empty with a token."""
    _check_ids(request.ids, served.config.batch_ids_max)
    selection = request.selection or DEFAULT
    wanted = served.config.page_size_bytes if selection.page_size_bytes is None else selection.page_size_bytes
    left = min(int(wanted), int(served.config.page_size_max))
    replies: list[BatchRecord] = []
    over = False
    for record in request.ids:
        own = GetItems(namespace=request.namespace, id=record, predicate=request.predicate, selection=request.selection)
        if left <= 0 or over:
            replies.append(BatchRecord(id=record, items=[], next_page_token=_from_start(served, own, tokens)))
            continue
        part = GetItems(
            namespace=request.namespace,
            id=record,
            predicate=request.predicate,
            selection=_with_page_size(selection, left),
        )
        page = await read_page(served, part, None, patience, now_us)
        left -= sum(len(item.key) + (item.metadata.size if item.value is not None else 0) for item in page.items)
        token = None
        if page.resume is not None:
            cursor = Cursor(served.view.generation, page.resume, page.items_left, page.row_bytes)
            token = seal(tokens, own, cursor)
        replies.append(BatchRecord(id=record, items=page.items, next_page_token=token))
        over = patience.is_over()
    return replies


def _taken(filling: Filling, row: tuple[bytes, bytes], served: ServedNamespace) -> Item:
    # The store's budget was what is left of the page, so that everything it returned belongs in.
    item = filling.shape.item(*row)
    weight = len(row[0]) + len(row[1]) - (0 if item.value is not None else item.metadata.size)
    filling.items.append(item)
    filling.bytes_left -= weight
    if filling.items_left is not None:
        filling.items_left -= 1
    served.amplification.returned += weight
    return item


def _add(records: list[ScannedRecord], record: str, items: list[Item]) -> None:
    if records and records[-1].id == record:
        records[-1].items.extend(items)
    else:
        records.append(ScannedRecord(id=record, items=items))


def _check_ids(ids: list[str], most: int) -> None:
    if not ids:
        raise InvalidArgument("ids is empty", field="ids", hint="name at least one record")
    if len(ids) > most:
        raise TooLarge(f"ids has {len(ids)} entries, the limit is {most}", field="ids", hint="split the call")
    for index, record in enumerate(ids):
        check_id(record, f"ids[{index}]")


def _with_page_size(selection: Selection, size: int) -> Selection:
    return Selection(
        page_size_bytes=size,
        item_limit=selection.item_limit,
        reverse=selection.reverse,
        include_values=selection.include_values,
        max_value_bytes=selection.max_value_bytes,
    )


def _from_start(served: ServedNamespace, own: GetItems, tokens: PageTokens) -> str | None:
    """The token of a first page that was not read."""
    selection = own.selection or DEFAULT
    reverse = selection.reverse != served.descending
    predicate = checked(own.predicate)
    if predicate.match_keys is not None:
        resume = KEY_CEILING if reverse else b""
    else:
        span = span_of(predicate, reverse)
        if span is None:
            return None
        resume = (span.end or KEY_CEILING) if reverse else span.start
    return seal(tokens, own, Cursor(served.view.generation, resume, selection.item_limit, served.estimate.bytes))
