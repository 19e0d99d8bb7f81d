"""Estimates of a table, from the first rows of the ring; exact where these are all."""

from __future__ import annotations

from collections import Counter

from soundstage.engines.records.cassandra import schema
from soundstage.engines.records.cassandra.catalogue import Table
from soundstage.engines.records.cassandra.walking import RING_LOW, Walker
from soundstage.engines.records.port import TableStatistics

SAMPLE_ROWS = 50_000
ROWS_AT_ONCE = 5_000
RING = 1 << 64


async def statistics(walker: Walker, table: Table) -> TableStatistics:
    """What the part of the ring that was read comes to for the whole of it."""
    sizes: dict[bytes, int] = {}
    rows = tombstones = read = 0
    first, last = RING_LOW, RING_LOW + RING - 1
    while first <= last and read < SAMPLE_ROWS:
        found = await walker.rows(table, table.statements.survey, first, last, ROWS_AT_ONCE)
        whole = found.rows
        if not found.is_whole:
            # The last partition is not whole; it is read again with the next ones, unless it is all there is.
            cut = found.rows[-1][0]
            whole = [row for row in found.rows if row[0] != cut] or found.rows
        for partition, tombstone, kind, key, cell in whole:
            if partition not in sizes:
                sizes[partition] = 0
                tombstones += tombstone is not None
            if kind == schema.ITEM:
                rows += 1
                sizes[partition] += len(key) + len(cell)
            tombstones += kind == schema.RANGE
        read += len(whole)
        first = found.high + 1 if found.is_whole else walker.token(table, whole[-1][0]) + 1
    part = (first - RING_LOW) / RING
    histogram = Counter(1 << max(0, size - 1).bit_length() for size in sizes.values())
    return TableStatistics(
        rows=round(rows / part),
        bytes=round(sum(sizes.values()) / part),
        partitions=round(len(sizes) / part),
        tombstones=round(tombstones / part),
        histogram={bound: round(count / part) for bound, count in histogram.items()},
    )
