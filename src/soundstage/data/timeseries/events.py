"""Events as rows, checked against every limit before anything is done.

The version of a row is a function of its key and its value: time and token are those of its event, so that of two
values under one key the greater one stays, on every engine and in whatever order they came.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from hashlib import blake2b
from typing import NamedTuple

import msgspec

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

_HEAD_BYTES = len(version.put_head(FIRST_US, TOKEN))
"""What cells add to values, which is no part of what a call takes."""


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


class Record(msgspec.Struct, frozen=True, gc=False):
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
    if not isinstance(events, list | tuple):
        # What can be gone through once only would be empty when it is stored.
        raise TypeError(f"events is {type(events).__name__}, not a list")
    if not events:
        raise InvalidArgument("events is empty", field="events", hint="give at least one")
    check_call_items(sum([len(event.event_items) for event in events]) or 1, "events")
    reading = _Reading(blocked)
    records = [reading.record(event, index) for index, event in enumerate(events)]
    # As much as one batch of a store takes: whatever lies in one partition is written at once.
    check_call_bytes(reading.size, "events")
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


class _Reading:
    """One call's events on their way to records; `size` is what the records so far take.

    A call has thousands: what they have in common is worked out once.
    """

    __slots__ = ("_blocked", "_heads", "_keys", "_series", "size")

    def __init__(self, blocked: Collection[str]) -> None:
        self._blocked = blocked
        self._series: dict[str, bytes] = {}
        self._heads: dict[str, bytes] = {}
        self._keys: dict[str, bytes] = {}
        self.size: int = 0

    def record(self, event: Event, index: int) -> Record:
        """The event of that index as it is stored."""
        name, event_id, event_time = event.time_series_id, event.event_id, event.event_time
        if name not in self._series:
            self._learn(name, index)
        if event_time.__class__ is not Instant:
            field = f"events[{index}].event_time"
            raise InvalidArgument(f"{field} is no Instant", field=field, hint="pass Instant(…)")
        # What is said of it is put together where it is wrong alone.
        if event_id.__class__ is str and event_id.isascii() and 0 < len(event_id) <= ID_MAX_BYTES:
            id_bytes = event_id.encode()
        else:
            id_bytes = check_id(event_id, f"events[{index}].event_id")
        time_ns = int(event_time)
        prefix, time_us = placement.event_prefix(time_ns, id_bytes), time_ns // 1_000
        head = version.restamp(self._heads[name], time_us if time_us > FIRST_US else FIRST_US)
        rows, keys, size = list[Row](), self._keys, 0
        for at, item in enumerate(event.event_items):
            text = item.event_item_key
            row = prefix + (keys.get(text) or self._key(text, index, at)), head + item.event_item_value
            size += len(row[0]) + len(row[1]) - _HEAD_BYTES
            rows.append(row)
        if len(rows) != 1:
            _check_items(event, index)
        series = self._series[name]
        self.size += size + len(series)
        return Record(series, time_ns, id_bytes, prefix, rows)

    def _learn(self, name: str, index: int) -> None:
        """The UTF-8 of a series, and what its cells begin with, but for their time."""
        series = check_series(name, self._blocked, f"events[{index}].time_series_id")
        self._series[name] = series
        self._heads[name] = version.put_head(FIRST_US, TOKEN, metadata=placement.metadata(series))

    def _key(self, text: str, index: int, at: int) -> bytes:
        field = f"events[{index}].event_items[{at}].event_item_key"
        key = check_text(text, field)
        if not 1 <= len(key) <= ITEM_KEY_MAX_BYTES:
            raise InvalidArgument(
                f"{field} has {len(key)} bytes", field=field, hint=f"use 1 to {ITEM_KEY_MAX_BYTES} bytes"
            )
        self._keys[text] = key
        return key


def _check_items(event: Event, index: int) -> None:
    if not event.event_items:
        field = f"events[{index}].event_items"
        raise InvalidArgument(f"{field} is empty", field=field, hint="give at least one item")
    keys = [item.event_item_key for item in event.event_items]
    if len(set(keys)) < len(keys):
        at = next(at for at, key in enumerate(keys) if key in keys[:at])
        field = f"events[{index}].event_items[{at}].event_item_key"
        raise InvalidArgument(f"{field} is there twice in its event", field=field, hint="give each key once")
