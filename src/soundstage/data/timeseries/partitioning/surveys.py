"""A survey of one slice: what its partitions hold, by looking at some of them.

Stores keep a table in the order of the hashes of its partitions, so a part of the hashes is a fair sample of the
partitions, and what lies in it is measured to the byte, whoever wrote it and however often. The parts that are looked
at grow, from a thousandth on, until enough partitions were seen; a small slice is seen whole, and then nothing is
estimated. Nothing is counted while events are written: a repetition would count twice, and a crash would lose counts.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from math import sqrt
from typing import NamedTuple

import msgspec

from soundstage.core.environment import Environment
from soundstage.data.timeseries.partitioning.sketch import Sketch
from soundstage.engines.records.port import Budget, Records, Row, WalkPage

PARTS: tuple[tuple[int, int], ...] = ((0, 1_024), *((1, 1 << power) for power in range(10, 0, -1)))
"""Segments that together are a table: each is as large as all before it."""

PARTS_IN_ALL = 1_024

PAGE = Budget(rows=2_000, bytes=256 << 10)

CONFIDENCE = 2.58
"""Standard deviations, beyond which one sample of a hundred lies."""

FORMAT = 1


class Limits(NamedTuple):
    """When a survey has seen enough: so many `partitions`, or so many bytes and `fewest` partitions.

    It ends in the middle of a part at `bytes_max` alone. `bytes_per_second` None: as fast as the store answers.
    """

    partitions: int
    fewest: int
    bytes: int
    bytes_max: int
    bytes_per_second: int | None = None


class Survey(msgspec.Struct, kw_only=True):
    """What was found. `whole_parts` of all 1,024 were seen to their ends, with `counted` of the partitions seen.

    `until_us` is when it began: what was written later may be in it or not.
    """

    until_us: int
    whole_parts: int = 0
    counted: int = 0
    bytes: Sketch = msgspec.field(default_factory=Sketch)
    rows: Sketch = msgspec.field(default_factory=Sketch)
    format: int = FORMAT

    @property
    def share(self) -> float:
        """Of the slice, which was seen."""
        return self.whole_parts / PARTS_IN_ALL

    @property
    def seen(self) -> int:
        """Partitions that were measured."""
        return self.bytes.values

    @property
    def partitions(self) -> int | None:
        """About how many there are; exact where all was seen, None where too little was."""
        return round(self.counted / self.share) if self.whole_parts else None

    @property
    def total_bytes(self) -> int | None:
        """About what all partitions hold; None where too little was seen."""
        return (
            None if self.partitions is None or not self.seen else round(self.bytes.total / self.seen * self.partitions)
        )

    def rank_error(self, share: float) -> float:
        """How far, with 99 % confidence, the rank of what is told for a quantile may be from `share`."""
        if self.whole_parts == PARTS_IN_ALL:
            return 0.0
        if not self.seen:
            return 1.0
        return CONFIDENCE * sqrt(share * (1 - share) / self.seen * (1 - self.share))


class _Meter:
    """The size of the partition that is being read, whose rows may come in several pages."""

    def __init__(self, survey: Survey) -> None:
        self._survey = survey
        self._partition: bytes | None = None
        self._rows = 0
        self._bytes = 0
        self.read: int = 0

    def take(self, partition: bytes, rows: Sequence[Row]) -> None:
        if partition != self._partition:
            self.end()
            self._partition = partition
        size = sum(len(key) + len(cell) for key, cell in rows)
        self._rows += len(rows)
        self._bytes += size
        self.read += size

    def end(self) -> None:
        """The partition that is being read has no more rows."""
        if self._partition is not None:
            self._survey.rows.add(self._rows)
            self._survey.bytes.add(self._bytes)
        self._partition, self._rows, self._bytes = None, 0, 0


async def survey(
    records: Records,
    table: str,
    limits: Limits,
    environment: Environment,
    check: Callable[[], None] | None = None,
) -> Survey:
    """Enough of the table was looked at. `check` raises when it is to be given up. Raises what the store does."""
    found = Survey(until_us=environment.now_us())
    meter = _Meter(found)
    began_ns = environment.monotonic_ns()

    async def read(part: tuple[int, int], position: bytes | None) -> WalkPage:
        if check is not None:
            check()
        if limits.bytes_per_second is not None:
            passed_s = (environment.monotonic_ns() - began_ns) / 1e9
            await environment.sleep(max(0.0, meter.read / limits.bytes_per_second - passed_s))
        return await records.walk(table, *part, position, PAGE, environment.now_us())

    for part in PARTS:
        if not await _see(part, read, meter, limits.bytes_max):
            break
        found.whole_parts += PARTS_IN_ALL // part[1]
        found.counted = found.seen
        if _enough(found, meter.read, limits):
            break
    return found


async def _see(
    part: tuple[int, int],
    read: Callable[[tuple[int, int], bytes | None], Awaitable[WalkPage]],
    meter: _Meter,
    bytes_max: int,
) -> bool:
    """Whether the part was read to its end. If not, what was read of its last partition is a lower bound."""
    position: bytes | None = None
    while True:
        page = await read(part, position)
        for partition, rows in page.partitions:
            meter.take(partition, rows)
        position = page.position
        if position is None or meter.read >= bytes_max:
            meter.end()
            return position is None


def _enough(found: Survey, read: int, limits: Limits) -> bool:
    return found.seen >= limits.partitions or (found.seen >= limits.fewest and read >= limits.bytes)
