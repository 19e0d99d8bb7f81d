"""Ranges of a run are what a sorted list of its rows has there, wherever they begin and end."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from random import Random

import pytest

from soundstage.core.environment import VirtualEnvironment
from soundstage.data.timeseries.segments import reading
from soundstage.data.timeseries.segments.columns import Cells, Sorted
from soundstage.data.timeseries.segments.reading import Segments
from soundstage.data.timeseries.segments.writing import About, write_run
from soundstage.data.timeseries.slices import Compacted
from soundstage.engines.blobs.memory import MemoryBlobs
from soundstage.engines.records.port import Budget, Row, Span
from soundstage.runtime.compute import Compute
from soundstage.runtime.config import ComputeConfig

SERIES = (b"a", b"a\0b", b"\xc3\xa9t\xc3\xa9", b"z" * 300)
GROUP_ROWS = 7


class OneStore:
    """The only engine there is."""

    def __init__(self, blobs: MemoryBlobs) -> None:
        self._blobs = blobs

    def blobs(self, name: str, field: str) -> MemoryBlobs:
        return self._blobs


def drawn(random: Random) -> list[Sorted]:
    """Rows of series, some of them of one time or of one event."""
    rows = set[Sorted]()
    for series in SERIES:
        cells = Cells(series)
        for _ in range(random.randint(1, 30)):
            time_ns, event_id = random.randrange(-3, 6) * 1_000, random.choice(("a", "a\0", "b"))
            for item in random.sample(("", "k", "k\0", "\u00e9"), random.randint(1, 4)):
                rows.add((series, *cells.row(time_ns, event_id, item, f"{time_ns}{event_id}{item}".encode())))
    return sorted(rows)


async def in_groups(rows: list[Sorted]) -> AsyncGenerator[list[Sorted]]:
    for at in range(0, len(rows), GROUP_ROWS):
        yield rows[at : at + GROUP_ROWS]


async def no_pace(size: int) -> None:
    """As fast as can be."""


class Kept:
    """A run of the rows of a seed, in files of few row groups."""

    def __init__(self, environment: VirtualEnvironment, seed: int) -> None:
        self.rows: list[Sorted] = drawn(Random(seed))
        self._blobs = MemoryBlobs(environment)
        self._compute = Compute(ComputeConfig(), environment)
        self.segments: Segments = Segments(OneStore(self._blobs), self._compute, environment)

    async def written(self) -> Compacted:
        await self._blobs.start()
        about, groups = About("n", 0, 1, ""), in_groups(self.rows)
        written = await write_run(self._blobs, "r", about, groups, 4_000, self._compute, no_pace, lambda: None)
        files, total = written.list.files, len(self.rows)
        return Compacted(engine="cold", run="r", files=len(files), rows=total, bytes=0, digest=written.digest, at_us=0)


@pytest.fixture(params=range(4))
def kept(environment: VirtualEnvironment, request: pytest.FixtureRequest) -> Kept:
    return Kept(environment, request.param)


async def read(kept: Kept, compacted: Compacted, series: bytes, span: Span, budget: Budget) -> list[Row]:
    """All rows of a series in a span, page by page."""
    rows, resume, run = list[Row](), span.start, kept.segments.run(compacted)
    for _ in range(1_000):
        page = await run.read("", series, Span(resume, span.end), budget, 0)
        rows += page.rows
        if page.resume is None:
            return rows
        resume = page.resume
    raise AssertionError("it has no end")


async def test_every_range_of_a_series_has_its_rows_and_no_others(kept: Kept) -> None:
    compacted = await kept.written()
    for series in SERIES:
        own = [(key, cell) for name, key, cell in kept.rows if name == series]
        edges = [b"", *(key for key, _ in own), *(key + b"\0" for key, _ in own[::3]), b"\xff" * 9]
        for start, end in zip(edges, [*edges[4:], None, edges[0], edges[-1], edges[1]], strict=False):
            expected = [row for row in own if start <= row[0] and (end is None or row[0] < end)]
            assert await read(kept, compacted, series, Span(start, end), Budget(rows=5, bytes=1_000)) == expected


async def test_a_series_that_is_not_there_has_nothing(kept: Kept) -> None:
    compacted = await kept.written()
    for series in (b"", b"a\0", b"b", b"zz"):
        assert await read(kept, compacted, series, Span(b"", None), Budget(rows=5, bytes=1_000)) == []


async def test_all_rows_come_back_group_by_group(kept: Kept) -> None:
    run = kept.segments.run(await kept.written())
    files = await run.files()
    groups = [(file, number) for file in files for number in range(len((await run.open(file)).groups))]
    assert [row for file, number in groups for row in await run.sorted_rows(file, number)] == kept.rows
    assert len(files) > 1


@pytest.mark.parametrize(("near", "most"), [(300, 99), (300, 1), (1 << 20, 4)], ids=["small", "by itself", "whole"])
@pytest.mark.parametrize("inline", [0, 1 << 20], ids=["thread", "inline"])
async def test_what_lies_near_a_row_group_is_fetched_with_it_and_only_once(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, near: int, most: int, inline: int
) -> None:
    monkeypatch.setattr(reading, "NEAR_BYTES", near)
    monkeypatch.setattr(reading, "NEAR_MAX", most)
    monkeypatch.setattr(reading, "INLINE_BYTES", inline)
    compacted, everything, budget = await kept.written(), Span(b"", None), Budget(rows=10, bytes=1_000)
    run = kept.segments.run(compacted)
    opened = sum([file.size for file in await run.files() if await run.open(file)])
    before = kept.segments.fetched_bytes
    rows = [row for series in sorted(SERIES) for row in await read(kept, compacted, series, everything, budget)]
    assert rows == [(key, cell) for _, key, cell in kept.rows]
    fetched = kept.segments.fetched_bytes - before
    assert fetched <= opened
    assert near < 1 << 20 or fetched == opened


async def test_what_was_read_of_late_is_not_fetched_again(kept: Kept) -> None:
    compacted, everything, budget = await kept.written(), Span(b"", None), Budget(rows=1_000, bytes=1 << 20)
    first = await read(kept, compacted, SERIES[0], everything, budget)
    fetched, groups = kept.segments.fetched_bytes, kept.segments.groups_read
    assert await read(kept, compacted, SERIES[0], everything, budget) == first
    assert (kept.segments.fetched_bytes, kept.segments.groups_read) == (fetched, groups)
    kept.segments.forget()
    assert await read(kept, compacted, SERIES[0], everything, budget) == first
    assert kept.segments.fetched_bytes == 2 * fetched
