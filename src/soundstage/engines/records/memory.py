"""The records port in memory: the specification that other engines are compared with.

Each partition keeps the greatest cell of every key that no tombstone covers, its tombstones, the greatest
version it ever accepted and, in conditional tables, the ledger of conditional writes. Nothing outlives the
object, but `start` after `stop` finds what was there, as reopening a folder does.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec
from xxhash import xxh3_64_intdigest

from soundstage.core import version
from soundstage.core.environment import Environment
from soundstage.core.errors import (
    AlreadyExists,
    InvalidArgument,
    NotFound,
    PreconditionFailed,
    TokenReused,
    Unavailable,
)
from soundstage.engines.records import tombstones
from soundstage.engines.records.batches import check_batch, check_partition, restamped, versions
from soundstage.engines.records.port import (
    IN_FLIGHT_MAX_US,
    KEY_CEILING,
    SEGMENTS_MAX,
    Batch,
    Budget,
    Capability,
    Cell,
    Condition,
    Conditional,
    Page,
    Row,
    Span,
    Stamp,
    Sweep,
    TableSpec,
    TableStatistics,
    WalkPage,
)


class _Partition:
    def __init__(self) -> None:
        self.keys: list[bytes] = []
        self.cells: dict[bytes, Cell] = {}
        self.marker_due_us: dict[bytes, int] = {}
        self.newest: bytes = b""
        self.tombstone: Cell | None = None
        self.ranges: tombstones.Fragments = ()
        self.ledger: dict[str, tuple[int, bytes]] = {}

    def covering(self, key: bytes) -> Cell | None:
        return tombstones.greatest(self.tombstone, tombstones.covering(self.ranges, key))

    def stamp(self) -> Stamp | None:
        return Stamp(version.time_us(self.newest), version.token(self.newest)) if self.newest else None

    def upsert(self, key: bytes, cell: Cell, marker_due_us: Callable[[], int]) -> None:
        known = self.cells.get(key)
        over = self.covering(key)
        if (known is not None and known >= cell) or (over is not None and over > cell):
            return
        if known is None:
            insort(self.keys, key)
        self.cells[key] = cell
        self.marker_due_us.pop(key, None)
        if version.is_delete(cell):
            self.marker_due_us[key] = marker_due_us()

    def remove(self, keys: Iterable[bytes]) -> int:
        gone = set(keys)
        for key in gone:
            del self.cells[key]
            self.marker_due_us.pop(key, None)
        self.keys = [key for key in self.keys if key not in gone] if gone else self.keys
        return len(gone)

    def between(self, span: Span) -> Iterator[Row]:
        low = bisect_left(self.keys, span.start)
        high = len(self.keys) if span.end is None else bisect_left(self.keys, span.end)
        keys = self.keys[low:high]
        return ((key, self.cells[key]) for key in (reversed(keys) if span.reverse else keys))


class _Table:
    def __init__(self, spec: TableSpec) -> None:
        self.spec = spec
        self.purge_floor_us: int | None = None
        self.partitions: dict[bytes, _Partition] = {}
        self.order: list[tuple[int, bytes]] = []

    def at(self, partition: bytes) -> _Partition:
        """The partition, made on its first write."""
        found = self.partitions.get(partition)
        if found is None:
            found = self.partitions[partition] = _Partition()
            insort(self.order, (xxh3_64_intdigest(partition), partition))
        return found


class MemoryRecords:
    """Everything in dictionaries; `CONDITIONAL` and `STATISTICS`, not durable."""

    def __init__(self, environment: Environment) -> None:
        self.capabilities = frozenset({Capability.CONDITIONAL, Capability.STATISTICS})
        self._environment = environment
        self._tables: dict[str, _Table] = {}
        self._open = False

    async def start(self) -> None:
        self._open = True

    async def stop(self) -> None:
        self._open = False

    async def create_table(self, spec: TableSpec) -> None:
        known = self._tables.get(spec.name)
        if known is None:
            self._tables[spec.name] = _Table(spec)
            return
        for field in ("conditional", "key_order", "dedicated"):
            if getattr(known.spec, field) != getattr(spec, field):
                raise AlreadyExists(f"the table {spec.name} exists with another {field}", field=field)
        known.spec = spec

    async def drop_table(self, name: str) -> None:
        self._tables.pop(name, None)

    async def tables(self) -> list[TableSpec]:
        return [self._tables[name].spec for name in sorted(self._tables)]

    async def set_purge_floor(self, name: str, floor_us: int | None) -> None:
        self._table(name).purge_floor_us = floor_us

    async def apply(
        self,
        table: str,
        partition: bytes,
        batch: Batch,
        *,
        conditional: Conditional | None = None,
        deadline_ns: int | None = None,
    ) -> int:
        into = self._table(table)
        check_partition(partition)
        check_batch(batch)
        if conditional is not None:
            return self._apply_conditional(into, partition, batch, conditional)
        self._accept(into, into.at(partition), batch)
        return max(map(version.time_us, versions(batch)))

    def _apply_conditional(self, table: _Table, partition: bytes, batch: Batch, asked: Conditional) -> int:
        if not table.spec.conditional:
            raise InvalidArgument(
                f"the table {table.spec.name} takes no conditions", field="condition", hint="create it with them"
            )
        found = table.partitions.get(partition, _Partition())
        known = found.ledger.get(asked.token)
        if known is not None:
            if known[1] != asked.digest:
                raise TokenReused(f"the token {asked.token!r} named another request", hint="use a token of its own")
            return known[0]
        for condition in asked.conditions:
            self._check(found, condition)
        own_us = max(map(version.time_us, versions(batch)))
        stamp_us = max(own_us, version.time_us(found.newest) + 1) if found.newest else own_us
        if stamp_us > asked.limit_us:
            raise Unavailable("the record was written in the future; wait for that time", outcome="not_applied")
        accepted = table.at(partition)
        self._accept(table, accepted, restamped(batch, stamp_us))
        accepted.ledger[asked.token] = (stamp_us, asked.digest)
        return stamp_us

    def _check(self, partition: _Partition, condition: Condition) -> None:
        now_us = self._environment.now_us()
        if condition.key is not None:
            cell = partition.cells.get(condition.key)
            live = cell is not None and version.is_live(cell, now_us)
            actual = Stamp(version.time_us(cell), version.token(cell)) if cell is not None and live else None
        elif condition.stamp is None:
            live = any(version.is_live(cell, now_us) for cell in partition.cells.values())
            actual = partition.stamp() if live else None
        else:
            actual = partition.stamp()
        if actual != condition.stamp:
            what = "the record" if condition.key is None else f"the item {condition.key!r}"
            raise PreconditionFailed(
                f"{what} is {'absent' if actual is None else f'at {actual}'}, not as the condition says",
                field="condition",
                hint="read it again and decide anew",
            )

    def _accept(self, table: _Table, partition: _Partition, batch: Batch) -> None:
        ranges = partition.ranges
        for deleted in batch.ranges:
            ranges = tombstones.add(ranges, deleted)
        partition_tombstone = tombstones.greatest(partition.tombstone, batch.partition)
        if partition_tombstone is not None:
            ranges = tombstones.clip(ranges, partition_tombstone)
        tombstones.check_count(ranges)
        partition.tombstone, partition.ranges = partition_tombstone, ranges
        if batch.ranges or batch.partition is not None:
            partition.remove(
                key for key, cell in partition.cells.items() if (over := partition.covering(key)) and over > cell
            )
        for key, cell in batch.cells:
            partition.upsert(key, cell, lambda: self._marker_due_us(table.spec))
        partition.newest = max(partition.newest, *map(version.identity, versions(batch)))

    def _marker_due_us(self, spec: TableSpec) -> int:
        jitter_us = self._environment.random.randint(spec.delete_ttl_min_us, spec.delete_ttl_max_us)
        return self._environment.now_us() + jitter_us

    async def get(self, table: str, partition: bytes, keys: Sequence[bytes], now_us: int) -> Page:
        found = self._table(table).partitions.get(partition)
        if found is None:
            return Page([], None, None)
        rows = [(key, cell) for key in keys if (cell := found.cells.get(key)) and version.is_live(cell, now_us)]
        return Page(rows, None, found.stamp())

    async def read(self, table: str, partition: bytes, span: Span, budget: Budget, now_us: int) -> Page:
        return self._read(self._table(table), partition, span, budget, now_us)

    def _read(self, table: _Table, partition: bytes, span: Span, budget: Budget, now_us: int) -> Page:
        found = table.partitions.get(partition)
        if found is None:
            return Page([], None, None)
        rows: list[Row] = []
        size = 0
        for key, cell in found.between(span):
            if not version.is_live(cell, now_us):
                continue
            size += len(key) + len(cell)
            if rows and (size > budget.bytes or len(rows) >= budget.rows):
                return Page(rows, key + b"\0" if span.reverse else key, found.stamp())
            rows.append((key, cell))
        return Page(rows, None, found.stamp())

    async def read_many(
        self, table: str, partitions: Sequence[bytes], span: Span, budget: Budget, now_us: int
    ) -> list[Page]:
        source = self._table(table)
        pages: list[Page] = []
        rows, size = budget.rows, budget.bytes
        for partition in partitions:
            if rows <= 0 or size <= 0:
                beginning = (span.end or KEY_CEILING) if span.reverse else span.start
                pages.append(Page([], beginning, None))
                continue
            page = self._read(source, partition, span, Budget(rows=rows, bytes=size), now_us)
            rows -= len(page.rows)
            size -= sum(len(key) + len(cell) for key, cell in page.rows)
            pages.append(page)
        return pages

    async def walk(
        self, table: str, segment: int, segments: int, position: bytes | None, budget: Budget, now_us: int
    ) -> WalkPage:
        source = self._table(table)
        low, high = segment_bounds(segment, segments)
        after, start = (None, b"") if position is None else parse_position(position, low, high)
        begin = bisect_left(source.order, (low, b"") if after is None else (xxh3_64_intdigest(after), after))
        partitions: list[tuple[bytes, list[Row]]] = []
        rows, size = budget.rows, budget.bytes
        for place, partition in source.order[begin:]:
            if place >= high:
                break
            first = start if partition == after else b""
            if rows <= 0 or size <= 0:
                return WalkPage(partitions, encode_position(partition, first))
            page = self._read(source, partition, Span(first), Budget(rows=rows, bytes=size), now_us)
            if page.rows:
                partitions.append((partition, page.rows))
            if page.resume is not None:
                return WalkPage(partitions, encode_position(partition, page.resume))
            rows -= len(page.rows)
            size -= sum(len(key) + len(cell) for key, cell in page.rows)
        return WalkPage(partitions, None)

    async def sweep(self, budget_rows: int) -> Sweep:
        """Only what is due is removed; the greatest version a record accepted is never forgotten."""
        now_us = self._environment.now_us()
        purged, backlog = 0, 0
        for table in self._tables.values():
            spec = table.spec
            horizon_us = version.purge_horizon_us(now_us, spec.max_lag_us, IN_FLIGHT_MAX_US, table.purge_floor_us)
            ledger_us = now_us - spec.max_lag_us - IN_FLIGHT_MAX_US
            for partition in table.partitions.values():
                due = _due(partition, now_us, horizon_us)
                purged += partition.remove(due[: budget_rows - purged])
                backlog += max(0, len(due) - budget_rows + purged) if purged >= budget_rows else 0
                if partition.tombstone is not None and version.is_purgeable(partition.tombstone, now_us, horizon_us):
                    partition.tombstone = None
                partition.ranges = tuple(
                    each for each in partition.ranges if not version.is_purgeable(each.cell, now_us, horizon_us)
                )
                partition.ledger = {token: entry for token, entry in partition.ledger.items() if entry[0] >= ledger_us}
        return Sweep(purged, backlog, None)

    async def statistics(self, table: str) -> TableStatistics:
        partitions = self._table(table).partitions.values()
        sizes = [sum(len(key) + len(cell) for key, cell in each.cells.items()) for each in partitions]
        histogram: dict[int, int] = {}
        for size in sizes:
            bucket = 1 << max(0, size - 1).bit_length()
            histogram[bucket] = histogram.get(bucket, 0) + 1
        return TableStatistics(
            rows=sum(len(each.cells) for each in partitions),
            bytes=sum(sizes),
            partitions=len(sizes),
            tombstones=sum(len(each.ranges) + (each.tombstone is not None) for each in partitions),
            histogram=histogram,
        )

    def _table(self, name: str) -> _Table:
        if not self._open:
            raise Unavailable("the engine is stopped", outcome="not_applied", retryable=False)
        found = self._tables.get(name)
        if found is None:
            raise NotFound(f"there is no table {name!r}", hint="create the namespace it belongs to")
        return found


def _due(partition: _Partition, now_us: int, horizon_us: int) -> list[bytes]:
    return [
        key
        for key, cell in partition.cells.items()
        if version.is_purgeable(cell, now_us, horizon_us) and partition.marker_due_us.get(key, 0) <= now_us
    ]


def segment_bounds(segment: int, segments: int) -> tuple[int, int]:
    """The hashes of a segment: from the first, inclusive, to the second, exclusive."""
    if not (1 <= segments <= SEGMENTS_MAX and 0 <= segment < segments):
        raise InvalidArgument(
            f"there is no segment {segment} of {segments}",
            field="segment",
            hint=f"use 1 to {SEGMENTS_MAX} segments, counted from 0",
        )
    return (segment << 64) // segments, ((segment + 1) << 64) // segments


def encode_position(partition: bytes, start: bytes) -> bytes:
    """Where a walk goes on: in `partition`, at the key `start`."""
    return msgspec.msgpack.encode((partition, start))


def parse_position(position: bytes, low: int, high: int) -> tuple[bytes, bytes]:
    """The partition and key of a position; `InvalidArgument` unless it lies in the segment."""
    try:
        partition, start = msgspec.msgpack.decode(position, type=tuple[bytes, bytes])
    except msgspec.MsgspecError:
        raise InvalidArgument("the position is none that a walk returned", field="position") from None
    if not low <= xxh3_64_intdigest(partition) < high:
        raise InvalidArgument("the position is of another segment", field="position")
    return partition, start
