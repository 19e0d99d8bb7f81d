"""The slices of a namespace whose writes are watched: every write of theirs is in a log too.

The entries of a write tell of events under their id, so that those of one id are in the order in which they were
written. They are made of the rows that are stored: whoever writes is told of, live, from a queue, or in a job.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import msgspec

from soundstage.core import version
from soundstage.core.environment import Environment
from soundstage.core.errors import NotFound
from soundstage.core.portions import portions
from soundstage.core.time import Instant
from soundstage.data.changes.entries import CALL_BYTES, ENTRY_BYTES, read
from soundstage.data.changes.topics import ChangeTopic, Elsewhere
from soundstage.data.timeseries import placement
from soundstage.data.timeseries.api import Event, EventItem, EventWritten
from soundstage.engines.log.port import CALL_MAX_ENTRIES, Appending, Applying, AtomicWithLog, Entry, Stored
from soundstage.engines.records.passing import PassingRecords
from soundstage.engines.records.port import Batch, Bulk, Conditional, Records, Row
from soundstage.runtime.service import Logs, NamespaceView

TOPICS = "timeseries/changes/"
"""What the names of all topics of changes begin with; the generation of the namespace follows."""

LOG_KNOB = "systems.timeseries.changes_log"

ROW_BYTES = 64
"""More than what surrounds a row in an entry, with the time of its event."""


class KeptEvent(msgspec.Struct, frozen=True, array_like=True):
    """Items of an event; a value that was left out is None."""

    time_ns: int
    event_id: str
    items: list[tuple[str, bytes | None]]


def topic_of(view: NamespaceView, logs: Logs, elsewhere: str, environment: Environment) -> ChangeTopic:
    """Where the writes of a namespace are told."""
    return ChangeTopic(TOPICS, view, logs, Elsewhere(elsewhere, LOG_KNOB), environment)


class WatchedRecords(PassingRecords):
    """`records`, of which every write goes through `changes`: for tables of slices alone."""

    def __init__(self, records: Records, changes: ChangeTopic) -> None:
        super().__init__(records)
        self._changes = changes

    async def apply(
        self,
        table: str,
        partition: bytes,
        batch: Batch,
        *,
        conditional: Conditional | None = None,
        deadline_ns: int | None = None,
    ) -> int:
        """See `Records.apply`; the log has the write, unless it is refused."""
        assert conditional is None
        stamps = await self._write(table, [(partition, batch)], deadline_ns)
        return stamps[0] if stamps else 0

    async def apply_each(
        self, table: str, batches: Sequence[tuple[bytes, Batch]], *, deadline_ns: int | None = None
    ) -> None:
        """See `Bulk.apply_each`; the log has the writes, unless they are refused."""
        await self._write(table, batches, deadline_ns)

    async def _write(
        self, table: str, batches: Sequence[tuple[bytes, Batch]], deadline_ns: int | None
    ) -> Sequence[int]:
        write = partial(self._apply, table, batches, deadline_ns)
        try:
            return await self._changes.attempt(write)
        except NotFound:
            # Of a topic that somebody dropped there is another by now, so that it is the table that is not there.
            return await self._changes.attempt(write)

    async def _apply(
        self, table: str, batches: Sequence[tuple[bytes, Batch]], deadline_ns: int | None
    ) -> Sequence[int]:
        entries = [entry for partition, batch in batches for entry in entries_of(partition, batch.cells)]
        calls = list(portions(entries, _weight, CALL_BYTES, CALL_MAX_ENTRIES))
        log = await self._changes.together()
        if log is not None and len(calls) == 1:
            return await self._together(log, table, batches, entries, deadline_ns)
        for call in calls:
            deadline_ns = await self._changes.tell(call, deadline_ns)
        if len(batches) == 1:
            ((partition, batch),) = batches
            return [await self._records.apply(table, partition, batch, deadline_ns=deadline_ns)]
        assert isinstance(self._records, Bulk)
        await self._records.apply_each(table, batches, deadline_ns=deadline_ns)
        return ()

    async def _together(
        self,
        log: AtomicWithLog,
        table: str,
        batches: Sequence[tuple[bytes, Batch]],
        entries: Sequence[Entry],
        deadline_ns: int | None,
    ) -> Sequence[int]:
        writes = [Applying(table=table, partition=partition, batch=batch) for partition, batch in batches]
        append = Appending(topic=self._changes.topic, entries=list(entries))
        return (await log.write_together(writes, [append], deadline_ns=deadline_ns)).stamps


def bulk_of(records: Records, watched: WatchedRecords | None) -> Bulk | None:
    """The engine, if it takes many writes at once, by way of what tells of them."""
    if not isinstance(records, Bulk):
        return None
    return records if watched is None else watched


def entries_of(partition: bytes, cells: Sequence[Row]) -> Iterator[Entry]:
    """The entries that tell of rows that are written to a partition."""
    if not cells:
        return
    series = placement.series_of(partition, version.split(cells[0][1]).metadata)
    events: dict[bytes, list[tuple[str, bytes | None]]] = {}
    size = 0
    for key, cell in cells:
        prefix = placement.prefix_of(key)
        value: bytes | None = version.split(cell).value
        if len(value) > ENTRY_BYTES:
            value = None
        weight = len(key) + ROW_BYTES + (0 if value is None else len(value))
        if events and size + weight > ENTRY_BYTES:
            yield _entry(series, events)
            events, size = {}, 0
        events.setdefault(prefix, []).append((key[len(prefix) :].decode(), value))
        size += weight
    yield _entry(series, events)


def messages_of(entry: Stored) -> list[EventWritten]:
    """What is told of an entry, in order; `cursor` is empty yet. Raises `DataLoss` for one that nobody can read."""
    series = (entry.key or b"").decode()
    return [_written(series, each) for each in read(entry, _decode)]


def _written(series: str, kept: KeptEvent) -> EventWritten:
    event = Event(
        time_series_id=series,
        event_time=Instant(kept.time_ns),
        event_id=kept.event_id,
        event_items=[
            EventItem(event_item_key=key, event_item_value=value) for key, value in kept.items if value is not None
        ],
    )
    left_out = [key for key, value in kept.items if value is None]
    return EventWritten(cursor="", event=event, left_out=left_out or None)


def _entry(series: bytes, events: dict[bytes, list[tuple[str, bytes | None]]]) -> Entry:
    kept: list[KeptEvent] = []
    for prefix, items in events.items():
        time_ns, event_id = placement.event_of(prefix)
        kept.append(KeptEvent(time_ns, event_id.decode(), items))
    return Entry(value=_encode(kept), key=series)


def _weight(entry: Entry) -> int:
    return len(entry.value or b"") + len(entry.key or b"") + ROW_BYTES


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[KeptEvent]).decode
