"""A partition in use: its bounds, and how its rows are found."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import NamedTuple

import msgspec
from rocksdict import Rdict, RdictIter, ReadOptions

from soundstage.engines.log.arrivals import size_of
from soundstage.engines.log.port import Bounds, Stored
from soundstage.engines.log.rocksdb.layout import (
    OFFSET,
    Drafted,
    Head,
    RowHead,
    entries_of,
    head_key,
    head_of_row,
    partition_prefix,
)

GATE = b"log"
"""What the keys begin with by which readers of this port wait for a flush."""

_decode_head = msgspec.msgpack.Decoder(Head).decode


class Row(NamedTuple):
    """A row where it stands."""

    offset: int
    head: RowHead
    raw: bytes

    @property
    def entries(self) -> list[Stored]:
        return entries_of(self.raw)

    def sizes(self) -> list[tuple[Stored, int]]:
        """The entries with their bytes."""
        return [(entry, size_of(entry)) for entry in self.entries]


class Partition:
    """Of one topic, for as long as that is there.

    What is before `settled` is known to be durable; more of it may be.
    """

    __slots__ = (
        "cleaned",
        "end",
        "floor",
        "freed",
        "gate",
        "given",
        "kept",
        "key",
        "last_us",
        "number",
        "prefix",
        "settled",
        "skipped",
        "start",
    )

    def __init__(self, topic: bytes, number: int, head: Head) -> None:
        self.number: int = number
        self.prefix: bytes = partition_prefix(topic, number)
        self.key: bytes = head_key(topic, number)
        self.gate: bytes = GATE + self.prefix
        self.freed: int = 0
        self.settled: int = 0
        self.start: int = head.start
        self.end: int = head.end
        self.last_us: int = head.last_us
        self.floor: int = head.floor
        self.given: int = head.given
        self.skipped: int = head.skipped
        self.cleaned: int = head.cleaned
        self.kept: int = head.kept

    @property
    def bounds(self) -> Bounds:
        return Bounds(self.start, self.end)

    @property
    def head(self) -> Head:
        """As it is written."""
        return Head(self.start, self.end, self.last_us, self.floor, self.given, self.skipped, self.cleaned, self.kept)

    def row_key(self, offset: int) -> bytes:
        return self.prefix + OFFSET.pack(offset)

    def was_given(self, drafted: Drafted) -> None:
        """`drafted` was written."""
        self.end, self.last_us, self.given = drafted.end, drafted.last_us, drafted.given


def load(db: Rdict, topic: bytes, number: int) -> Partition:
    """The partition as its rows say."""
    stored = db.get(head_key(topic, number))
    partition = Partition(topic, number, Head() if stored is None else _decode_head(stored))
    with rows(db, partition, 0xFFFFFFFFFFFFFFFF) as iterator:
        last = row_at(iterator, partition, 0xFFFFFFFFFFFFFFFE)
    # Compaction may have emptied the last rows, of which the head knows.
    if last is not None and last.offset >= partition.end:
        newest = last.entries[-1]
        partition.end, partition.last_us = newest.offset + 1, newest.time_us
        partition.given = last.head.before + last.head.size
    # What this process has not written is durable: it was recovered.
    partition.settled = partition.end
    return partition


@contextmanager
def rows(db: Rdict, partition: Partition, end: int) -> Generator[RdictIter]:
    """An iterator over the rows of entries that begin before the offset `end`.

    For a moment only: a database with an iterator cannot close.
    """
    bounds = ReadOptions()
    bounds.set_iterate_lower_bound(partition.row_key(partition.floor))
    bounds.set_iterate_upper_bound(partition.row_key(end))
    iterator = db.iter(bounds)
    try:
        yield iterator
        iterator.status()
    finally:
        del iterator, bounds


def row_at(iterator: RdictIter, partition: Partition, offset: int) -> Row | None:
    """The last row that begins at or before `offset`; the iterator stands there."""
    iterator.seek_for_prev(partition.row_key(offset))
    return current(iterator, partition)


def row_from(iterator: RdictIter, partition: Partition, offset: int) -> Row | None:
    """The first row that begins at or after `offset`; the iterator stands there."""
    iterator.seek(partition.row_key(offset))
    return current(iterator, partition)


def current(iterator: RdictIter, partition: Partition) -> Row | None:
    """The row where the iterator stands."""
    if not iterator.valid():
        return None
    key = iterator.key()
    # The driver's backward seek looks past the lower bound when no row is within.
    if not key.startswith(partition.prefix):
        return None
    offset = OFFSET.unpack_from(key, len(partition.prefix))[0]
    if offset < partition.floor:
        return None
    raw = iterator.value()
    return Row(offset, head_of_row(raw), raw)


def last_row(iterator: RdictIter, partition: Partition, holds: Callable[[RowHead], bool]) -> Row | None:
    """The last row of which `holds` is true: it is, up to some row, and not behind that."""
    low, high = partition.floor, partition.end
    found: Row | None = None
    while low < high:
        middle = (low + high) // 2
        row = row_at(iterator, partition, middle)
        if row is None or holds(row.head):
            found = row or found
            low = middle + 1
        else:
            high = row.offset
    return found
