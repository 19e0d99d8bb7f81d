"""Reads of entries, in slices that never hold the event loop for long.

Rows do not change but for what a sweep takes out of them, so that a read need not keep its iterator while others run.
"""

from __future__ import annotations

from rocksdict import RdictIter

from soundstage.core.environment import Environment
from soundstage.engines.log import refusals
from soundstage.engines.log.arrivals import size_of
from soundstage.engines.log.port import Stored
from soundstage.engines.log.rocksdb.layout import entries_of, size_of_row
from soundstage.engines.log.rocksdb.partition import Partition, current, last_row, row_at, row_from, rows
from soundstage.engines.log.rocksdb.topics import Topic
from soundstage.engines.rocks.database import Database

SLICE_NS = 1_500_000
"""A slice ends after this; with what surrounds it, it stays under the 2 ms that a handler may take."""


CLOCK_EVERY_BYTES = 8 << 10
"""Of rows, between two looks at the clock."""


class Reading:
    """A page being read: `entries` so far, and where to go on; from there to `end` all was written."""

    def __init__(self, partition: Partition, offset: int, limit_entries: int, limit_bytes: int) -> None:
        self.entries: list[Stored] = []
        self.end: int = partition.end
        self.next: int = max(offset, partition.start)
        self._partition = partition
        self._room = limit_entries
        self._bytes = limit_bytes

    def slice(self, topic: Topic, environment: Environment) -> bool:
        """Read on for a moment; whether the page has what it may have."""
        until_ns = environment.monotonic_ns() + SLICE_NS
        unread = 0
        with rows(topic.db, self._partition, self.end) as iterator:
            if row_at(iterator, self._partition, self.next) is None:
                row_from(iterator, self._partition, self.next)
            # Going up, the bounds keep the iterator within the partition: a key need not be looked at.
            while iterator.valid():
                raw = iterator.value()
                if self._take(entries_of(raw), raw):
                    return True
                unread += len(raw)
                if unread >= CLOCK_EVERY_BYTES:
                    unread = 0
                    if environment.monotonic_ns() >= until_ns:
                        return False
                iterator.next()
        self.next = self.end
        return True

    def _take(self, entries: list[Stored], raw: bytes) -> bool:
        """The row's entries are in the page, as many as fit; whether that is full."""
        size = size_of_row(raw)
        if entries[0].offset >= self.next and len(entries) <= self._room and size <= self._bytes:
            self.entries += entries
            self._room -= len(entries)
            self._bytes -= size
        else:
            for entry in entries:
                if entry.offset >= self.next and not self._fits(entry):
                    self.next = entry.offset
                    return True
        last = entries[-1].offset
        if last >= self.next:
            self.next = last + 1
        return False

    def _fits(self, entry: Stored) -> bool:
        size = size_of(entry)
        if self.entries and (self._room < 1 or self._bytes < size):
            return False
        self.entries.append(entry)
        self._room -= 1
        self._bytes -= size
        return True


async def read(
    database: Database, topic: Topic, partition: Partition, offset: int, limit_entries: int, limit_bytes: int
) -> Reading:
    """A page, of what is written and may not be durable yet."""
    reading = Reading(partition, offset, limit_entries, limit_bytes)
    while reading.next < reading.end and not reading.slice(topic, database.environment):
        await database.environment.sleep(0)
        check_there(database, topic)
    return reading


def check_there(database: Database, topic: Topic) -> None:
    """Raises `Unavailable` once the database has closed or the topic was dropped."""
    _ = database.rdict
    if topic.dropped:
        raise refusals.dropped(topic.spec.name)


def offset_at(topic: Topic, partition: Partition, time_us: int) -> int:
    """The offset of the first entry that is not older than `time_us`; the end when all are."""
    with rows(topic.db, partition, partition.end) as iterator:
        before = last_row(iterator, partition, lambda head: head.first_us < time_us)
        # What follows that row is not older; of the row itself only its entries tell.
        for entry in before.entries if before is not None else ():
            if entry.time_us >= time_us and entry.offset >= partition.start:
                return entry.offset
        return _first(iterator, partition, partition.floor if before is None else before.offset + 1).offset


def oldest_us(topic: Topic, partition: Partition) -> int | None:
    """The time of the first entry that is there."""
    with rows(topic.db, partition, partition.end) as iterator:
        first = _first(iterator, partition, partition.floor)
    return first.time_us if first.offset < partition.end else None


def _first(iterator: RdictIter, partition: Partition, offset: int) -> Stored:
    """The first entry there is of the rows from `offset` on; one at the end when there is none."""
    row = row_from(iterator, partition, offset)
    while row is not None:
        for entry in row.entries:
            if entry.offset >= partition.start:
                return entry
        iterator.next()
        row = current(iterator, partition)
    return Stored(partition.end, partition.last_us, None, None)
