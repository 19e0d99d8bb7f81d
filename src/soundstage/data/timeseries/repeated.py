"""Looks up whether events are stored already, wherever a slice has them: who writes late may repeat what was taken."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import aclosing

from soundstage.core.errors import NotFound
from soundstage.core.together import all_or_none
from soundstage.data.timeseries.events import Record
from soundstage.data.timeseries.namespace import ServedNamespace
from soundstage.data.timeseries.slices import Slice, covering
from soundstage.engines.records.port import DEFAULT_BUDGET, Cell, Row

AT_ONCE = 32
"""Partitions that one call looks at at the same time."""

Lacking = dict[int, dict[bytes, Cell]]
"""Rows of events that were not found yet, by the indices of the events."""


async def not_stored(
    served: ServedNamespace,
    records: Sequence[Record],
    indices: Collection[int],
    now_ns: int,
    check: Callable[[], None],
    *,
    every: bool = False,
) -> set[int]:
    """Of `indices` the first whose event is not there, each of its values or a greater one, and maybe others.

    All of them with `every`; empty where all are there. By the slices that are known. `check` is called before each
    read, and raises when it is time to give up.
    """
    missing, places = set[int](), dict[tuple[int, bytes], list[int]]()
    slices = dict[int, Slice]()
    for index in indices:
        record = records[index]
        found = covering(served.catalogue.slices, record.time_ns)
        if found is None or not served.lifetime.is_read(found, now_ns):
            missing.add(index)
        else:
            slices[found.number] = found
            place = found.number, found.partition(record.series, record.time_ns, record.event_id)
            places.setdefault(place, []).append(index)
    lacking = {number: Lacking() for number in slices}

    async def look(place: tuple[int, bytes], there: list[int]) -> None:
        number, partition = place
        asked = {index: dict(records[index].rows) for index in there}
        await _look_in_tables(served, slices[number], partition, asked, now_ns // 1_000, check)
        if slices[number].moved.compacted is None:
            missing.update(asked)
        else:
            lacking[number].update(asked)

    looks = list(places.items())
    for at in range(0, len(looks), AT_ONCE):
        # Partitions are in the order of their first events: one that is missing before those is the first of all.
        if not every and missing and min(missing) < looks[at][1][0]:
            break
        await all_or_none([look(place, there) for place, there in looks[at : at + AT_ONCE]])
    for number, asked in lacking.items():
        asked = {index: rows for index, rows in asked.items() if every or not missing or index < min(missing)}
        if asked:
            await _look_in_segments(served, slices[number], records, asked, check)
        missing.update(asked)
    return missing


async def _look_in_tables(
    served: ServedNamespace,
    found: Slice,
    partition: bytes,
    asked: Lacking,
    now_us: int,
    check: Callable[[], None],
) -> None:
    """What the tables of a slice have of one partition, or have greater, is asked for no more."""
    under: dict[bytes, list[int]] = {}
    for index, rows in asked.items():
        for key in rows:
            under.setdefault(key, []).append(index)
    for table in found.tables:
        try:
            keys = list(under)
            while keys:
                check()
                page = await served.records.get(table, partition, keys, now_us, DEFAULT_BUDGET)
                _strike(asked, under, page.rows)
                keys = [] if page.resume is None else keys[keys.index(page.resume) :]
        except NotFound as error:
            await served.catalogue.check_there(found, error)


async def _look_in_segments(
    served: ServedNamespace, found: Slice, records: Sequence[Record], asked: Lacking, check: Callable[[], None]
) -> None:
    """What segments of a slice have, or have greater, is asked for no more. Each row group is read once."""
    assert found.moved.compacted is not None
    run = served.segments.run(found.moved.compacted)
    by_series: dict[bytes, set[bytes]] = {}
    under: dict[bytes, dict[bytes, list[int]]] = {}
    for index, rows in asked.items():
        record = records[index]
        by_series.setdefault(record.series, set()).add(record.prefix)
        keys = under.setdefault(record.series, {})
        for key in rows:
            keys.setdefault(key, []).append(index)
    try:
        # In the order of the files, so that ids that share a row group find it at hand.
        for series in sorted(by_series):
            async with aclosing(run.events(series, sorted(by_series[series]), check)) as found_rows:
                async for rows in found_rows:
                    _strike(asked, under[series], rows)
    except NotFound as error:
        await served.catalogue.check_there(found, error)


def _strike(asked: Lacking, under: dict[bytes, list[int]], rows: Sequence[Row]) -> None:
    for key, there in rows:
        for index in under.get(key, ()):
            wanted = asked.get(index, {})
            if key in wanted and there >= wanted[key]:
                del wanted[key]
                if not wanted:
                    del asked[index]
