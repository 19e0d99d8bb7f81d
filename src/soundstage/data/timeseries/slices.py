"""Time slices: which there are, which state they are in, and how the next one is to be.

A slice has the events from its start on and before its end, in a table of its own, by settings of its own that never
change. Slices do not overlap. Where none is, nothing was ever written, and one is made when something is.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from soundstage.core.time import INT64_MAX, INT64_MIN, NS_PER_S, Instant
from soundstage.data.timeseries import placement
from soundstage.data.timeseries.api import SliceState
from soundstage.data.timeseries.config import Kept, Layout

GROWTH_NS = 86_400 * NS_PER_S
"""What a slice without an end grows by, at least: so that it is seldom written down, and few buckets are in vain."""

AFTER_TIME = INT64_MAX + 1
"""The end of the last slice that there can be."""


SLICE_FORMAT = 2
"""Of slices whose events do not all lie in `table`; of others it is 1."""


class Compacted(msgspec.Struct, frozen=True, array_like=True):
    """Segments that have events of a slice: blobs of `engine` whose keys begin with `run`.

    `rows` and `bytes` are those of the files; `digest` is the sha256 of the list of them.
    """

    engine: str
    run: str
    files: int
    rows: int
    bytes: int
    digest: str
    at_us: int


class Left(msgspec.Struct, frozen=True, array_like=True):
    """A table, or with an `engine` the segments of a run, to which nobody comes any more from `since_us` on."""

    name: str
    since_us: int
    engine: str = ""


class Moved(msgspec.Struct, frozen=True, array_like=True):
    """What a slice has besides its table: the steps by which events come to lie in segments.

    `sealed` tables are read and not written to from `sealed_us` on. `building` is the run that is to have what they
    and the segments have. `left` is no part of the slice and is there yet. `renewed` counts the tables there were.
    """

    sealed: tuple[str, ...] = ()
    sealed_us: int = 0
    building: Left | None = None
    compacted: Compacted | None = None
    left: tuple[Left, ...] = ()
    renewed: int = 0


UNMOVED = Moved()


class Slice(msgspec.Struct, frozen=True, array_like=True):
    """One slice as it is stored. Times are nanoseconds; `origin` is the beginning of the bucket 0.

    An `endless` one grows to both sides. `made` is false until its table exists, `dropping` true when that may be gone.
    """

    number: int
    start: int
    end: int
    origin: int
    bucket_ns: int
    event_buckets: int
    table: str
    endless: bool = False
    made: bool = False
    dropping: bool = False
    dedicated: bool = False
    format: int = 1
    moved: Moved = UNMOVED

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables that have events of it."""
        return (*self.moved.sealed, self.table) if self.made else self.moved.sealed

    @property
    def sources(self) -> tuple[str, ...]:
        """All that has events of it: its tables, and the run of its segments."""
        return self.tables if self.moved.compacted is None else (*self.tables, self.moved.compacted.run)

    def owns(self, table: str) -> bool:
        """Whether the table is one of those that the slice has, or had."""
        return table == self.first_table or table.startswith(f"{self.first_table}_")

    @property
    def first_table(self) -> str:
        """The table that it had before any was sealed."""
        return self.table.rpartition("_")[0] if self.moved.renewed else self.table

    def altered(self, moved: Moved) -> Slice:
        """The slice, whose events lie so."""
        return msgspec.structs.replace(self, moved=moved, format=SLICE_FORMAT)

    def resealed(self, now_us: int) -> Slice:
        """The slice, whose table is sealed; what is written from here on goes into another, not made yet."""
        renewed = self.moved.renewed + 1
        moved = msgspec.structs.replace(self.moved, sealed=self.tables, sealed_us=now_us, renewed=renewed)
        return msgspec.structs.replace(self.altered(moved), table=f"{self.first_table}_{renewed}", made=False)

    def partition(self, series: bytes, time_ns: int, event_id: bytes) -> bytes:
        """Where an event of that time lies."""
        bucket = placement.event_bucket(event_id, self.event_buckets)
        return placement.partition(series, (time_ns - self.origin) // self.bucket_ns, bucket)

    def partitions(self, series: bytes, time_bucket: int) -> list[bytes]:
        """All that one time bucket of an id consists of."""
        return [placement.partition(series, time_bucket, bucket) for bucket in range(self.event_buckets)]

    def time_buckets(self, first_ns: int, last_ns: int) -> Iterator[int]:
        """The buckets that have the events from `first_ns` to `last_ns`, the newest first."""
        newest = (min(last_ns, self.end - 1) - self.origin) // self.bucket_ns
        oldest = (max(first_ns, self.start) - self.origin) // self.bucket_ns
        return iter(range(newest, oldest - 1, -1))

    def bucket_start(self, time_bucket: int) -> int:
        """The first instant of a bucket that lies in the slice."""
        return max(self.start, self.origin + time_bucket * self.bucket_ns)


class Lifetime(NamedTuple):
    """What the knobs say of the states of slices. `accept_ns` None: events of any age are taken."""

    accept_ns: int | None
    kept: Kept

    def state(self, found: Slice, now_ns: int) -> SliceState:
        """Live events are accepted by active slices alone, and read from all but closed ones."""
        if self.deleted_at(found, INT64_MAX) <= now_ns:
            return "deleted"
        if self.closes_at(found, INT64_MAX) <= now_ns:
            return "closed"
        late = self.accept_ns is not None and now_ns - self.accept_ns > found.end
        return "immutable" if late else "active"

    def is_read(self, found: Slice, now_ns: int) -> bool:
        """Whether events of the slice are shown."""
        return self.closes_at(found, INT64_MAX) > now_ns and not found.dropping

    def closes_at(self, found: Slice, never: int) -> int:
        """When it is read for the last time."""
        return never if self.kept.close_ns is None else min(found.end + self.kept.close_ns, never)

    def deleted_at(self, found: Slice, never: int) -> int:
        """When it is dropped."""
        return never if self.kept.delete_ns is None else min(found.end + self.kept.delete_ns, never)


def covering(slices: Sequence[Slice], time_ns: int) -> Slice | None:
    """The one of `slices`, which are in order, that events of that time lie in."""
    at = bisect_right(slices, time_ns, key=lambda each: each.start) - 1
    return slices[at] if at >= 0 and time_ns < slices[at].end else None


def planned(slices: Sequence[Slice], time_ns: int, layout: Layout, number: int, table: str) -> Slice:
    """The slice that is to have the events of a time that none of `slices` has: a new one, or one that has grown.

    A new one has the `number` and a table whose name begins with `table`. Starts and ends are multiples of the width,
    but where another slice, of another width, lies across them.
    """
    at = bisect_right(slices, time_ns, key=lambda each: each.start)
    before, behind = slices[at - 1] if at else None, slices[at] if at < len(slices) else None
    least = INT64_MIN if before is None else before.end
    most = AFTER_TIME if behind is None else behind.start
    if layout.width_ns:
        start, end = _grid(time_ns, layout.width_ns, least, most)
        return _new(start, end, start, layout, number, table)
    step_ns = layout.bucket_ns * -(-GROWTH_NS // layout.bucket_ns)
    start, end = _grid(time_ns, step_ns, least, most)
    if before is not None and before.endless:
        return msgspec.structs.replace(before, end=end)
    if behind is not None and behind.endless:
        return msgspec.structs.replace(behind, start=start)
    return _new(start, end, 0, layout, number, table, endless=True)


def following(slices: Sequence[Slice], now_ns: int, layout: Layout, *, ahead: bool = False) -> int | None:
    """The time of which a slice should be made now, ahead of its events; None where there is none to make.

    A slice in use, past its half, is followed by another; one that grows does so a day ahead. What nobody writes to
    makes no tables, unless all is to be made `ahead`: then the slice of the present is, too.
    """
    found = covering(slices, now_ns)
    if found is None:
        return now_ns if ahead else None
    if found.end > INT64_MAX:
        return None
    near_ns = GROWTH_NS if found.endless else (found.end - found.start) // 2
    after = covering(slices, found.end)
    if found.end - now_ns > near_ns or (after is not None and after.made):
        return None
    return found.end


def _grid(time_ns: int, step_ns: int, least: int, most: int) -> tuple[int, int]:
    start = time_ns // step_ns * step_ns
    return max(start, least), min(start + step_ns, most)


def _new(start: int, end: int, origin: int, layout: Layout, number: int, table: str, *, endless: bool = False) -> Slice:
    day = Instant(max(start, INT64_MIN)).rfc3339()[:10].replace("-", "")
    return Slice(
        number=number,
        start=start,
        end=end,
        origin=origin,
        bucket_ns=layout.bucket_ns,
        event_buckets=layout.event_buckets,
        table=f"{table}{day}_{number}",
        endless=endless,
    )
