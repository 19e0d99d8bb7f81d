"""Takes away what is due to go: what retention gives up, what compaction leaves out, tokens whose time is over."""

from __future__ import annotations

from collections.abc import Generator

import msgspec

from soundstage.core.environment import Environment
from soundstage.engines.log.port import LogSweep
from soundstage.engines.log.rocksdb.compaction import Compaction
from soundstage.engines.log.rocksdb.layout import (
    FAMILY,
    OFFSET,
    Remembered,
    RowHead,
    forgetting,
    token_key,
)
from soundstage.engines.log.rocksdb.partition import Partition, last_row, row_at, rows
from soundstage.engines.log.rocksdb.reading import SLICE_NS, offset_at
from soundstage.engines.log.rocksdb.topics import Catalogue, Topic, rows_between
from soundstage.engines.rocks.atomic import AtomicBatch
from soundstage.engines.rocks.database import Database

FREED_BYTES = 16 << 20
"""Once so much of a partition was taken away, RocksDB is asked to give the space back."""

TOKENS_AT_ONCE = 1_000

_decode_remembered = msgspec.msgpack.Decoder(Remembered).decode


class Sweeper:
    """Goes round the partitions of all topics, and goes on where it stopped."""

    def __init__(self, database: Database, catalogue: Catalogue) -> None:
        self._database = database
        self._environment: Environment = database.environment
        self._catalogue = catalogue
        self._round: Generator[tuple[Topic, int]] | None = None
        self._compaction: Compaction | None = None
        self._looked = (0, 0)
        self._until_ns = 0

    async def sweep(self, budget: int) -> LogSweep:
        """Up to about `budget` entries are looked at; `more` until a whole round is done."""
        examined = removed = 0
        self._until_ns = self._environment.monotonic_ns() + SLICE_NS
        while examined < budget:
            if self._compaction is None and not await self._next():
                return LogSweep(examined, removed, more=False)
            await self._pause()
            compaction = self._compaction
            if compaction is not None:
                looked, gone = await compaction.step()
                # Another call may have been beside this one, and be further.
                if compaction.done and self._compaction is compaction:
                    self._compaction = None
            else:
                looked, gone = self._looked
            examined += looked
            removed += gone
        return LogSweep(examined, removed, more=True)

    async def _next(self) -> bool:
        """Retention of the next partition is done, and its compaction begun if it is due; false after the last."""
        if self._round is None:
            self._round = self._partitions()
        place = next(self._round, None)
        if place is None:
            self._round = None
            return False
        topic, number = place
        if number < 0:
            self._looked = await self._forget_tokens(topic), 0
            return True
        partition = topic.partition(number)
        self._looked = 1, await self._retain(topic, partition)
        compaction = Compaction(self._database, topic, partition) if topic.spec.compact else None
        if compaction is not None and compaction.is_due:
            self._compaction = compaction
        return True

    def _partitions(self) -> Generator[tuple[Topic, int]]:
        """Every place that may have something to do; -1 for the tokens of a topic."""
        for topic in list(self._catalogue.by_name.values()):
            spec = topic.spec
            limited = spec.compact or spec.retention_us is not None or spec.retention_bytes is not None
            for number in range(-1, spec.partitions if limited else 0):
                if not topic.dropped and not topic.entry.hidden:
                    yield topic, number

    async def _pause(self) -> None:
        if self._environment.monotonic_ns() >= self._until_ns:
            await self._environment.sleep(0)
            self._until_ns = self._environment.monotonic_ns() + SLICE_NS
            _ = self._database.rdict

    async def _retain(self, topic: Topic, partition: Partition) -> int:
        """The partition begins where its topic's limits say; how many offsets it lost."""
        if topic.dropped:
            return 0
        start = self._retained(topic, partition)
        gone = start - partition.start
        if gone > 0:
            await self._database.atomically(_begin_at, topic, partition, start)
            if partition.freed >= FREED_BYTES and not topic.dropped:
                partition.freed = 0
                self._database.compact(FAMILY, partition.row_key(0), partition.row_key(partition.floor))
        return max(0, gone)

    def _retained(self, topic: Topic, partition: Partition) -> int:
        spec, start = topic.spec, partition.start
        if partition.start == partition.end:
            return start
        if spec.retention_us is not None:
            start = max(start, offset_at(topic, partition, self._environment.now_us() - spec.retention_us))
        if spec.retention_bytes is not None and partition.given - partition.skipped > spec.retention_bytes:
            start = max(start, _offset_given(topic, partition, partition.given - spec.retention_bytes))
        return start

    async def _forget_tokens(self, topic: Topic) -> int:
        """Some tokens whose time is over are gone; how many were looked at."""
        begin = forgetting(topic.number)
        end = begin + OFFSET.pack(max(0, self._environment.now_us() - topic.spec.token_us + 1))
        due: list[bytes] = []
        for key, _ in rows_between(topic.db, begin, end):
            due.append(key)
            if len(due) == TOKENS_AT_ONCE:
                break
        if due:
            await self._database.atomically(_forget, topic, due)
        return 1 + len(due)


def _offset_given(topic: Topic, partition: Partition, given: int) -> int:
    """The last offset before which the partition was given at most `given` bytes."""

    def holds(head: RowHead) -> bool:
        return head.before <= given

    with rows(topic.db, partition, partition.end) as iterator:
        row = last_row(iterator, partition, holds)
    if row is None:
        return partition.start
    found, before = row.offset, row.head.before
    for entry, size in row.sizes():
        before += size
        if before > given:
            break
        found = entry.offset + 1
    return found


def _begin_at(batch: AtomicBatch, topic: Topic, partition: Partition, start: int) -> None:
    """Rows whose entries are all before `start` are gone, and the partition begins there."""
    if topic.dropped:
        return
    floor, skipped = start, partition.given
    if start < partition.end:
        with rows(topic.db, partition, partition.end) as iterator:
            row = row_at(iterator, partition, start)
        if row is not None:
            # Of the row in which it begins the first entries stay where they are, unread.
            skipped = row.head.before + sum(size for entry, size in row.sizes() if entry.offset < start)
            floor = row.offset if row.entries[-1].offset >= start else start
    head = msgspec.structs.replace(partition.head, start=start, floor=floor, skipped=skipped)
    if floor > partition.floor:
        batch.rows.delete_range(partition.row_key(partition.floor), partition.row_key(floor), topic.handle)
    batch.rows.put(partition.key, msgspec.msgpack.encode(head), topic.handle)

    def begun() -> None:
        partition.freed += skipped - partition.skipped
        partition.start, partition.floor, partition.skipped = start, floor, skipped

    batch.once_written(begun)


def _forget(batch: AtomicBatch, topic: Topic, due: list[bytes]) -> None:
    """The tokens that entries of `due` name are gone, unless they were used again since."""
    if topic.dropped:
        return
    skip = len(forgetting(topic.number))
    for key in due:
        batch.rows.delete(key, topic.handle)
        named = token_key(topic.number, key[skip + OFFSET.size :])
        stored = topic.db.get(named)
        if stored is not None and _decode_remembered(stored).time_us == OFFSET.unpack_from(key, skip)[0]:
            batch.rows.delete(named, topic.handle)
