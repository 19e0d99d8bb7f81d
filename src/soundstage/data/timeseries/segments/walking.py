"""All that a slice has, page by page: of its tables partition by partition, and of its segments group by group.

An event that several of them have comes several times. Where the events come to lie elsewhere meanwhile a walk begins
anew, and nothing is left out; or it goes on over what the slice had when it began, for as long as that is kept.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from soundstage.core import version
from soundstage.core.errors import NotFound
from soundstage.data.timeseries import placement
from soundstage.data.timeseries.catalogue import Catalogue
from soundstage.data.timeseries.partitions import EVENT_MAX_BYTES, too_large
from soundstage.data.timeseries.segments.columns import Sorted
from soundstage.data.timeseries.segments.reading import Segments
from soundstage.data.timeseries.slices import Moved, Slice
from soundstage.engines.records.port import DEFAULT_BUDGET, Budget, Records, Row, Span, WalkPage

Held = list[tuple[bytes, list[Row]]]
"""Rows of series."""


class Place(msgspec.Struct, frozen=True, array_like=True):
    """How far a walk is: in which of the `sources` of the slice, and where there."""

    sources: tuple[str, ...]
    source: int = 0
    position: bytes | None = None
    file: int = 0
    group: int = 0


async def walk_slice(
    records: Records,
    catalogue: Catalogue,
    segments: Segments,
    number: int,
    position: bytes | None,
    budget: Budget,
    now_us: int,
) -> tuple[Held, bytes | None]:
    """The next page of the walk over the slice of that number, and where it goes on; None: at its end.

    A slice that is gone has nothing more. Raises `DataLoss` where it says that it has what is not there.
    """
    found = catalogue.numbered(number)
    if found is None:
        return [], None
    place = _place(position)
    if place.sources != found.sources:
        place = Place(found.sources)
    if place.source >= len(place.sources):
        return [], None
    try:
        held, after, _ = await _next(records, segments, found, place, budget, now_us)
    except NotFound as error:
        await catalogue.refresh()
        now = catalogue.numbered(number)
        if now is not None and now.sources == place.sources:
            await catalogue.check_there(found, error)
        return [], None if now is None else msgspec.msgpack.encode(Place(now.sources))
    if after.source >= len(after.sources):
        return held, None
    return held, msgspec.msgpack.encode(after)


def as_now(found: Slice) -> Slice:
    """The slice with what it has now, and whatever comes to it later is not in it."""
    return msgspec.structs.replace(found, made=False, moved=Moved(found.tables, compacted=found.moved.compacted))


async def walk_as_was(
    records: Records, segments: Segments, found: Slice, position: bytes | None, budget: Budget, now_us: int
) -> tuple[WalkPage, int]:
    """The next page of the walk over a slice as it was, with the number of the source that it is of.

    Of segments each series is a partition. Raises `NotFound` where what the slice had is not kept any more.
    """
    place = Place(found.sources) if position is None else msgspec.msgpack.decode(position, type=Place)
    if place.source >= len(place.sources):
        return WalkPage([], None, False), place.source
    held, after, cut = await _next(records, segments, found, place, budget, now_us)
    partitions = [(placement.partition(series, 0, 0), rows) for series, rows in held]
    end = after.source >= len(after.sources)
    return WalkPage(partitions, None if end else msgspec.msgpack.encode(after), cut), place.source


async def with_elsewhere(
    records: Records, segments: Segments, found: Slice, source: int, series: bytes, own: list[Row], now_us: int
) -> list[Row] | None:
    """`own`, all rows that a source has of an event of a slice as it was, with those of the sources behind it.

    None where a source before it has any. Raises `TooLarge` for more than an event may have.
    """
    prefix = placement.prefix_of(own[0][0])
    time_ns, event_id = placement.event_of(prefix)
    partition, span = found.partition(series, time_ns, event_id), Span(prefix, placement.after_event(prefix))
    rows, size = dict(own), sum(len(key) + len(cell) for key, cell in own)
    for number, name in enumerate(found.sources):
        if number == source:
            continue
        if number < len(found.tables):
            read, where = records.read, partition
        else:
            assert found.moved.compacted is not None
            read, where = segments.run(found.moved.compacted).read, series
        resume: bytes | None = span.start
        while resume is not None:
            page = await read(name, where, Span(resume, span.end), DEFAULT_BUDGET, now_us)
            if page.rows and number < source:
                return None
            resume = page.resume
            for key, cell in page.rows:
                before = rows.get(key)
                if before is None or cell > before:
                    size += len(cell) + len(key) if before is None else len(cell) - len(before)
                    rows[key] = cell
            if size > EVENT_MAX_BYTES:
                raise too_large(prefix)
    return sorted(rows.items())


async def _next(
    records: Records, segments: Segments, found: Slice, place: Place, budget: Budget, now_us: int
) -> tuple[Held, Place, bool]:
    """What comes next, where that ends, and whether it may go on with the same event there."""
    if place.source < len(found.tables):
        return await _of_table(records, place, budget, now_us)
    return await _of_segments(segments, found, place)


def _place(position: bytes | None) -> Place:
    """What `position` says; the beginning, if that is nothing that this release wrote."""
    try:
        return Place(()) if position is None else msgspec.msgpack.decode(position, type=Place)
    except msgspec.MsgspecError:
        return Place(())


async def _of_table(records: Records, place: Place, budget: Budget, now_us: int) -> tuple[Held, Place, bool]:
    page = await records.walk(place.sources[place.source], 0, 1, place.position, budget, now_us)
    held = [
        (placement.series_of(partition, version.split(rows[0][1]).metadata), rows)
        for partition, rows in page.partitions
        if rows
    ]
    if page.position is None:
        return held, Place(place.sources, place.source + 1), False
    return held, msgspec.structs.replace(place, position=page.position), page.cut


def series_rows(partitions: Sequence[tuple[bytes, list[Row]]]) -> list[Sorted]:
    """The rows of partitions of a table, with their series. For a thread."""
    found = list[Sorted]()
    for partition, rows in partitions:
        if rows:
            series = placement.series_of(partition, version.split(rows[0][1]).metadata)
            found += [(series, key, cell) for key, cell in rows]
    return found


async def _of_segments(segments: Segments, found: Slice, place: Place) -> tuple[Held, Place, bool]:
    assert found.moved.compacted is not None
    run = segments.run(found.moved.compacted)
    files = await run.files()
    if place.file >= len(files):
        return [], Place(place.sources, place.source + 1), False
    file = files[place.file]
    held = Held()
    for series, key, cell in await run.sorted_rows(file, place.group):
        if not held or held[-1][0] != series:
            held.append((series, []))
        held[-1][1].append((key, cell))
    if place.group + 1 < len((await run.open(file)).groups):
        return held, msgspec.structs.replace(place, group=place.group + 1), True
    return held, msgspec.structs.replace(place, file=place.file + 1, group=0), True
