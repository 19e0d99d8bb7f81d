"""One round of compaction over a partition: of each key the newest entry stays.

First the entries that came since the last round are read, and the newest offset of each of their keys is remembered;
then all rows are read from the beginning and written again without what that makes superfluous. Older entries go
before the delete that hides them, so that a round which breaks off brings nothing back.
"""

from __future__ import annotations

import msgspec
from xxhash import xxh3_128_digest

from soundstage.engines.log.port import KEYS_COMPACTED_MAX, Stored
from soundstage.engines.log.rocksdb.layout import FAMILY, Head, row_of
from soundstage.engines.log.rocksdb.partition import Partition, Row, current, row_at, row_from, rows
from soundstage.engines.log.rocksdb.reading import SLICE_NS, offset_at
from soundstage.engines.log.rocksdb.topics import Topic
from soundstage.engines.rocks.atomic import AtomicBatch
from soundstage.engines.rocks.database import Database

CHANGED_BYTES = 256 << 10
"""Rows are read for at most so many bytes between two batches that write them."""


class Compaction:
    """Takes a step at a time, until `done`. Entries from `horizon` on are too young for it."""

    def __init__(self, database: Database, topic: Topic, partition: Partition) -> None:
        self.done: bool = False
        self._database = database
        self._topic = topic
        self._partition = partition
        now_us = database.environment.now_us()
        self._forgotten_us = now_us - topic.spec.delete_retention_us
        self._horizon = offset_at(topic, partition, now_us - topic.spec.compact_lag_us)
        self._at = max(partition.cleaned, partition.start)
        self._newest: dict[bytes, int] = {}
        self._rewrites = False
        self._kept = 0

    @property
    def is_due(self) -> bool:
        """Whether at least half of what there is came since the last round: then a round is worth its while."""
        come = self._horizon - self._at
        return come > 0 and come >= self._partition.kept

    async def step(self) -> tuple[int, int]:
        """Go on for a moment; how many entries were looked at, and how many are gone."""
        if self._topic.dropped:
            self.done = True
            return 0, 0
        return await self._rewrite() if self._rewrites else self._look()

    def _look(self) -> tuple[int, int]:
        looked = 0
        for row in self._slice():
            for entry in row.entries:
                if self._at <= entry.offset < self._horizon:
                    self._newest[_digest(entry)] = entry.offset
            looked += len(row.entries)
            self._at = row.entries[-1].offset + 1
            if len(self._newest) >= KEYS_COMPACTED_MAX:
                self._horizon = min(self._horizon, self._at)
        if self._at >= self._horizon or not looked:
            self._rewrites, self._at = True, self._partition.floor
        return looked, 0

    async def _rewrite(self) -> tuple[int, int]:
        looked = removed = 0
        changed: list[tuple[Row, list[Stored]]] = []
        for row in self._slice():
            entries = row.entries
            kept = [entry for entry in entries if self._stays(entry)]
            looked += len(entries)
            self._kept += sum(entry.offset < self._horizon for entry in kept)
            self._at = entries[-1].offset + 1
            if len(kept) < len(entries):
                removed += len(entries) - len(kept)
                changed.append((row, kept))
        ended = self._at >= self._horizon or not looked
        await self._database.atomically(_write, self._topic, self._partition, changed, self._cleaned(ended))
        self.done = ended
        if ended and not self._topic.dropped:
            self._database.compact(FAMILY, self._partition.row_key(0), self._partition.row_key(self._horizon))
        return looked, removed

    def _cleaned(self, ended: bool) -> tuple[int, int]:
        return (self._horizon, self._kept) if ended else (self._partition.cleaned, self._partition.kept)

    def _stays(self, entry: Stored) -> bool:
        if entry.offset >= self._horizon:
            return True
        if entry.offset < self._partition.start or self._newest.get(_digest(entry), entry.offset) != entry.offset:
            return False
        return entry.value is not None or entry.time_us >= self._forgotten_us

    def _slice(self) -> list[Row]:
        """The rows that follow, as many as may be read in a moment."""
        environment = self._database.environment
        until_ns = environment.monotonic_ns() + SLICE_NS // 3
        found: list[Row] = []
        size = 0
        with rows(self._topic.db, self._partition, self._horizon) as iterator:
            row = row_at(iterator, self._partition, self._at)
            if row is None or row.entries[-1].offset < self._at:
                row = row_from(iterator, self._partition, self._at)
            while row is not None:
                found.append(row)
                size += len(row.raw)
                if size >= CHANGED_BYTES or environment.monotonic_ns() >= until_ns:
                    break
                iterator.next()
                row = current(iterator, self._partition)
        return found


def _write(
    batch: AtomicBatch,
    topic: Topic,
    partition: Partition,
    changed: list[tuple[Row, list[Stored]]],
    cleaned: tuple[int, int],
) -> None:
    if topic.dropped:
        return
    for row, kept in changed:
        if kept:
            batch.rows.put(
                partition.row_key(row.offset), row_of(row.head.before, row.head.first_us, kept), topic.handle
            )
        else:
            batch.rows.delete(partition.row_key(row.offset), topic.handle)
    # Always: when the last rows are gone, this is all that knows where the partition ends.
    head: Head = msgspec.structs.replace(partition.head, cleaned=cleaned[0], kept=cleaned[1])
    batch.rows.put(partition.key, msgspec.msgpack.encode(head), topic.handle)

    def written() -> None:
        partition.cleaned, partition.kept = cleaned

    batch.once_written(written)


def _digest(entry: Stored) -> bytes:
    return xxh3_128_digest(entry.key or b"")
