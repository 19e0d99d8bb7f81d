"""Estimates of a table's size, from a sample of its partitions."""

from __future__ import annotations

from collections.abc import Iterable

from soundstage.engines.records.port import TableStatistics
from soundstage.engines.records.rocksdb.header import decode
from soundstage.engines.records.rocksdb.reading import Slices, seek
from soundstage.engines.records.rocksdb.rowkeys import HEADER, NUMBER, RANGE, TIME, next_number, parse
from soundstage.engines.records.rocksdb.tables import Table

SAMPLE_ROWS = 20_000
CHECK_EVERY = 64


async def statistics(table: Table, slices: Slices) -> TableStatistics:
    """What the first rows in the order of hashes say of all; exact for tables of fewer rows than the sample."""
    rows, bounds = seek(table, table.number, next_number(table.number), reverse=False)
    sizes: dict[bytes, int] = {}
    looked, counted, tombstones, share = 0, 0, 0, 1.0
    try:
        while rows.valid():
            raw = rows.key()
            if looked >= SAMPLE_ROWS:
                share = max(TIME.unpack_from(raw, NUMBER.size)[0] / 2**64, 1e-9)
                break
            row = parse(raw)
            looked += 1
            sizes.setdefault(row.prefix, 0)
            if row.is_item:
                counted += 1
                sizes[row.prefix] += len(row.rest) + len(rows.value())
            elif row.rest.startswith(RANGE):
                tombstones += 1
            elif row.rest.startswith(HEADER):
                tombstones += decode(rows.value())[0].partition is not None
            rows.next()
            if looked % CHECK_EVERY == 0:
                await slices.pause(table)
        rows.status()
    finally:
        del rows, bounds
    return TableStatistics(
        rows=round(counted / share),
        bytes=round(sum(sizes.values()) / share),
        partitions=round(len(sizes) / share),
        tombstones=round(tombstones / share),
        histogram=_histogram(sizes.values(), share),
    )


def _histogram(sizes: Iterable[int], share: float) -> dict[int, int]:
    counts: dict[int, int] = {}
    for size in sizes:
        bucket = 1 << max(0, size - 1).bit_length()
        counts[bucket] = counts.get(bucket, 0) + 1
    return {bucket: round(count / share) for bucket, count in counts.items()}
