"""Pages of the events of one id in an interval, the newest first.

The interval is cut into time buckets, by the settings of each slice, and read from the newest bucket back. A page goes
on at a key, which says a time and an event and nothing of where that lies: what came before it is never shown again,
however new, and what lies behind it is shown once, wherever it has been put meanwhile.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from math import ceil

import msgspec

from soundstage.core import version
from soundstage.core.environment import Environment
from soundstage.core.errors import InvalidArgument, NotFound
from soundstage.core.limits import check_text
from soundstage.core.time import Instant
from soundstage.core.together import all_or_none
from soundstage.data.pagination import Patience
from soundstage.data.timeseries.api import Event, EventFilter, EventItem, TimeInterval
from soundstage.data.timeseries.fanout import FanOut
from soundstage.data.timeseries.namespace import ServedNamespace
from soundstage.data.timeseries.partitions import Found, PartitionReader
from soundstage.data.timeseries.placement import TIME_BYTES, after_event, event_of, key_of_time, newest_of, span_of
from soundstage.data.timeseries.segments.layers import Reader, reader_of
from soundstage.data.timeseries.slices import Slice
from soundstage.engines.records.port import Budget, Row
from soundstage.runtime.patience import within

ROWS_MIN = 16
ROWS_MAX = 10_000
PAGES_AHEAD = 4
"""What may be read in vain of partitions behind the first, which fill the page where that has nothing."""

SHARE_MIN_BYTES = 64 << 10
"""Of each partition that is read with others; with 64 at once this is 4 MiB."""

YIELD_EVERY = 256
"""Events between two turns of others."""

MARGIN = 1.1


class Wanted(msgspec.Struct, frozen=True):
    """What a page is asked for. `resume` is the least key of its first event.

    `stalled`: the page before ended where it began, so that this one, whatever time it takes, may not.
    """

    series: bytes
    start_ns: int
    resume: bytes
    filters: dict[bytes, bytes]
    records: int
    records_left: int | None
    needed: float | None = None
    stalled: bool = False


class PageResult(msgspec.Struct):
    """A page, and where the next one begins; `resume` None: there is none. `cut`: it ended because of the time."""

    events: list[Event]
    resume: bytes | None
    needed: float
    cut: bool = False


class _Bucket:
    """A time bucket of a slice, or all of one: its reader, and the key from which older buckets have their events."""

    __slots__ = ("behind", "found", "reader")

    def __init__(self, reader: Reader, found: Slice, behind: bytes) -> None:
        self.reader: Reader = reader
        self.found = found
        self.behind = behind


def interval_of(interval: TimeInterval) -> tuple[int, bytes]:
    """The first instant of an interval, and the least key of an event in it. Raises `InvalidArgument` for none."""
    if interval.start >= interval.end:
        raise InvalidArgument(
            f"the interval ends at {interval.end}, and does not begin before that",
            field="time_interval",
            hint="start is in it, end is not: let start be before end",
        )
    return int(interval.start), key_of_time(interval.end - 1)


def filters_of(filters: Sequence[EventFilter] | None) -> dict[bytes, bytes]:
    """Values by item keys. Raises `InvalidArgument` for two of one key, which no event matches."""
    found: dict[bytes, bytes] = {}
    for index, each in enumerate(filters or ()):
        key = check_text(each.match_event_item_key, f"event_filters[{index}].match_event_item_key")
        if found.setdefault(key, each.match_event_item_value) != each.match_event_item_value:
            raise InvalidArgument(
                f"event_filters[{index}] asks for another value under the same key",
                field=f"event_filters[{index}]",
                hint="an event has one value under a key, and must match all filters",
            )
    return found


class PageReading:
    """One page in the making."""

    def __init__(
        self, served: ServedNamespace, wanted: Wanted, environment: Environment, patience: Patience, *, partial: bool
    ) -> None:
        self._served = served
        self._wanted = wanted
        self._environment = environment
        self._patience = patience
        self._reads_end_ns: int | None = patience.stop_ns
        self._partial = partial
        self._now_ns = environment.now_ns()
        self._buckets = self._planned()
        self._ahead: deque[_Bucket] = deque()
        self._planned_partitions = 0
        self._events: list[Event] = []
        self._unpacking = _Unpacking(wanted.series)
        self._bytes_left: int = served.config.page_size_bytes
        self._read_left: int = served.config.read_bytes_max
        self._left = min(wanted.records, wanted.records if wanted.records_left is None else wanted.records_left)
        self._needed = 0
        self._rows_per_event = served.rows_per_event
        self._resume: bytes | None = wanted.resume
        hint = served.fan_out.needed if wanted.needed is None else wanted.needed
        self._fan_out = FanOut(hint, served.config.fan_out_max, elsewhere=served.elsewhere)

    async def run(self) -> PageResult:
        """The page. Raises what the store raises."""
        width, cut = self._fan_out.width(), False
        while True:
            self._look_ahead(width)
            if not self._ahead:
                self._resume = None
                break
            cut = not await self._fill()
            if await self._drain() or cut or self._is_spent():
                break
            cut = self._is_late()
            if cut:
                break
            if not self._ahead:
                width = self._fan_out.wider(width)
        return self._result(cut)

    def _result(self, cut: bool) -> PageResult:
        served = self._served
        if not cut and self._needed:
            # What a walk learns counts for its next pages first.
            self._fan_out.learn(self._needed)
            served.fan_out.learn(self._needed)
        served.tally.read += len(self._events)
        return PageResult(self._events, self._resume, self._fan_out.needed, cut)

    def _planned(self) -> Iterator[_Bucket]:
        """The buckets to read, the newest first."""
        wanted = self._wanted
        newest_ns = newest_of(wanted.resume)
        for found in reversed(self._served.catalogue.slices):
            if found.start > newest_ns or found.end <= wanted.start_ns:
                continue
            if not found.sources or not self._served.lifetime.is_read(found, self._now_ns):
                continue
            if not found.tables:
                # Segments have no buckets.
                yield self._bucket(found, None)
                continue
            for time_bucket in found.time_buckets(wanted.start_ns, newest_ns):
                yield self._bucket(found, time_bucket)

    def _bucket(self, found: Slice, time_bucket: int | None) -> _Bucket:
        wanted, served = self._wanted, self._served
        span = span_of(wanted.start_ns, wanted.resume)
        reader = reader_of(served.records, served.segments, found, wanted.series, time_bucket, span)
        start_ns = found.start if time_bucket is None else found.bucket_start(time_bucket)
        return _Bucket(reader, found, key_of_time(start_ns - 1))

    def _look_ahead(self, width: int) -> None:
        """Buckets of `width` partitions or more are at hand, where there are so many."""
        count = sum(len(each.reader) for each in self._ahead)
        while count < width and (bucket := next(self._buckets, None)) is not None:
            self._ahead.append(bucket)
            count += len(bucket.reader)
            self._planned_partitions += len(bucket.reader)

    async def _fill(self) -> bool:
        """The next bucket has events to take, or none at all; those after it were begun. False: it takes too long."""
        if not self._is_cut or self._patience.stop_ns is None:
            await self._fill_all()
            return True
        left_s = (self._patience.stop_ns - self._environment.monotonic_ns()) / 1e9
        return left_s > 0 and await within(self._environment, left_s, self._fill_all()) is not None

    async def _fill_all(self) -> bool:
        now_us = self._now_ns // 1_000
        first = self._ahead[0]
        dry = [each for each in self._ahead if each.reader.is_dry and (each is first or not each.reader.read)]
        whole, share = self._budgets(first.reader.dry, sum(len(each.reader) for each in dry))
        await all_or_none([self._fill_one(each, whole if each is first else share, now_us) for each in dry])
        return True

    async def _fill_one(self, bucket: _Bucket, budget: Budget, now_us: int) -> None:
        reader, served = bucket.reader, self._served
        calls, size, rows = reader.read, reader.read_bytes, reader.read_rows
        try:
            await reader.fill(budget, now_us)
        except NotFound as error:
            await served.catalogue.check_there(bucket.found, error)
            # Its slice was dropped meanwhile, and all that it had.
            bucket.reader = PartitionReader(served.records, bucket.found.table, (), span_of(0, b""))
            return
        served.tally.partitions_read += reader.read - calls
        served.row_bytes.learn(reader.read_rows - rows, reader.read_bytes - size)
        self._read_left -= reader.read_bytes - size

    def _budgets(self, first: int, all_dry: int) -> tuple[Budget, Budget]:
        """What to read of each of the `first` dry partitions, which may fill the page, and of each of those behind.

        By what rows and events were of late. A page that looks for events that match its filters reads more.
        """
        rows = ceil((self._left + 1) * max(1.0, self._rows_per_event.bytes) * MARGIN)
        size = min(self._bytes_left, self._read_left)
        if self._wanted.filters:
            rows, size = ROWS_MAX, min(2 * self._served.config.page_size_bytes, self._read_left)
        return self._share(rows, size, first), self._share(rows, size, ceil(all_dry / PAGES_AHEAD))

    def _share(self, rows: int, size: int, partitions: int) -> Budget:
        among = max(1, partitions)
        size, rows = max(SHARE_MIN_BYTES, size // among), max(ROWS_MIN, min(ROWS_MAX, ceil(rows / among)))
        likely = self._served.row_bytes.rows_for(size, ROWS_MIN, rows)
        return Budget(rows=rows, bytes=size, deadline_ns=self._reads_end_ns, likely_rows=likely)

    async def _drain(self) -> bool:
        """What is at hand was taken, as far as the page has room; whether that is full."""
        turn = YIELD_EVERY
        while self._ahead:
            bucket = self._ahead[0]
            reader = bucket.reader
            if reader.is_dry:
                if self._left:
                    return False
                # Whether there is more is not worth another read.
                self._needed += max(1, len(reader))
                return True
            if reader.peek() is None:
                self._ahead.popleft()
                self._needed += max(1, len(reader))
                self._resume = bucket.behind
                continue
            found = reader.pop(turn) if self._left else []
            if not found or not self._take(found):
                self._needed += max(1, len(reader))
                return True
            turn -= len(found)
            if not turn:
                await self._patience.give_way()
                turn = YIELD_EVERY
        if self._left:
            return False
        self._look_ahead(1)
        if not self._ahead:
            self._resume = None
        return True

    def _take(self, found: Sequence[Found]) -> bool:
        """The next events were looked at; False: one has no room in the page, or was the last that had."""
        events, filters, unpack = self._events, self._wanted.filters, self._unpacking.event
        looked, more = b"", True
        for each in found:
            prefix, rows, size = each
            if not filters or _matches(each, filters):
                if not self._left or (events and size > self._bytes_left):
                    more = False
                    break
                if len(rows) != self._rows_per_event.bytes:
                    self._rows_per_event.learn(1, len(rows))
                events.append(unpack(prefix, rows))
                self._bytes_left -= size
                self._left -= 1
            looked = prefix
        if looked:
            self._resume = after_event(looked)
        if not self._left and self._wanted.records_left is not None and len(events) >= self._wanted.records_left:
            self._resume = None
            return False
        return more and self._bytes_left > 0

    @property
    def _came_farther(self) -> bool:
        """Whether another page would begin behind where this one did; else it would be asked for again, for ever."""
        return self._resume != self._wanted.resume

    def _is_late(self) -> bool:
        """Whether the page ends because of the time. One that came no farther has until the call is ended."""
        if not self._patience.is_over():
            return False
        # From here on reads that end by themselves would bring nothing.
        self._reads_end_ns = None
        return self._is_cut or self._came_farther

    @property
    def _is_cut(self) -> bool:
        """Whether the page ends with its time, wherever it is then."""
        return self._partial and (self._came_farther or not self._wanted.stalled)

    def _is_spent(self) -> bool:
        """Whether the page has read as much as one may."""
        if not self._came_farther:
            return False
        return self._read_left <= 0 or self._planned_partitions >= self._served.config.partitions_max


def _matches(found: Found, filters: dict[bytes, bytes]) -> bool:
    prefix, rows, _ = found
    keys = {prefix + key: value for key, value in filters.items()}
    matched = sum(1 for key, cell in rows if key in keys and version.split(cell).value == keys[key])
    return matched == len(keys)


def event_from(series: bytes, prefix: bytes, rows: Sequence[Row]) -> Event:
    """The event of `series` that has these rows, whose keys begin with `prefix`."""
    return _Unpacking(series).event(prefix, rows)


class _Unpacking:
    """Makes events of one series from their rows."""

    __slots__ = ("_head", "_head_end", "_series")

    def __init__(self, series: bytes) -> None:
        self._series = series.decode()
        self._head, self._head_end = b"\xff", 0

    def event(self, prefix: bytes, rows: Sequence[Row]) -> Event:
        """The event whose keys begin with `prefix`."""
        time_ns, event_id = event_of(prefix)
        items: list[EventItem] = []
        key_at = len(prefix)
        for key, cell in rows:
            # Between its time and its value a cell says the same as others of its series.
            if not cell.startswith(self._head, TIME_BYTES):
                self._head_end = version.parts(cell)[4]
                self._head = cell[TIME_BYTES : self._head_end]
            items.append(EventItem(event_item_key=key[key_at:].decode(), event_item_value=cell[self._head_end :]))
        return Event(
            time_series_id=self._series,
            event_time=Instant(time_ns),
            event_id=event_id.decode(),
            event_items=items,
        )
