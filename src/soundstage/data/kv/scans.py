"""Walks over all records of a namespace.

A walk cannot be cut where a page is full, since where it goes on is the engine's to say. So each read asks
for no more than what fits, and what does not fit all the same is left for the next page.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

import msgspec

from soundstage.core import version
from soundstage.core.errors import InvalidArgument
from soundstage.data.kv.api import ScanItems, ScannedRecord, Selection
from soundstage.data.kv.cursors import Cursor
from soundstage.data.kv.items import id_of
from soundstage.data.kv.large_values import bring
from soundstage.data.kv.namespace import ServedNamespace
from soundstage.data.kv.reads import filling_of
from soundstage.data.kv.selections import ROOMY, Filling, Shaped
from soundstage.data.pagination import Patience
from soundstage.engines.records.port import Row

PARTITIONS_AT_ONCE = 128
"""Records made into replies before others are let run."""


class ScanResult:
    """The page so far: its records, the greatest time in it, and where the walk goes on."""

    def __init__(self, position: bytes | None) -> None:
        self.records: list[ScannedRecord] = []
        self.newest_us = 0
        self.position = position


async def scan_page(
    served: ServedNamespace,
    request: ScanItems,
    selection: Selection,
    cursor: Cursor | None,
    patience: Patience,
    now_us: int,
) -> tuple[ScanResult, Filling]:
    """One page of the walk; its `position` is None at the end."""
    filling = filling_of(served, selection, cursor)
    result = ScanResult(None if cursor is None else cursor.resume)
    enough = filling.bytes_left // 2
    rows_max = filling.budget(filling.bytes_left, None).rows
    while True:
        budget = filling.budget(filling.bytes_left, patience.stop_ns)
        budget = msgspec.structs.replace(budget, rows=min(budget.rows, rows_max))
        page = await served.records.walk(
            served.table, request.segment, request.total_segments, result.position, budget, now_us
        )
        fitting = await _take(served, result, page.partitions, filling, patience, now_us)
        if fitting is not None:
            if result.records:
                return result, filling
            rows_max = fitting
            continue
        result.position = None if filling.items_left == 0 else page.position
        # Half a record of one moment and half of another, or nothing of it by then, would show part of a write.
        full = page.cut or filling.bytes_left <= enough or filling.to_read <= 0
        if full or result.position is None or patience.is_over():
            return result, filling


def check_scan(selection: Selection) -> None:
    """Raise `InvalidArgument` for an order that no walk has."""
    if selection.reverse:
        raise InvalidArgument(
            "a scan has the engine's order", field="selection.reverse", hint="leave it out; sort what you receive"
        )


async def _take(
    served: ServedNamespace,
    result: ScanResult,
    found: Sequence[tuple[bytes, list[Row]]],
    filling: Filling,
    patience: Patience,
    now_us: int,
) -> int | None:
    """Put in what a read found. Nothing is when it is too much for the page; then the number of rows that are not."""
    filling.has_read([row for _, rows in found for row in rows])
    shaped: list[Shaped] = []
    for number, (_, rows) in enumerate(found, 1):
        shaped.append(await filling.shape(rows, ROOMY, patience))
        if number % PARTITIONS_AT_ONCE == 0:
            await patience.give_way()
    count, total = sum(len(each.items) for each in shaped), sum(each.weight for each in shaped)
    # Values in chunks are more than the store was asked for.
    beyond = count > 1 and any(each.large for each in shaped)
    if total > filling.bytes_left and (result.records or beyond):
        return _fitting(shaped, filling.bytes_left)
    for (partition, _), each in zip(found, shaped, strict=True):
        if each.large:
            await bring(served, partition, each, patience, now_us, whole=len(each.items))
        result.records.append(ScannedRecord(id=id_of(partition), items=each.items))
    filling.put_in(count, total)
    newest = (max(map(itemgetter(1), rows)) for _, rows in found)
    result.newest_us = max(result.newest_us, *map(version.time_us, newest), 0)
    return None


def _fitting(found: Sequence[Shaped], room: int) -> int:
    """How many rows from the first on fit, one at least, where not all of them do."""
    rows = 0
    for each in found:
        if each.weight > room:
            sizes = ((large, each.items[large.place].metadata.size) for large in each.large)
            rows += next((large.place for large, size in sizes if large.before + size > room), 0)
            break
        rows += len(each.items)
        room -= each.weight
    return max(1, rows)
