"""Events as rows, checked against every limit before anything is done.

The version of a row is a function of its key and its value: time and token are those of its event, so that of two
values under one key the greater one stays, on every engine and in whatever order they came.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from hashlib import blake2b
from typing import NamedTuple

from soundstage.core import version
from soundstage.core.errors import Forbidden, InvalidArgument
from soundstage.core.limits import ID_MAX_BYTES, check_call_bytes, check_call_items, check_id, check_text
from soundstage.core.time import Duration, Instant
from soundstage.data.timeseries import placement
from soundstage.data.timeseries.api import Event
from soundstage.engines.records.port import Row

TOKEN = "event"
"""Of every row: its key says already which event it is of."""

ITEM_KEY_MAX_BYTES = 2_000
"""With an event id of NULs alone, which takes twice its length, a row's key is just as long as keys may be."""

FIRST_US = 1
"""The time of rows of events before 1970: versions have none before."""


class EventKey(NamedTuple):
    """Which event; of one event it is always the same."""

    series: str
    time_ns: int
    event_id: str

    @property
    def document_id(self) -> str:
        """Under which its document is."""
        parts = (self.series.encode(), self.time_ns.to_bytes(8, "big", signed=True), self.event_id.encode())
        return blake2b(b"".join(len(part).to_bytes(4, "big") + part for part in parts), digest_size=16).hexdigest()


class Record(NamedTuple):
    """An event as it is stored: `rows` are its items, under keys that begin with its `prefix`."""

    series: bytes
    time_ns: int
    event_id: bytes
    prefix: bytes
    rows: list[Row]


class Window(NamedTuple):
    """What times of events are taken without a look at what is stored; `oldest_ns` None: any."""

    oldest_ns: int | None
    newest_ns: int


def check_series(series: str, blocked: Collection[str], field: str) -> bytes:
    """The UTF-8 of the id of a time series. Raises `Forbidden` for one that the namespace has blocked."""
    found = check_id(series, field)
    if series in blocked:
        raise Forbidden(
            f"{field} is blocked in this namespace", field=field, hint="the namespace's knob is blocked_ids"
        )
    return found


def records_of(events: Sequence[Event], blocked: Collection[str]) -> list[Record]:
    """`events` as they are stored. Raises with the path of the first that cannot be."""
    if not events:
        raise InvalidArgument("events is empty", field="events", hint="give at least one")
    check_call_items(sum(len(event.event_items) for event in events) or 1, "events")
    known: dict[str, bytes] = {}
    records = [_record(event, blocked, index, known) for index, event in enumerate(events)]
    # As much as one batch of a store takes: whatever lies in one partition is written at once.
    check_call_bytes(sum(_size(event, record) for event, record in zip(events, records, strict=True)), "events")
    return records


def check_future(records: Sequence[Record], window: Window) -> None:
    """Raise `InvalidArgument` for an event that has not happened yet."""
    for index, record in enumerate(records):
        if record.time_ns > window.newest_ns:
            field = f"events[{index}].event_time"
            raise InvalidArgument(
                f"{field} is {Instant(record.time_ns)}, {Duration(record.time_ns - window.newest_ns)} "
                "more than is taken ahead of the server's clock",
                field=field,
                hint="set the clock of who makes the events; the namespace's knob is accept_future",
            )


def late(records: Sequence[Record], window: Window) -> list[int]:
    """The indices of events that are too old to be new: repetitions of ones that were taken are none the less."""
    oldest_ns = window.oldest_ns
    if oldest_ns is None:
        return []
    return [index for index, record in enumerate(records) if record.time_ns < oldest_ns]


def too_late(index: int, record: Record) -> InvalidArgument:
    """The refusal of an event that is too old, and was not stored when it was not."""
    field = f"events[{index}].event_time"
    return InvalidArgument(
        f"{field} is {Instant(record.time_ns)}, which is longer ago than the namespace accepts",
        field=field,
        hint="the namespace's knob is accept_limit, which may be raised for as long as old events are written",
    )


def _record(event: Event, blocked: Collection[str], index: int, known: dict[str, bytes]) -> Record:
    """An event of that index as it is stored; `known` are series that were found right."""
    series = known.get(event.time_series_id)
    if series is None:
        series = check_series(event.time_series_id, blocked, f"events[{index}].time_series_id")
        known[event.time_series_id] = series
    event_id = _event_id(event.event_id, index)
    time_ns = int(event.event_time)
    prefix = placement.event_prefix(time_ns, event_id)
    head = version.put_head(max(time_ns // 1_000, FIRST_US), TOKEN, metadata=placement.metadata(series))
    return Record(series, time_ns, event_id, prefix, _rows(event, index, prefix, head))


def _rows(event: Event, index: int, prefix: bytes, head: bytes) -> list[Row]:
    items = event.event_items
    rows = [
        (prefix + _item_key(item.event_item_key, index, at), head + item.event_item_value)
        for at, item in enumerate(items)
    ]
    if not rows:
        field = f"events[{index}].event_items"
        raise InvalidArgument(f"{field} is empty", field=field, hint="give at least one item")
    if len(rows) > 1 and len({key for key, _ in rows}) < len(rows):
        keys = [item.event_item_key for item in items]
        at = next(at for at, key in enumerate(keys) if key in keys[:at])
        field = f"events[{index}].event_items[{at}].event_item_key"
        raise InvalidArgument(f"{field} is there twice in its event", field=field, hint="give each key once")
    return rows


def _event_id(text: str, index: int) -> bytes:
    # What is said of it is put together where it is wrong alone: a write has thousands.
    if text.__class__ is str and text.isascii() and 0 < len(text) <= ID_MAX_BYTES:
        return text.encode()
    return check_id(text, f"events[{index}].event_id")


def _item_key(text: str, index: int, at: int) -> bytes:
    if text.__class__ is str and text.isascii() and 0 < len(text) <= ITEM_KEY_MAX_BYTES:
        return text.encode()
    field = f"events[{index}].event_items[{at}].event_item_key"
    key = check_text(text, field)
    if not 1 <= len(key) <= ITEM_KEY_MAX_BYTES:
        raise InvalidArgument(f"{field} has {len(key)} bytes", field=field, hint=f"use 1 to {ITEM_KEY_MAX_BYTES} bytes")
    return key


def _size(event: Event, record: Record) -> int:
    size = len(record.series) + len(placement.metadata(record.series)) * len(record.rows)
    for (key, _), item in zip(record.rows, event.event_items, strict=True):
        size += len(key) + len(item.event_item_value)
    return size
