"""The job that takes the events of an interval to one file of Parquet."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from soundstage.core.environment import Environment
from soundstage.core.errors import NotFound
from soundstage.core.files import File
from soundstage.data.parquet.files import ReadRange
from soundstage.data.parquet.footers import Footer
from soundstage.data.parquet.writing import GROUP_BYTES, GROUP_ROWS, PartedFile, Parts
from soundstage.data.timeseries.api import ExportEvents
from soundstage.data.timeseries.events import check_series
from soundstage.data.timeseries.namespace import ServedNamespace
from soundstage.data.timeseries.parquet.rows import ITEMS, KIND, Rows, bytes_in, shape
from soundstage.data.timeseries.parquet.walking import Elsewhere, Open, ReadPlace, Reads, Walk, WalkPlace, slices_of
from soundstage.runtime.transfer.reading import Compute
from soundstage.runtime.work.context import JobContext


class Mark(msgspec.Struct):
    """What there was of the file when the walk came to a slice."""

    parts: list[Parts]
    events: int
    items: int
    size: int


class ExportState(msgspec.Struct):
    """The checkpoint. `opened` is where the rows of an event that is not whole were put aside; none: there is none.

    `mark` is of the slice that is walked; none: nothing of that was put aside yet.
    """

    generation: int
    begun_us: int
    walk: WalkPlace | None = None
    reads: ReadPlace | None = None
    opened: str = ""
    ended: bool = False
    events: int = 0
    items: int = 0
    size: int = 0
    parts: list[Parts] = []
    mark: Mark | None = None


class EventsExport:
    """One attempt at an export; `serve` gives the namespace as it is by then."""

    def __init__(
        self,
        serve: Callable[[], ServedNamespace],
        request: ExportEvents,
        job: JobContext,
        environment: Environment,
        compute: Compute,
    ) -> None:
        self._serve = serve
        self._request = request
        self._job = job
        self._environment = environment
        self._compute = compute
        begun = ExportState(serve().view.generation, environment.now_us()) if job.state is None else _decode(job.state)
        self.state: ExportState = begun
        self._file = PartedFile(begun.parts, shape(), job, compute)
        self._rows = Rows()
        self._before = 0
        """How many of these are of slices before the one that is walked."""
        self._openings = 0

    async def run(self, name: str, read: Callable[[File], ReadRange]) -> File:
        """The file, whole and checked. `read` gives the bytes of one that was kept."""
        state = self.state
        if not state.ended:
            await self._read(await self._source())
        footer = Footer(kind=KIND, namespace=name, exported_us=state.begun_us, items=state.events, bytes=state.size)
        file = await self._file.write(name, footer)
        await self._file.prove(file, read(file), footer, [ITEMS], bytes_in)
        return file

    async def _source(self) -> Walk | Reads:
        """From where the events come, at the place of the checkpoint."""
        state, request = self.state, self._request
        start_ns, end_ns = int(request.time_interval.start), int(request.time_interval.end)
        if request.time_series_ids is not None:
            ids = [each.encode() for each in dict.fromkeys(request.time_series_ids)]
            state.reads = state.reads or ReadPlace()
            return Reads(self._current, state.reads, ids, start_ns, end_ns, self._environment)
        if state.walk is None:
            served = self._current()
            await served.catalogue.refresh()
            state.walk = WalkPlace(slices_of(served, start_ns, end_ns, self._environment.now_ns()))
        opened = _decode_open(await self._file.read_aside(state.opened)) if state.opened else Open()
        return Walk(self._current, state.walk, opened, start_ns, end_ns, self._environment, self._compute)

    async def _read(self, source: Walk | Reads) -> None:
        state = self.state
        while not state.ended:
            if not source.is_over:
                await self._take(source)
            state.ended = source.is_over
            self._job.progress(state.events + self._rows.count, None, "events", "reading")
            if state.ended or self._rows.bytes >= GROUP_BYTES or self._rows.count >= GROUP_ROWS:
                await self._put_aside(source)
                await self._job.checkpoint(_encode(state))

    async def _take(self, source: Walk | Reads) -> None:
        """The next page is taken; or what there is of a slice is left out, as it is begun again."""
        if isinstance(source, Reads):
            await self._compute(self._rows.take, await source.next())
            return
        walked = source.place.slices[0]
        try:
            events = await source.next()
        except Elsewhere:
            await self._leave_out()
            source.again()
            return
        await self._compute(self._rows.take, events)
        if source.is_over or source.place.slices[0] != walked:
            self._before, self.state.mark = self._rows.count, None

    async def _leave_out(self) -> None:
        """Nothing that was taken of the slice is in the file."""
        state, mark = self.state, self.state.mark
        if mark is None:
            self._rows, _ = await self._compute(self._rows.split, self._before)
            return
        self._file.back_to(mark.parts)
        state.events, state.items, state.size = mark.events, mark.items, mark.size
        self._rows = Rows()

    async def _put_aside(self, source: Walk | Reads) -> None:
        """What was read so far is kept; it counts once there is a checkpoint."""
        rows, self._rows = self._rows, Rows()
        if isinstance(source, Walk) and self.state.mark is None:
            before, rows = await self._compute(rows.split, self._before)
            self._before = 0
            await self._add(before)
            self.state.mark = Mark(self._file.mark(), self.state.events, self.state.items, self.state.size)
        await self._add(rows)
        self.state.opened = ""
        if isinstance(source, Walk) and source.open.rows:
            self._openings += 1
            name = f"{self._job.fence}-open-{self._openings}"
            await self._job.put_aside(name, _encode(source.open))
            self.state.opened = name

    async def _add(self, rows: Rows) -> None:
        if rows.count:
            await self._file.put_aside(await self._compute(rows.packed))
        self.state.events += rows.count
        self.state.items += rows.items
        self.state.size += rows.size

    def _current(self) -> ServedNamespace:
        served = self._serve()
        if served.view.generation != self.state.generation:
            raise NotFound(f"the namespace {served.name!r} was deleted while it was exported", hint="try again")
        return served


def check_ids(served: ServedNamespace, request: ExportEvents) -> None:
    """Raise for an id that cannot be read."""
    for index, each in enumerate(request.time_series_ids or ()):
        check_series(each, served.blocked, f"time_series_ids[{index}]")


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(ExportState).decode
_decode_open = msgspec.msgpack.Decoder(Open).decode
