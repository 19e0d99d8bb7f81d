"""The job that stores the rows of a file of Parquet as events, like those of any other write.

What is stored of an event is a function of the event, so that rows that go in again change nothing: after a crash the
piece that was begun is put in once more, and a whole file may be.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any, NamedTuple

import msgspec

from soundstage.core import version
from soundstage.core.environment import Environment
from soundstage.core.errors import InvalidArgument, NotFound, SoundstageError
from soundstage.core.limits import CALL_MAX_BYTES, CALL_MAX_ITEMS
from soundstage.core.time import Instant
from soundstage.data.parquet.files import ParquetFile
from soundstage.data.parquet.persistence import persistently
from soundstage.data.timeseries.api import BadRow, ImportEvents
from soundstage.data.timeseries.events import Record, Window, late, records_of
from soundstage.data.timeseries.namespace import ServedNamespace
from soundstage.data.timeseries.parquet.columns import EVENT_ID, SERIES, TIME, Chosen, Numbered, chosen, events_of
from soundstage.data.timeseries.repeated import not_stored
from soundstage.data.timeseries.writes import store
from soundstage.runtime.transfer.reading import Compute
from soundstage.runtime.work.context import JobContext

PIECE_ROWS = 32_768
"""Put in between two checkpoints, about."""

WRITE_BYTES = CALL_MAX_BYTES // 2
"""One write has so much, about."""

CHECKED_ROWS = 100
"""Checked together, which takes less time than one by one; so many of usual rows are not too many for a write."""

TOLD_MAX = 100
"""Bad rows that are told one by one."""

DIGEST_CHARS = 16
"""Of a file, with which ids of events begin that are told by their rows."""


class ImportState(msgspec.Struct):
    """The checkpoint: `rows` were looked at."""

    generation: int
    rows: int = 0
    events: int = 0
    items: int = 0
    size: int = 0
    bad: int = 0
    told: list[BadRow] = []


class Fit(NamedTuple):
    """The event of a row, as it is stored; `size` is that of the keys and values of its items, `weight` of its rows."""

    row: int
    record: Record
    size: int
    weight: int


class EventsImport:
    """One attempt at an import; `serve` gives the namespace as it is by then."""

    def __init__(
        self,
        serve: Callable[[], ServedNamespace],
        file: ParquetFile,
        request: ImportEvents,
        environment: Environment,
        compute: Compute,
    ) -> None:
        self._serve = serve
        self._file = file
        self._request = request
        self._columns: Chosen = chosen(file.schema, request.columns)
        self._environment = environment
        self._compute = compute

    def check(self) -> None:
        """Raises what can be seen to be wrong before anything is written."""
        self._file.check_whole()
        close_ns = self._serve().lifetime.kept.close_ns
        asked = self._request.accept_limit
        if asked is not None and close_ns is not None and asked > close_ns:
            raise InvalidArgument(
                f"accept_limit is {asked}, and events are not shown for so long after their slice",
                field="accept_limit",
                hint="give 0s for all that is shown, or raise the knob retention.close_after",
            )

    async def run(self, job: JobContext) -> ImportState:
        """All rows that are events are stored."""
        if job.state is None:
            self.check()
            state = ImportState(self._serve().view.generation)
        else:
            state = _decode(job.state)
        kept = state.rows
        async with aclosing(self._file.batches(self._columns.names, state.rows)) as batches:
            async for batch in batches:
                await self._put_in(state, batch, job)
                job.progress(state.rows, self._file.rows, "rows", "importing")
                if state.rows - kept >= PIECE_ROWS:
                    kept = state.rows
                    await job.checkpoint(_encode(state))
        return state

    async def _put_in(self, state: ImportState, batch: Any, job: JobContext) -> None:
        served, file = self._current(state), self._request.file
        name = file.sha256[:DIGEST_CHARS] or file.blob
        events, strange = await self._compute(events_of, batch, state.rows + 1, self._columns, name)
        found, unfit = await self._compute(_fit, events, served.blocked, self._columns)
        stored, fresh, untimely = await self._in_time(served, found, job.check)
        self._refuse(state, [*strange, *unfit, *untimely])
        for part in _parts(fresh):
            job.check()
            await persistently(self._environment, partial(self._store, state, [each.record for each in part]))
        state.rows += batch.num_rows
        for each in (*stored, *fresh):
            state.events += 1
            state.items += len(each.record.rows)
            state.size += each.size

    async def _store(self, state: ImportState, records: Sequence[Record]) -> None:
        await store(self._current(state), records, None)

    async def _in_time(
        self, served: ServedNamespace, found: Sequence[Fit], check: Callable[[], None]
    ) -> tuple[list[Fit], list[Fit], list[BadRow]]:
        """Of `found` those that are stored already, those that are to be, and those that are of no time to be."""
        now_ns = self._environment.now_ns()
        window = self._window(served, now_ns)
        records = [each.record for each in found]
        old, missing = set(late(records, window)), set[int]()
        stored, fresh, bad = list[Fit](), list[Fit](), list[BadRow]()
        if old:
            await served.catalogue.refresh()
            missing = await not_stored(served, records, sorted(old), now_ns, check, every=True)
        for index, each in enumerate(found):
            if each.record.time_ns > window.newest_ns:
                bad.append(self._untimely(each, "ahead of the server's clock: see the knob accept_future"))
            elif index not in old:
                fresh.append(each)
            elif index not in missing:
                stored.append(each)
            else:
                bad.append(self._untimely(each, "longer ago than is taken: see accept_limit"))
        return stored, fresh, bad

    def _untimely(self, found: Fit, why: str) -> BadRow:
        return BadRow(row=found.row, column=self._columns.time, reason=f"{Instant(found.record.time_ns)} is {why}")

    def _window(self, served: ServedNamespace, now_ns: int) -> Window:
        """Which times are taken: by this job's limit, if it has one. What is not shown any more is never."""
        window, asked, close_ns = served.window(now_ns), self._request.accept_limit, served.lifetime.kept.close_ns
        if asked is None:
            return window
        limits = [each for each in (int(asked) or None, close_ns) if each is not None]
        return window._replace(oldest_ns=now_ns - min(limits) if limits else None)

    def _refuse(self, state: ImportState, bad: Sequence[BadRow]) -> None:
        """Bad rows are counted. Raises `InvalidArgument` for the first that is one too many."""
        bad = sorted(bad, key=lambda each: each.row)
        left = self._request.bad_rows_max - state.bad
        if len(bad) > left:
            first = bad[left]
            others = f", and {state.bad + left} rows before it are no events either" if state.bad + left else ""
            raise InvalidArgument(
                f"row {first.row} of the file {self._request.file.name!r}, column {first.column!r}: "
                f"{first.reason}{others}",
                field="file",
                hint="mend the file, or raise bad_rows_max; rows count from 1, and those before are in",
            )
        state.bad += len(bad)
        state.told += bad[: TOLD_MAX - len(state.told)]

    def _current(self, state: ImportState) -> ServedNamespace:
        served = self._serve()
        if served.view.generation != state.generation:
            raise NotFound(f"the namespace {served.name!r} was deleted meanwhile", field="namespace")
        return served


def _fit(found: Sequence[Numbered], blocked: Collection[str], columns: Chosen) -> tuple[list[Fit], list[BadRow]]:
    """Events as they are stored, and those that no write takes. For a thread."""
    fit, bad = list[Fit](), list[BadRow]()
    for at in range(0, len(found), CHECKED_ROWS):
        some = found[at : at + CHECKED_ROWS]
        try:
            records = records_of([each.event for each in some], blocked)
            fit += [_weighed(each.row, record) for each, record in zip(some, records, strict=True)]
        except SoundstageError:
            for each in some:
                try:
                    (record,) = records_of([each.event], blocked)
                    fit.append(_weighed(each.row, record))
                except SoundstageError as error:
                    bad.append(_told(each.row, error, columns))
    return fit, bad


def _told(row: int, error: SoundstageError, columns: Chosen) -> BadRow:
    """The row that is refused as one event of a write would be."""
    field = (error.field or "").removeprefix("events[0].")
    names = {SERIES: columns.series, EVENT_ID: columns.event_id, TIME: [columns.time]}.get(field, columns.items)
    return BadRow(row=row, column="/".join(names)[:200], reason=error.detail.replace("events[0].", ""))


def _parts(found: Sequence[Fit]) -> Iterator[list[Fit]]:
    """Writes of bounded size."""
    part: list[Fit] = []
    items = size = 0
    for each in found:
        more, weight = len(each.record.rows), each.weight
        if part and (items + more > CALL_MAX_ITEMS or size + weight > WRITE_BYTES):
            yield part
            part, items, size = [], 0, 0
        part.append(each)
        items, size = items + more, size + weight
    if part:
        yield part


def _weighed(row: int, record: Record) -> Fit:
    weight = sum(len(key) + len(cell) for key, cell in record.rows)
    # All its cells begin alike.
    around = len(record.prefix) + version.parts(record.rows[0][1])[4]
    return Fit(row, record, weight - around * len(record.rows), weight)


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(ImportState).decode
