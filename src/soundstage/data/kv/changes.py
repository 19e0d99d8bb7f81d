"""What a write changed, as an entry of a log and as messages for those who follow.

The entries of a write stand one after the other, under the id of its record. Each has cells as they were written, so
that whoever reads it compares versions as the store does. A value too large for an entry is left out, as are all of a
write that would be too large for a call; so is what lies in chunks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from soundstage.core import version
from soundstage.core.errors import TooLarge
from soundstage.core.message import IdempotencyToken, Instant
from soundstage.core.portions import portions
from soundstage.data.changes.entries import CALL_BYTES, ENTRY_BYTES, read
from soundstage.data.kv.api import Item, ItemChange, MatchAll, MatchKeys, MatchRange, Predicate
from soundstage.data.kv.items import item_of
from soundstage.engines.log.port import STAMP, Entry, Stored
from soundstage.engines.records.port import Batch, Cell, RangeDelete, Stamp

ROW_BYTES = 32
"""More than what surrounds a row in an entry."""

WHOLE = -1
"""Instead of the size of a value that was left out."""


class KeptRow(NamedTuple):
    """A put or a marker; `left_out` is the size of a value that is not in the cell."""

    key: bytes
    cell: Cell
    left_out: int = WHOLE


class KeptChange(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """The value of an entry. `record` deletes the record, `everything` all records."""

    rows: list[KeptRow] = []
    ranges: list[RangeDelete] = []
    record: Cell | None = None
    everything: Cell | None = None


def entries_of(partition: bytes, batch: Batch) -> list[Entry]:
    """The entries that tell of `batch`, of a write to one record. Raises `TooLarge` for keys that no call takes."""
    rows = [_kept(key, cell, ENTRY_BYTES) for key, cell in batch.cells]
    if _size(partition, rows, batch) > CALL_BYTES:
        rows = [_kept(key, cell, 0) for key, cell in batch.cells]
        if _size(partition, rows, batch) > CALL_BYTES:
            raise TooLarge(
                "the keys of the call are too many for what is told of it to those who watch the namespace",
                field="items",
                hint="split the call",
            )
    parts = list(portions(rows, _weight, ENTRY_BYTES)) or [[]]
    first = KeptChange(rows=parts[0], ranges=list(batch.ranges), record=batch.partition)
    rest = [KeptChange(rows=part) for part in parts[1:]]
    return [Entry(value=_encode(change), key=partition) for change in (first, *rest)]


def entry_of_truncation(cell: Cell) -> Entry:
    """The entry that says that all records of that version, or of one before it, are gone."""
    return Entry(value=_encode(KeptChange(everything=cell)))


def messages_of(entry: Stored) -> list[ItemChange]:
    """What is told of an entry, in order; `cursor` is empty yet. Raises `DataLoss` for one that nobody can read."""
    change = read(entry, _decode)
    stamp = next((int.from_bytes(content, "big") for name, content in entry.headers if name == STAMP), None)
    record = (entry.key or b"").decode()
    found = list(_deletes(change, record, stamp))
    puts = [row for row in change.rows if not version.is_delete(row.cell)]
    if puts:
        found.append(_change(record, puts[0].cell, stamp, items=[_item(row, stamp) for row in puts]))
    return found


def _deletes(change: KeptChange, record: str, stamp: int | None) -> Iterator[ItemChange]:
    if change.everything is not None:
        yield _change("", change.everything, None, truncated=True)
    if change.record is not None:
        yield _change(record, change.record, stamp, deleted=Predicate(match_all=MatchAll()))
    for each in change.ranges:
        reach = MatchRange(start=each.start, end=each.end)
        yield _change(record, each.cell, stamp, deleted=Predicate(match_range=reach))
    markers = [row for row in change.rows if version.is_delete(row.cell)]
    if markers:
        gone = MatchKeys(keys=[row.key for row in markers])
        yield _change(record, markers[0].cell, stamp, deleted=Predicate(match_keys=gone))


def _change(
    record: str,
    cell: Cell,
    stamp: int | None,
    *,
    items: list[Item] | None = None,
    deleted: Predicate | None = None,
    truncated: bool = False,
) -> ItemChange:
    at = _stamp_of(cell, stamp)
    token = IdempotencyToken(Instant.from_us(at.time_us), at.token)
    return ItemChange(cursor="", id=record, idempotency_token=token, items=items, deleted=deleted, truncated=truncated)


def _stamp_of(cell: Cell, stamp: int | None) -> Stamp:
    return Stamp(version.time_us(cell) if stamp is None else stamp, version.token(cell))


def _item(row: KeptRow, stamp: int | None) -> Item:
    item = item_of(row.key, row.cell if stamp is None else version.restamp(row.cell, stamp))
    if row.left_out == WHOLE:
        return item
    metadata = msgspec.structs.replace(item.metadata, size=row.left_out)
    return msgspec.structs.replace(item, value=None, metadata=metadata)


def _kept(key: bytes, cell: Cell, value_max: int) -> KeptRow:
    if version.is_delete(cell):
        return KeptRow(key, cell)
    value_at = version.parts(cell)[4]
    size = len(cell) - value_at
    return KeptRow(key, cell) if size <= value_max else KeptRow(key, cell[:value_at], size)


def _weight(row: KeptRow) -> int:
    return len(row.key) + len(row.cell) + ROW_BYTES


def _size(partition: bytes, rows: Sequence[KeptRow], batch: Batch) -> int:
    size = sum(map(_weight, rows))
    return size + (size // ENTRY_BYTES + 2) * (len(partition) + 2 * ROW_BYTES) + len(batch.ranges) * 9_000


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(KeptChange).decode
