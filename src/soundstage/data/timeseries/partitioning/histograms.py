"""What surveys found of each slice of a namespace: as it is kept beside the slices, and as it is told.

Data on disk: table `timeseries/<namespace>`, partition `histograms`, a row for each slice, under its number.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from soundstage.core.errors import NotFound, PreconditionFailed
from soundstage.core.time import INT64_MAX, INT64_MIN, NS_PER_S, Instant
from soundstage.data.timeseries.api.partitions import PartitionBucket, Quantiles, SlicePartitions
from soundstage.data.timeseries.partitioning.sketch import Sketch
from soundstage.data.timeseries.partitioning.surveys import FORMAT, Limits, Survey
from soundstage.data.timeseries.slices import UNMOVED, Lifetime, Slice
from soundstage.engines.records.port import Stamp
from soundstage.runtime.system_table import SystemTable

PARTITION = "histograms"

STEADY = Limits(partitions=4_096, fewest=256, bytes=64 << 20, bytes_max=1 << 30, bytes_per_second=8 << 20)
"""Of the role: an eighth of what a disk from long ago gives, and a gigabyte of the widest partitions."""

AT_ONCE = Limits(partitions=1_024, fewest=64, bytes=4 << 20, bytes_max=16 << 20)
"""Of a call: tenths of a second."""

LOOKED_AT_MAX = 4
"""Slices that one call looks at by itself."""

FRESH_NS = 60 * NS_PER_S
"""A slice that is asked for alone was looked at so long ago, at most, where it may have grown."""

AGAIN_NS = 300 * NS_PER_S
AGAIN_MAX_NS = 21_600 * NS_PER_S
AGAIN_SHARE = 64
"""A slice that may grow is looked at again after this part of its width, within those bounds."""


class Kept(NamedTuple):
    """A survey, and the write that it is from."""

    survey: Survey
    stamp: Stamp


class Histograms:
    """The surveys of one namespace's slices, in its own table."""

    def __init__(self, table: SystemTable) -> None:
        self._table = table

    async def all(self) -> dict[int, Kept]:
        """By the numbers of their slices. What another release wrote in a form of its own is left out."""
        entries = await self._table.read(PARTITION, "")
        found: dict[int, Kept] = {}
        for row, entry in entries.items():
            survey = msgspec.msgpack.decode(entry.value, type=Survey, strict=False)
            if survey.format == FORMAT:
                found[int(row)] = Kept(survey, entry.stamp)
        return found

    async def keep(self, number: int, survey: Survey, before: Kept | None) -> None:
        """It takes the place of the one `before`, unless somebody else's did meanwhile."""
        await self._write(number, msgspec.msgpack.encode(survey), before)

    async def forget(self, number: int, before: Kept) -> None:
        """Nothing is kept of a slice that is gone."""
        await self._write(number, None, before)

    async def _write(self, number: int, value: bytes | None, before: Kept | None) -> None:
        row = f"{number:012d}"
        try:
            await self._table.write(PARTITION, {row: value}, {row: before and before.stamp}, onward=True)
        except PreconditionFailed:
            # As good, and as new.
            return


def is_due(found: Slice, survey: Survey | None, lifetime: Lifetime, now_ns: int) -> bool:
    """Whether a slice should be looked at: what still grows again and again, what is immutable once more."""
    # The table of one that was rewritten has what came late, and says nothing of the slice.
    if not found.made or found.moved != UNMOVED or found.start > now_ns or not lifetime.is_read(found, now_ns):
        return False
    if survey is None:
        return True
    state_then = lifetime.state(found, survey.until_us * 1_000)
    if state_then != "active":
        return False
    if lifetime.state(found, now_ns) != "active":
        return True
    again_ns = min(AGAIN_MAX_NS, max(AGAIN_NS, (found.end - found.start) // AGAIN_SHARE))
    return now_ns - survey.until_us * 1_000 >= again_ns


def is_stale(found: Slice, survey: Survey | None, lifetime: Lifetime, now_ns: int) -> bool:
    """Whether whoever asks for this slice alone should have it looked at."""
    # As in `is_due`.
    if found.moved != UNMOVED:
        return False
    if survey is None:
        return True
    grew = lifetime.state(found, survey.until_us * 1_000) == "active"
    return grew and now_ns - survey.until_us * 1_000 >= FRESH_NS


def asked_for(slices: Iterable[Slice], table: str | None) -> list[Slice]:
    """All that have events, or the one that has or had a table of that name; `NotFound` where there is none."""
    found = [each for each in slices if each.sources and (table is None or each.owns(table))]
    if table is not None and not found:
        raise NotFound(f"no slice has the table {table!r}", field="slice", hint="list_slices tells their tables")
    return found


def told(found: Slice, survey: Survey | None) -> SlicePartitions:
    """As it is answered."""
    slice = SlicePartitions(
        table=found.table,
        start=Instant(max(found.start, INT64_MIN)),
        end=Instant(min(found.end, INT64_MAX)),
    )
    if survey is None:
        return slice
    buckets = survey.bytes.by_powers_of_two().items()
    return msgspec.structs.replace(
        slice,
        surveyed_at=Instant(survey.until_us * 1_000),
        surveyed_table=None if found.moved == UNMOVED else found.first_table,
        share_seen=survey.share,
        partitions_seen=survey.seen,
        partitions=survey.partitions,
        total_bytes=survey.total_bytes,
        p50_rank_error=round(survey.rank_error(0.5), 5),
        p99_rank_error=round(survey.rank_error(0.99), 5),
        bytes=_quantiles(survey.bytes),
        rows=_quantiles(survey.rows),
        buckets=[PartitionBucket(bytes_from=power, partitions=count) for power, count in buckets],
    )


def _quantiles(sketch: Sketch) -> Quantiles:
    return Quantiles(
        p50=sketch.quantile(0.5),
        p75=sketch.quantile(0.75),
        p95=sketch.quantile(0.95),
        p98=sketch.quantile(0.98),
        p99=sketch.quantile(0.99),
        max=sketch.greatest,
    )
