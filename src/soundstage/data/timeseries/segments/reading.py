"""Reads runs of segments: of a file its footer, and then the row groups that may have what is asked for.

Footers, lists and row groups that were read of late are kept, and bytes that lie near them, as many as are set, for all
namespaces of the process. A file that is damaged or missing is an error that names it: nothing is left out of an
answer.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from typing import Any, Generic, NamedTuple, TypeVar

from soundstage.core.environment import Environment
from soundstage.core.errors import DataLoss, InvalidArgument, NotFound, Unavailable
from soundstage.core.time import INT64_MAX, INT64_MIN
from soundstage.core.turns import Turns
from soundstage.data.parquet import raw
from soundstage.data.parquet.library import arrow
from soundstage.data.parquet.raw import TAIL_BYTES, Known, described, extent, footer_bytes
from soundstage.data.timeseries.placement import TIME_BYTES, after_event, event_of, newest_of
from soundstage.data.timeseries.segments.columns import (
    FEW,
    Cells,
    Sorted,
    batch_of,
    plain,
    rows_of,
    schema,
)
from soundstage.data.timeseries.segments.writing import LIST, SegmentFile, SegmentList, decoded_list
from soundstage.data.timeseries.slices import Compacted
from soundstage.engines.blobs.port import Blobs
from soundstage.engines.records.port import Budget, Page, Row, Span
from soundstage.runtime.compute import Compute
from soundstage.runtime.service import BlobStores

ENGINE_KNOB = "compaction.engine"

FOOTERS_BYTES = 32 << 20
GROUPS_BYTES = 64 << 20
"""Of row groups, unpacked, of all runs that this process reads."""

NEAR_BYTES = 1 << 20
"""Of a file, fetched at once for a row group in it: engines read so much to prove any of it."""
NEAR_KEPT_BYTES = 32 << 20
NEAR_MAX = 4
"""Such stretches of a row group whose bytes are kept; a larger one is fetched by itself."""

INLINE_BYTES = 2 << 20
"""Of a row group that is unpacked where it is, in a millisecond or two: a thread takes longer to begin."""

GROUP_MAX_BYTES = 256 << 20
GROUP_KEPT_BYTES = 400
"""What is kept of a row group in a footer, about, besides the ids that it begins and ends with."""

AT_ONCE = 4
"""Row groups that are unpacked at the same time."""

STEP_ROWS = 512
"""Rows made of columns between two turns of others."""

T = TypeVar("T")


async def fetched(blobs: Blobs, key: str, start: int, end: int) -> bytes:
    """The bytes of a blob from `start` to before `end`."""
    async with aclosing(blobs.open(key, start, end)) as chunks:
        return b"".join([chunk async for chunk in chunks])


class Lately(Generic[T]):
    """What was used of late, up to so many bytes."""

    def __init__(self, most_bytes: int) -> None:
        self.bytes: int = 0
        self._most = most_bytes
        self._found: OrderedDict[tuple[str, int], tuple[T, int]] = OrderedDict()

    def get(self, place: tuple[str, int]) -> T | None:
        found = self._found.get(place)
        if found is None:
            return None
        self._found.move_to_end(place)
        return found[0]

    def clear(self) -> None:
        """Nothing is kept."""
        self._found.clear()
        self.bytes = 0

    def put(self, place: tuple[str, int], value: T, size: int) -> None:
        """`value` is kept, unless it alone is more than there is room for."""
        if place in self._found or size > self._most:
            return
        self._found[place] = value, size
        self.bytes += size
        while self.bytes > self._most:
            _, (_, gone) = self._found.popitem(last=False)
            self.bytes -= gone


class Group(NamedTuple):
    """A row group: the least and the greatest series, the newest and the oldest time, and where its bytes are."""

    first: bytes
    last: bytes
    newest_ns: int
    oldest_ns: int
    start: int
    end: int

    def may_have(self, series: bytes, newest_ns: int, oldest_ns: int) -> bool:
        """Whether events of a series and of such times may be in it."""
        if not self.first <= series <= self.last:
            return False
        return self.newest_ns >= oldest_ns and self.oldest_ns <= newest_ns


class Opened(NamedTuple):
    """The end of a file, as the library has it, and its row groups."""

    metadata: Any
    size: int
    groups: list[Group]


class Segments:
    """The runs that this process reads, on whichever engines. `fetched_bytes` and `groups_read` count."""

    def __init__(self, stores: BlobStores, compute: Compute, environment: Environment) -> None:
        self.fetched_bytes: int = 0
        self.groups_read: int = 0
        self.environment: Environment = environment
        self._stores = stores
        self._compute = compute
        self._lists = Lately[SegmentList](FOOTERS_BYTES)
        self._opened = Lately[Opened](FOOTERS_BYTES)
        self._groups = Lately[Any](GROUPS_BYTES)
        self._near = Lately[bytes](NEAR_KEPT_BYTES)
        self._turns = Turns[tuple[str, int]]()
        self._near_turns = Turns[tuple[str, int]]()
        self._unpacking = asyncio.Semaphore(AT_ONCE)

    def blobs(self, engine: str) -> Blobs:
        """The engine of that name. Raises `Unavailable` where the stage file has it no more."""
        try:
            return self._stores.blobs(engine, ENGINE_KNOB)
        except InvalidArgument as error:
            raise Unavailable(
                f"segments of time slices lie on the engine {engine!r}: {error.detail}",
                hint="put the engine back into the stage file",
                outcome="not_applied",
            ) from None

    def run(self, compacted: Compacted) -> Run:
        """The reader of a run."""
        return Run(self, self.blobs(compacted.engine), compacted)

    def forget(self) -> None:
        """Nothing is kept of what was read."""
        for kept in (self._lists, self._opened, self._groups, self._near):
            kept.clear()

    async def list(self, blobs: Blobs, run: str, digest: str) -> SegmentList:
        """The list of a run. Raises `NotFound`, `DataLoss`."""
        place = f"{run}/{digest}", -1
        found = self._lists.get(place)
        if found is None:
            data = await self._fetch(blobs, f"{run}/{LIST}", 0, None)
            found = decoded_list(run, data, digest)
            self._lists.put(place, found, 2 * len(data))
        return found

    async def open(self, blobs: Blobs, file: SegmentFile) -> Opened:
        """The footer of a file. Raises `NotFound`, `DataLoss`."""
        place = file.key, -1
        async with self._turns.at(place):
            found = self._opened.get(place)
            if found is None:
                start = max(0, file.size - TAIL_BYTES)
                tail = await self._fetch(blobs, file.key, start, file.size)
                try:
                    length = footer_bytes(tail, file.size)
                except ValueError as error:
                    raise _damaged(file.key, str(error)) from None
                if length > len(tail):
                    start = file.size - length
                    tail = await self._fetch(blobs, file.key, start, file.size)
                found = await self._compute.thread(_opened, file, start, tail)
                kept = length + sum(GROUP_KEPT_BYTES + len(each.first) + len(each.last) for each in found.groups)
                self._opened.put(place, found, kept)
        return found

    async def group(self, blobs: Blobs, file: SegmentFile, opened: Opened, number: int) -> Any:
        """The columns of a row group. Raises `NotFound`, `DataLoss`."""
        place = file.key, number
        async with self._turns.at(place):
            found = self._groups.get(place)
            if found is None:
                async with self._unpacking:
                    data = await self._fetch_near(blobs, file, opened.groups[number])
                    found = await self._unpack(file, opened, number, data)
                self._groups.put(place, found, found.nbytes)
        return found

    async def sorted_rows(self, blobs: Blobs, file: SegmentFile, opened: Opened, number: int) -> list[Sorted]:
        """The rows of a row group, fetched anew and not kept."""
        where = opened.groups[number]
        async with self._unpacking:
            data = await self._fetch(blobs, file.key, where.start, where.end)
            found = await self._unpack(file, opened, number, data)
        return await self._compute.thread(rows_of, found)

    async def _unpack(self, file: SegmentFile, opened: Opened, number: int, data: bytes) -> Any:
        self.groups_read += 1
        if opened.metadata.row_group(number).total_byte_size <= INLINE_BYTES:
            return _unpacked(file.key, opened, number, data)
        return await self._compute.thread(_unpacked, file.key, opened, number, data)

    async def _fetch_near(self, blobs: Blobs, file: SegmentFile, where: Group) -> bytes:
        """The bytes of a row group; those around them are kept for others."""
        first, after = where.start // NEAR_BYTES, -(-where.end // NEAR_BYTES)
        if after - first > NEAR_MAX:
            return await self._fetch(blobs, file.key, where.start, where.end)
        parts = [await self._stretch(blobs, file, number) for number in range(first, after)]
        begin = first * NEAR_BYTES
        return b"".join(parts)[where.start - begin : where.end - begin]

    async def _stretch(self, blobs: Blobs, file: SegmentFile, number: int) -> bytes:
        place = file.key, number
        async with self._near_turns.at(place):
            found = self._near.get(place)
            if found is None:
                begin = number * NEAR_BYTES
                found = await self._fetch(blobs, file.key, begin, min(file.size, begin + NEAR_BYTES))
                self._near.put(place, found, len(found))
        return found

    async def _fetch(self, blobs: Blobs, key: str, start: int, end: int | None) -> bytes:
        try:
            data = await fetched(blobs, key, start, (await blobs.head(key)).size if end is None else end)
        except NotFound:
            raise NotFound(f"the file {key} is missing", hint="restore it from a backup") from None
        except InvalidArgument:
            raise _damaged(key, "it is shorter than it was") from None
        self.fetched_bytes += len(data)
        return data


class Run:
    """The events of a slice that lie in segments, read as partitions of tables are: a series is a partition."""

    def __init__(self, segments: Segments, blobs: Blobs, compacted: Compacted) -> None:
        self._segments = segments
        self._blobs = blobs
        self._compacted = compacted

    async def files(self) -> list[SegmentFile]:
        """All files, in order."""
        return (await self._list()).files

    async def read(self, table: str, partition: bytes, span: Span, budget: Budget, now_us: int) -> Page:
        """Rows of the series `partition`, as `Records.read` has them; `table` means nothing."""
        rows, size = list[Row](), 0
        async with aclosing(self._groups(partition, span)) as groups:
            async for columns in groups:
                at, end = _bounds(columns, partition, span)
                while at < end:
                    step = min(STEP_ROWS, end - at, budget.rows + 1 - len(rows))
                    for key, cell in _rows(columns, partition, at, step):
                        weight = len(key) + len(cell)
                        if rows and (len(rows) >= budget.rows or size + weight > budget.bytes):
                            return Page(rows, key, None)
                        rows.append((key, cell))
                        size += weight
                    at += step
                    await self._segments.environment.sleep(0)
                if len(rows) >= budget.rows or size >= budget.bytes or self._is_over(budget):
                    return Page(rows, rows[-1][0] + b"\0" if rows else span.start, None)
        return Page(rows, None, None)

    async def events(
        self, series: bytes, prefixes: Sequence[bytes], check: Callable[[], None]
    ) -> AsyncGenerator[list[Row]]:
        """The rows of some events of a series, whose prefixes are in order, a few at a time; of each row group once.

        `check` is called before each row group is read.
        """
        spans = [(event_of(prefix)[0], Span(prefix, after_event(prefix))) for prefix in prefixes]
        async with aclosing(self._places(series, spans[0][0], spans[-1][0])) as places:
            async for file, number, group in places:
                within = [span for time_ns, span in spans if group.oldest_ns <= time_ns <= group.newest_ns]
                if not within:
                    continue
                check()
                columns = await self._segments.group(self._blobs, file, await self.open(file), number)
                for span in within:
                    at, end = _bounds(columns, series, span)
                    while at < end:
                        step = min(STEP_ROWS, end - at)
                        yield list(_rows(columns, series, at, step))
                        at += step
                    await self._segments.environment.sleep(0)

    async def sorted_rows(self, file: SegmentFile, group: int) -> list[Sorted]:
        """All rows of a row group, which is read anew and not kept."""
        return await self._segments.sorted_rows(self._blobs, file, await self.open(file), group)

    async def open(self, file: SegmentFile) -> Opened:
        """The footer of a file."""
        return await self._segments.open(self._blobs, file)

    async def _list(self) -> SegmentList:
        return await self._segments.list(self._blobs, self._compacted.run, self._compacted.digest)

    def _is_over(self, budget: Budget) -> bool:
        return budget.deadline_ns is not None and self._segments.environment.monotonic_ns() >= budget.deadline_ns

    async def _groups(self, series: bytes, span: Span) -> AsyncGenerator[Any]:
        """The row groups that may have rows of a series in a span, in order."""
        newest_ns = newest_of(span.start) if len(span.start) >= TIME_BYTES else INT64_MAX
        oldest_ns = newest_of(span.end) if span.end is not None and len(span.end) >= TIME_BYTES else INT64_MIN
        async with aclosing(self._places(series, newest_ns, oldest_ns)) as places:
            async for file, number, _ in places:
                yield await self._segments.group(self._blobs, file, await self.open(file), number)

    async def _places(
        self, series: bytes, newest_ns: int, oldest_ns: int
    ) -> AsyncGenerator[tuple[SegmentFile, int, Group]]:
        """Where row groups are that may have events of a series and of such times, in order."""
        for file in await self.files():
            if not file.first.encode() <= series <= file.last.encode():
                continue
            for number, group in enumerate((await self.open(file)).groups):
                if group.may_have(series, newest_ns, oldest_ns):
                    yield file, number, group


def _bounds(columns: Any, series: bytes, span: Span) -> tuple[int, int]:
    """From which row on, and before which, a row group has rows of a series in a span."""
    name, cells, every = series.decode(), Cells(series), range(columns.num_rows)
    ids, *keys = (columns.column(each) for each in ("time_series_id", *_KEYS))

    def series_at(at: int) -> str:
        return ids[at].as_py()

    def key_at(at: int) -> bytes:
        time_ns, event_id, item_key = (each[at].as_py() for each in keys)
        return cells.row(time_ns, event_id, item_key, b"")[0]

    first = bisect_left(every, name, key=series_at)
    after = bisect_right(every, name, lo=first, key=series_at)
    begin = bisect_left(every, span.start, lo=first, hi=after, key=key_at)
    return begin, after if span.end is None else bisect_left(every, span.end, lo=begin, hi=after, key=key_at)


def _rows(columns: Any, series: bytes, at: int, count: int) -> Iterator[Row]:
    cells = Cells(series)
    times, events, keys, values = (plain(columns, each, at, count) for each in (*_KEYS, "item_value"))
    for time_ns, event_id, item_key, value in zip(times, events, keys, values, strict=True):
        yield cells.row(time_ns, event_id, item_key, value)


_KEYS = ("event_time", "event_id", "item_key")


def _opened(file: SegmentFile, start: int, tail: bytes) -> Opened:
    """The footer of a file whose last bytes are `tail`. For a thread."""
    try:
        metadata = described(Known(file.size, [(start, tail)]))
        groups = [_described(metadata.row_group(number)) for number in range(metadata.num_row_groups)]
    except (arrow().ArrowException, OSError, ValueError, AttributeError) as error:
        raise _damaged(file.key, str(error)) from None
    if metadata.num_rows != file.rows or not all(
        0 <= each.start <= each.end <= file.size and each.end - each.start <= GROUP_MAX_BYTES for each in groups
    ):
        raise _damaged(file.key, "its footer tells of other rows than were written")
    return Opened(metadata, file.size, groups)


def _described(group: Any) -> Group:
    columns = [group.column(number) for number in range(group.num_columns)]
    starts, ends = zip(*map(extent, columns), strict=True)
    ids, times = columns[0].statistics, columns[1].statistics
    return Group(ids.min.encode(), ids.max.encode(), times.max_raw, times.min_raw, min(starts), max(ends))


def _unpacked(key: str, opened: Opened, number: int, data: bytes) -> Any:
    """A row group whose bytes are `data`. For a thread."""
    source = Known(opened.size, [(opened.groups[number].start, data)])
    try:
        file = raw.opened(source, opened.metadata, read_dictionary=FEW)
        found = batch_of(file.read_row_group(number, use_threads=False))
    except (arrow().ArrowException, OSError, ValueError, IndexError) as error:
        raise _damaged(key, f"its row group {number} cannot be read: {error}") from None
    if found.num_rows != opened.metadata.row_group(number).num_rows or found.schema.names != schema().names:
        raise _damaged(key, f"its row group {number} has other rows than were written")
    return found


def _damaged(key: str, why: str) -> DataLoss:
    return DataLoss(f"the file {key} of a time slice is damaged: {why[:300]}", hint="restore it from a backup")
