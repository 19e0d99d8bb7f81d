"""Rows of any number in the order of their series and keys, of which a bounded part is in memory.

What comes is kept until it is as much as may be, sorted, and put aside as a blob; in the end all that was put aside is
merged, frame by frame. Of two rows under one key the greater stays, and what goes is counted.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Sequence
from heapq import merge
from typing import Protocol

import msgspec

from soundstage.core.errors import Exhausted
from soundstage.data.timeseries.segments.columns import Sorted, Sum, sum_of
from soundstage.data.timeseries.segments.reading import fetched
from soundstage.engines.blobs.port import Blobs
from soundstage.runtime.compute import Compute

ROW_BYTES = 250
"""What a row takes in memory besides its bytes, about."""

SORT_BYTES = 64 << 20
"""Of rows that are sorted in memory at once, with `ROW_BYTES` for each."""

FRAME_BYTES = 256 << 10
SPILLS_MAX = 512
"""Parts that are merged, of each of which a frame is in memory: 128 MiB."""

CHUNK_ROWS = 2_048

STEP_ROWS = 8_192
"""Of rows sorted by one call: for as long as that takes no thread of the process does anything else."""


class Source(Protocol):
    """Sorted rows, some at a time: `rows` are those at hand, until `more` brings others or says that there are none."""

    rows: list[Sorted]

    async def more(self) -> bool: ...


class Kept:
    """A source of what is in memory."""

    def __init__(self, rows: Sequence[Sorted]) -> None:
        self.rows: list[Sorted] = []
        self._left = rows
        self._at = 0

    async def more(self) -> bool:
        self.rows = list(self._left[self._at : self._at + CHUNK_ROWS])
        self._at += CHUNK_ROWS
        return bool(self.rows)


class PutAside:
    """A source of what lies in a blob, whose frames end at `ends`."""

    def __init__(self, blobs: Blobs, key: str, ends: Sequence[int], compute: Compute) -> None:
        self.rows: list[Sorted] = []
        self._blobs = blobs
        self._key = key
        self._ends = ends
        self._compute = compute
        self._next = 0

    async def more(self) -> bool:
        if self._next >= len(self._ends):
            self.rows = []
            return False
        start = self._ends[self._next - 1] if self._next else 0
        frame = await fetched(self._blobs, self._key, start, self._ends[self._next])
        self._next += 1
        self.rows = await self._compute.thread(_unpacked, frame)
        return True


class Sorting:
    """Takes rows, and gives them in order. `prefix` begins the keys of the blobs that it puts aside.

    `sum` is of all rows that were taken.
    """

    def __init__(self, blobs: Blobs, prefix: str, compute: Compute) -> None:
        self.sum: Sum = Sum()
        self._blobs = blobs
        self._prefix = prefix
        self._compute = compute
        self._rows: list[Sorted] = []
        self._bytes = 0
        self._aside: list[PutAside] = []

    async def take(self, rows: list[Sorted], check: Callable[[], None]) -> None:
        """`rows` are among those to be sorted. Raises `Exhausted` for more than can be merged."""
        self.sum = self.sum.plus(await self._compute.thread(sum_of, rows))
        self._rows += rows
        self._bytes += sum(ROW_BYTES + len(key) + len(cell) for _, key, cell in rows)
        if self._bytes >= SORT_BYTES:
            check()
            await self._put_aside()

    async def sources(self) -> list[Source]:
        """All that was taken, each of them sorted."""
        rows, self._rows = self._rows, []
        return [*self._aside, Kept(await self._compute.thread(in_order, rows))]

    async def _put_aside(self) -> None:
        if len(self._aside) >= SPILLS_MAX:
            raise Exhausted(
                f"a time slice has more than {SPILLS_MAX} times as much as can be sorted in memory",
                hint="make slices shorter by `time_partition.seconds_per_slice`",
                retryable=False,
            )
        rows, self._rows, self._bytes = self._rows, [], 0
        key, ends = f"{self._prefix}{len(self._aside):04d}", list[int]()
        frames = await self._compute.thread(_packed, rows)
        del rows

        async def chunks() -> AsyncGenerator[bytes]:
            for frame in frames:
                ends.append(len(frame) + (ends[-1] if ends else 0))
                yield frame

        await self._blobs.put(key, chunks())
        self._aside.append(PutAside(self._blobs, key, ends, self._compute))


class Merged:
    """What sorted sources have, in order and once; `lost` is of the rows that lost against greater ones."""

    def __init__(self, sources: Sequence[Source], compute: Compute) -> None:
        self.lost: Sum = Sum()
        self._sources = list(sources)
        self._compute = compute

    async def chunks(self) -> AsyncGenerator[list[Sorted]]:
        """Some rows at a time."""
        last = list[Sorted]()
        while parts := await self._next():
            rows, lost = await self._compute.thread(_once, [last, *parts])
            if lost:
                self.lost = self.lost.plus(await self._compute.thread(sum_of, lost))
            # A greater one under the same key may come next.
            last = rows[-1:]
            yield rows[:-1]
        if last:
            yield last

    async def _next(self) -> list[list[Sorted]]:
        """Rows before which no source has any that are not among them; none at the end."""
        live = list[Source]()
        for source in self._sources:
            while not source.rows and await source.more():
                pass
            if source.rows:
                live.append(source)
        self._sources = live
        if not live:
            return []
        least = min(source.rows[-1][:2] for source in live)
        parts = list[list[Sorted]]()
        for source in live:
            count = bisect_right(source.rows, least, key=_place)
            parts.append(source.rows[:count])
            source.rows = source.rows[count:]
        return parts


async def groups(chunks: AsyncIterable[list[Sorted]], most_rows: int, most_bytes: int) -> AsyncGenerator[list[Sorted]]:
    """The rows of `chunks`, as many at a time as make a row group."""
    group, size = list[Sorted](), 0
    async for chunk in chunks:
        for row in chunk:
            weight = len(row[0]) + len(row[1]) + len(row[2])
            if group and (len(group) >= most_rows or size + weight > most_bytes):
                yield group
                group, size = [], 0
            group.append(row)
            size += weight
    if group:
        yield group


def in_order(rows: Sequence[Sorted]) -> list[Sorted]:
    """The same rows, sorted in steps between which others run. For a thread."""
    return list(merge(*(sorted(rows[at : at + STEP_ROWS]) for at in range(0, len(rows), STEP_ROWS))))


def _place(row: Sorted) -> tuple[bytes, bytes]:
    return row[:2]


def _once(parts: Sequence[list[Sorted]]) -> tuple[list[Sorted], list[Sorted]]:
    """All rows in order, of those under one key the greatest, and the others."""
    every = sorted(row for part in parts for row in part)
    rows, lost = list[Sorted](), list[Sorted]()
    for row in every:
        if rows and rows[-1][1] == row[1] and rows[-1][0] == row[0]:
            lost.append(rows.pop())
        rows.append(row)
    return rows, lost


def _packed(rows: list[Sorted]) -> list[bytes]:
    """`rows`, in order, as frames."""
    frames, frame, size = list[bytes](), list[Sorted](), 0
    for row in in_order(rows):
        frame.append(row)
        size += len(row[1]) + len(row[2]) + ROW_BYTES
        if size >= FRAME_BYTES:
            frames.append(_encode(frame))
            frame, size = [], 0
    if frame:
        frames.append(_encode(frame))
    return frames


def _unpacked(frame: bytes) -> list[Sorted]:
    return _decode(frame)


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Sorted]).decode
