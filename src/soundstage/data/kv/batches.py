"""Pages of many records in one reply."""

from __future__ import annotations

from soundstage.core.errors import InvalidArgument, TooLarge
from soundstage.core.limits import check_id
from soundstage.core.pages import PageTokens
from soundstage.data.kv.api import BatchGetItems, BatchRecord, GetItems
from soundstage.data.kv.cursors import Cursor, seal
from soundstage.data.kv.namespace import ServedNamespace
from soundstage.data.kv.predicates import wanted_of
from soundstage.data.kv.reads import filling_of, read_ahead, read_page, shaped
from soundstage.data.kv.selections import checked_selection
from soundstage.data.pagination import Patience
from soundstage.engines.records.port import Page, Stamp

READS_AT_ONCE = 64
"""Records read together before others are let run; about a millisecond."""


async def batch_pages(
    served: ServedNamespace, request: BatchGetItems, tokens: PageTokens, patience: Patience, now_us: int
) -> tuple[list[BatchRecord], int]:
    """A page per id, in their order, and the greatest time in their records.

    Ids that the bytes of the reply, or the time, did not reach come empty with a token. `item_limit` is of
    each record.
    """
    partitions = _partitions(request.ids, served.config.batch_ids_max)
    selection = checked_selection(request.selection)
    wanted = wanted_of(request.predicate, reverse=selection.reverse != served.descending)
    filling = filling_of(served, selection, None)
    records: list[BatchRecord] = []
    ahead: list[Page] = []
    newest_us, empty, over = 0, True, False
    for index, (record, partition) in enumerate(zip(request.ids, partitions, strict=True)):
        filling.items_left = selection.item_limit
        full = filling.bytes_left <= 0 and not empty
        if not ahead and not over and not full:
            near = partitions[index : index + min(READS_AT_ONCE, patience.reads_left)]
            ahead = (await read_ahead(served, near, wanted, filling, patience, now_us))[::-1]
            over = patience.is_over()
        found = ahead.pop() if ahead else None
        if found is None or full:
            resume = wanted.beginning
            items = []
        else:
            filling.has_read(found.rows, found.unused)
            if found.resume is None or over or filling.items_left == len(found.rows):
                page = await shaped(served, partition, found, wanted, filling, patience, now_us, alone=empty)
            else:
                # Its share was too little for it, and more may fit.
                page = await read_page(served, partition, wanted, filling, patience, now_us, alone=empty)
                over = patience.is_over()
            items, resume = page.items, page.resume
            newest_us = max(newest_us, _time_us(page.stamp))
            empty = empty and not items
        token = None
        if resume is not None:
            own = GetItems(
                namespace=request.namespace, id=record, predicate=request.predicate, selection=request.selection
            )
            token = seal(
                tokens, own, Cursor(served.view.generation, resume, filling.items_left, filling.estimate.bytes)
            )
        records.append(BatchRecord(id=record, items=items, next_page_token=token))
    return records, newest_us


def _time_us(stamp: Stamp | None) -> int:
    return 0 if stamp is None else stamp.time_us


def _partitions(ids: list[str], most: int) -> list[bytes]:
    if not ids:
        raise InvalidArgument("ids is empty", field="ids", hint="name at least one record")
    if len(ids) > most:
        raise TooLarge(
            f"ids has {len(ids)} entries, the limit is {most}",
            field="ids",
            hint="split the call; the namespace's knob is batch_ids_max",
        )
    return [check_id(record, f"ids[{index}]") for index, record in enumerate(ids)]
