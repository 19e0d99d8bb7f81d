"""What a slice has in its tables and in segments, read as one: of two rows under one key the greater counts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from soundstage.core.together import all_or_none
from soundstage.data.timeseries import partitions
from soundstage.data.timeseries.partitions import Found, PartitionReader, too_large
from soundstage.data.timeseries.placement import key_of_time
from soundstage.data.timeseries.segments.reading import Segments
from soundstage.data.timeseries.slices import Slice
from soundstage.engines.records.port import Budget, Records, Row, Span


class LayeredReader:
    """Several readers of the same partitions and times as one: an event that several have is whole, and comes once."""

    __slots__ = ("_layers",)

    def __init__(self, layers: Sequence[PartitionReader]) -> None:
        self._layers = layers

    def __len__(self) -> int:
        return sum(len(each) for each in self._layers)

    @property
    def read(self) -> int:
        """See `PartitionReader`."""
        return sum(each.read for each in self._layers)

    @property
    def read_bytes(self) -> int:
        """See `PartitionReader`."""
        return sum(each.read_bytes for each in self._layers)

    @property
    def read_rows(self) -> int:
        """See `PartitionReader`."""
        return sum(each.read_rows for each in self._layers)

    @property
    def is_dry(self) -> bool:
        """Whether the next event is not known, or not whole, before there is another `fill`."""
        return any(each.is_dry for each in self._layers)

    @property
    def dry(self) -> int:
        """How many partitions the next `fill` reads."""
        return sum(each.dry for each in self._layers if each.is_dry)

    async def fill(self, budget: Budget, now_us: int) -> None:
        """Every dry partition was read on once; `budget` is for each."""
        await all_or_none([each.fill(budget, now_us) for each in self._layers if each.is_dry])

    def peek(self) -> bytes | None:
        """The prefix of the next event, None where there is none. Not to be asked while it `is_dry`."""
        return min((prefix for each in self._layers if (prefix := each.peek()) is not None), default=None)

    def pop(self, most: int) -> list[Found]:
        """The next event. Not to be asked while it `is_dry`, or is over."""
        prefix = self.peek()
        assert prefix is not None
        parts = [found for each in self._layers if each.peek() == prefix for found in each.pop(1)]
        if len(parts) == 1:
            return parts
        rows = merged(row for _, rows, _ in parts for row in rows)
        size = sum(len(key) + len(cell) for key, cell in rows)
        if size > partitions.EVENT_MAX_BYTES:
            raise too_large(prefix)
        return [(prefix, rows, size)]


Reader = PartitionReader | LayeredReader


def merged(rows: Iterable[Row]) -> list[Row]:
    """`rows` in order, of those under one key the greatest."""
    found: dict[bytes, bytes] = {}
    for key, cell in rows:
        if cell > found.get(key, b""):
            found[key] = cell
    return sorted(found.items())


def reader_of(
    records: Records, segments: Segments, found: Slice, series: bytes, time_bucket: int | None, span: Span
) -> Reader:
    """Reads the events of a series in a time bucket of a slice; all of a slice that has no table, where it is None."""
    layers = list[PartitionReader]()
    if time_bucket is not None:
        names = found.partitions(series, time_bucket)
        layers += [PartitionReader(records, table, names, span) for table in found.tables]
    compacted = found.moved.compacted
    if compacted is not None:
        part = span if time_bucket is None else _within(found, time_bucket, span)
        layers.append(PartitionReader(segments.run(compacted), compacted.run, [series], part))
    return layers[0] if len(layers) == 1 else LayeredReader(layers)


async def rows_of_event(
    records: Records,
    segments: Segments,
    found: Slice,
    partition: bytes,
    series: bytes,
    span: Span,
    now_us: int,
    budget: Budget,
) -> tuple[list[Row], bool]:
    """The rows of one event, all within `span`, up to the greatest size of one; whether these are all of them."""
    layers = [(records.read, table, partition) for table in found.tables]
    compacted = found.moved.compacted
    if compacted is not None:
        layers.append((segments.run(compacted).read, compacted.run, series))
    rows, whole = list[Row](), True
    for read, table, name in layers:
        resume: bytes | None = span.start
        size = 0
        while resume is not None and size <= partitions.EVENT_MAX_BYTES:
            page = await read(table, name, Span(resume, span.end), budget, now_us)
            rows += page.rows
            size += sum(len(key) + len(cell) for key, cell in page.rows)
            resume = page.resume
        whole = whole and resume is None
    return (merged(rows) if len(layers) > 1 else rows), whole


def _within(found: Slice, time_bucket: int, span: Span) -> Span:
    """As much of `span` as lies in a time bucket: segments have no buckets."""
    start_ns = found.bucket_start(time_bucket)
    end_ns = min(found.end, found.origin + (time_bucket + 1) * found.bucket_ns)
    start, end = key_of_time(end_ns - 1), key_of_time(start_ns - 1)
    return Span(max(span.start, start), end if span.end is None else min(span.end, end))
