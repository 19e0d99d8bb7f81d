"""Walks over all records of a namespace.

A walk cannot be cut where a page is full, since where it goes on is the engine's to say. So each read asks
for no more than what fits, and what does not fit all the same is left for the next page.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

from soundstage.core import version
from soundstage.core.errors import DataLoss, InvalidArgument
from soundstage.data.kv.api import ScanItems, ScannedRecord, Selection
from soundstage.data.kv.cursors import Cursor
from soundstage.data.kv.namespace import ServedNamespace
from soundstage.data.kv.pagination import Patience
from soundstage.data.kv.reads import filling_of
from soundstage.data.kv.selections import ROOMY, Filling
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
    while True:
        budget = filling.budget(filling.bytes_left, patience.stop_ns)
        page = await served.records.walk(
            served.table, request.segment, request.total_segments, result.position, budget, now_us
        )
        if not await _take(result, page.partitions, filling, patience):
            return result, filling
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


def _id_of(partition: bytes) -> str:
    try:
        return partition.decode()
    except UnicodeDecodeError:
        raise DataLoss(
            f"a record of the namespace has an id that is no text: {partition[:40]!r}",
            hint="kv has not written it; import or copy the namespace again from where it came from",
        ) from None


async def _take(
    result: ScanResult, found: Sequence[tuple[bytes, list[Row]]], filling: Filling, patience: Patience
) -> bool:
    """Put in what a read found; false, and nothing is, when it belongs into the next page."""
    filling.has_read([row for _, rows in found for row in rows])
    records: list[ScannedRecord] = []
    count = total = 0
    for number, (partition, rows) in enumerate(found, 1):
        items, weight = await filling.shape(rows, ROOMY, patience)
        records.append(ScannedRecord(id=_id_of(partition), items=items))
        count, total = count + len(items), total + weight
        if number % PARTITIONS_AT_ONCE == 0:
            await patience.give_way()
    if result.records and total > filling.bytes_left:
        return False
    filling.put_in(count, total)
    result.records += records
    newest = (max(map(itemgetter(1), rows)) for _, rows in found)
    result.newest_us = max(result.newest_us, *map(version.time_us, newest), 0)
    return True
