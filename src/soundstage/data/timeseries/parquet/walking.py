"""Goes over the events of an interval, each once, from any place on: those of all ids, or of some.

All ids are a walk over the tables of slices, in the order of the engine; some are read as by `read_event_records`. A
slice that is dropped meanwhile takes what of it is left along. One that is rewritten is walked on as it was, for as
long as that is kept; longer than that there is no way on, as its events lie in another order then: it is begun again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import msgspec

from soundstage.core import version
from soundstage.core.environment import Environment
from soundstage.core.errors import NotFound
from soundstage.data.pagination import Patience
from soundstage.data.timeseries import placement
from soundstage.data.timeseries.api import PAGE_SIZE_MAX, Event
from soundstage.data.timeseries.namespace import ServedNamespace
from soundstage.data.timeseries.partitions import EVENT_MAX_BYTES, too_large
from soundstage.data.timeseries.placement import key_of_time
from soundstage.data.timeseries.reads import PageReading, Wanted, event_from
from soundstage.data.timeseries.segments.walking import as_now, walk_as_was, with_elsewhere
from soundstage.data.timeseries.slices import Slice
from soundstage.engines.records.port import Budget, Row
from soundstage.runtime.transfer.reading import Compute

_PAGE = Budget(rows=2_000, bytes=1 << 20)


class Open(msgspec.Struct, array_like=True):
    """The rows of an event that may have more of them in the next page."""

    partition: bytes = b""
    prefix: bytes = b""
    rows: list[Row] = []


class Elsewhere(Exception):
    """What the slice had when its walk began is not kept any more, and its events lie elsewhere; see `Walk.again`."""


class WalkPlace(msgspec.Struct):
    """Where a walk is: in the first of `slices`, by their numbers, as it was at `began`. `position` None: there."""

    slices: list[int]
    position: bytes | None = None
    began: Slice | None = None


class ReadPlace(msgspec.Struct):
    """Where the reading of ids is: at the one of number `at`. `resume` None is its newest event."""

    at: int = 0
    resume: bytes | None = None


class Walk:
    """The events of all ids; `place` is that after the page that was taken last, `open` what of that is not whole."""

    def __init__(
        self,
        serve: Callable[[], ServedNamespace],
        place: WalkPlace,
        opened: Open,
        start_ns: int,
        end_ns: int,
        environment: Environment,
        compute: Compute,
    ) -> None:
        self.place: WalkPlace = place
        self.open: Open = opened
        self._serve = serve
        self._interval = start_ns, end_ns
        self._environment = environment
        self._compute = compute

    @property
    def is_over(self) -> bool:
        return not self.place.slices

    async def next(self) -> list[Event]:
        """The events of the next page, which may have none. Raises `Elsewhere`."""
        served, place, now_ns = self._serve(), self.place, self._environment.now_ns()
        await served.catalogue.refresh()
        found = served.catalogue.numbered(place.slices[0])
        # What of an event came before its slice was dropped is no event.
        position, whole, opened = None, list[Open](), Open()
        if found is not None and served.lifetime.is_read(found, now_ns):
            began = place.began = as_now(found) if place.began is None else place.began
            try:
                position, whole, opened = await self._page(served, began, now_ns // 1_000)
            except NotFound as error:
                if await served.catalogue.has_moved(began):
                    raise Elsewhere from error
                await served.catalogue.check_there(began, error)
        self.open, place.position = opened, position
        if position is None:
            place.slices, place.began = place.slices[1:], None
        return await self._compute(_events, whole, served.blocked)

    def again(self) -> None:
        """The slice is walked from its beginning, over what it has by then: its events so far come once more."""
        self.open, self.place.position, self.place.began = Open(), None, None

    async def _page(self, served: ServedNamespace, began: Slice, now_us: int) -> tuple[bytes | None, list[Open], Open]:
        """Where the walk goes on behind the next page, the events of that, and what of one is not whole."""
        page, source = await walk_as_was(served.records, served.segments, began, self.place.position, _PAGE, now_us)
        cut = page.position is not None and page.cut
        whole, opened = await self._compute(_whole, page.partitions, self.open, self._interval, cut)
        if whole and len(began.sources) > 1:
            whole = await self._merged(served, began, source, whole, now_us)
        return page.position, whole, opened

    async def _merged(
        self, served: ServedNamespace, began: Slice, source: int, whole: Sequence[Open], now_us: int
    ) -> list[Open]:
        """The events of one source with what later ones have of them, without those that an earlier one has."""
        found = list[Open]()
        for each in whole:
            series = placement.series_of(each.partition, version.split(each.rows[0][1]).metadata)
            rows = await with_elsewhere(served.records, served.segments, began, source, series, each.rows, now_us)
            if rows is not None:
                found.append(Open(each.partition, each.prefix, rows))
        return found


class Reads:
    """The events of the ids of that list."""

    def __init__(
        self,
        serve: Callable[[], ServedNamespace],
        place: ReadPlace,
        ids: Sequence[bytes],
        start_ns: int,
        end_ns: int,
        environment: Environment,
    ) -> None:
        self.place = place
        self._serve = serve
        self._ids = ids
        self._interval = start_ns, end_ns
        self._environment = environment

    @property
    def is_over(self) -> bool:
        return self.place.at >= len(self._ids)

    async def next(self) -> list[Event]:
        """The events of the next page, which may have none."""
        served, place, (start_ns, end_ns) = self._serve(), self.place, self._interval
        resume = key_of_time(end_ns - 1) if place.resume is None else place.resume
        series = self._ids[place.at]
        wanted = Wanted(series, start_ns, resume, {}, PAGE_SIZE_MAX, None)
        await served.catalogue.refresh()
        patience = Patience(self._environment, None, None)
        page = await PageReading(served, wanted, self._environment, patience, partial=False).run()
        place.resume = page.resume
        if page.resume is None:
            place.at += 1
        return page.events


def slices_of(served: ServedNamespace, start_ns: int, end_ns: int, now_ns: int) -> list[int]:
    """The numbers of the slices that have events of an interval which are shown, the oldest first."""
    slices = [each for each in served.catalogue.slices if each.sources and served.lifetime.is_read(each, now_ns)]
    # One without an end grows to both sides while it is walked.
    return [each.number for each in slices if each.endless or (each.start < end_ns and start_ns < each.end)]


def _whole(
    partitions: Sequence[tuple[bytes, list[Row]]], opened: Open, interval: tuple[int, int], cut: bool
) -> tuple[list[Open], Open]:
    """The events of an interval that have all their rows, and the last one where the page was `cut` behind it.

    For a thread.
    """
    whole, current = list[Open](), opened
    size = sum(len(key) + len(cell) for key, cell in opened.rows)
    for partition, rows in partitions:
        for row in rows:
            if current.partition != partition or not row[0].startswith(current.prefix) or not current.rows:
                _close(whole, current, interval)
                current, size = Open(partition, placement.prefix_of(row[0]), []), 0
            current.rows.append(row)
            size += len(row[0]) + len(row[1])
            if size > EVENT_MAX_BYTES and _is_in(current.prefix, interval):
                raise too_large(current.prefix)
    if cut:
        return whole, current
    _close(whole, current, interval)
    return whole, Open()


def _close(whole: list[Open], current: Open, interval: tuple[int, int]) -> None:
    if current.rows and _is_in(current.prefix, interval):
        whole.append(current)


def _is_in(prefix: bytes, interval: tuple[int, int]) -> bool:
    return interval[0] <= placement.event_of(prefix)[0] < interval[1]


def _events(found: Sequence[Open], blocked: Collection[str]) -> list[Event]:
    """For a thread."""
    events = list[Event]()
    for each in found:
        series = placement.series_of(each.partition, version.split(each.rows[0][1]).metadata)
        event = event_from(series, each.prefix, each.rows)
        if event.time_series_id not in blocked:
            events.append(event)
    return events
