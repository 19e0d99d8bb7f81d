"""Columns as events: which there are, of what types, and what every row must have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

from soundstage.core.errors import InvalidArgument
from soundstage.core.time import INT64_MAX, INT64_MIN, NS_PER_S, Instant
from soundstage.data.parquet.columns import check_bytes, is_bytes, is_text, plain
from soundstage.data.parquet.library import arrow
from soundstage.data.timeseries.api import BadRow, Event, EventColumns, EventItem
from soundstage.data.timeseries.parquet.rows import ITEMS

SERIES, TIME, EVENT_ID = "time_series_id", "event_time", "event_id"

_UNITS_NS = {"s": NS_PER_S, "ms": 1_000_000, "us": 1_000, "ns": 1}
_DAY_NS = 86_400 * NS_PER_S
_DAY_MS = 86_400_000
_EPOCH = datetime(1970, 1, 1)


class Chosen(NamedTuple):
    """Which columns of a file are what. Without `event_id` events are told by the number of their row."""

    series: list[str]
    time: str
    event_id: list[str]
    items: list[str]
    is_map: bool
    utc: bool

    @property
    def names(self) -> list[str]:
        """All columns that are read, each once."""
        return list(dict.fromkeys([*self.series, self.time, *self.event_id, *self.items]))


class Numbered(NamedTuple):
    """The event of a row."""

    row: int
    event: Event


def chosen(found: Any, wanted: EventColumns) -> Chosen:
    """The columns to read of a file that has the schema `found`. Raises `InvalidArgument`, naming the column."""
    names = list(found.names)
    if len(set(names)) != len(names):
        raise InvalidArgument("the file has two columns of one name", field="file", hint="give each a name of its own")
    series, time = wanted.time_series_id or [SERIES], wanted.event_time or TIME
    event_id = wanted.event_id or ([EVENT_ID] if EVENT_ID in names else [])
    is_map = wanted.event_items is None and ITEMS in names and arrow().types.is_map(found.field(ITEMS).type)
    taken = {*series, time, *event_id}
    items = [ITEMS] if is_map else wanted.event_items or [name for name in names if name not in taken]
    columns = Chosen(series, time, event_id, items, is_map, wanted.utc)
    for name in columns.names:
        if name not in names:
            raise InvalidArgument(
                f"the file lacks the column {name!r}; it has {', '.join(names)}"[:500],
                field="columns",
                hint="name the columns of the id, the time and the items; SELECT carrier AS time_series_id, … does too",
            )
    for name in (*series, *event_id):
        check_bytes(name, found.field(name).type, numbers=True)
    _times_of(time, found.field(time).type, utc=wanted.utc)
    if is_map:
        _check_map(found.field(ITEMS).type)
    else:
        for name in items:
            _values_of(name, found.field(name).type, utc=wanted.utc)
    return columns


def events_of(batch: Any, first: int, columns: Chosen, file: str) -> tuple[list[Numbered], list[BadRow]]:
    """The rows of a batch, whose first has the number `first`: events, and those that are none. For a thread.

    `file` is what ids of events begin with that are told by their rows.
    """
    series = _joined(batch, columns.series)
    times = _times_of(columns.time, batch.column(columns.time).type, utc=columns.utc)(batch.column(columns.time))
    ids: Sequence[str | None] = [f"{file}/{number}" for number in range(first, first + batch.num_rows)]
    if columns.event_id:
        ids = _joined(batch, columns.event_id)
    items = _mapped(batch.column(ITEMS)) if columns.is_map else _itemized(batch, columns)
    events, bad = list[Numbered](), list[BadRow]()
    for number, (name, time_ns, event_id, found) in enumerate(zip(series, times, ids, items, strict=True), first):
        wrong = _wrong(columns, name, time_ns, event_id, found)
        if wrong is not None:
            bad.append(BadRow(row=number, column=wrong[0], reason=wrong[1]))
            continue
        assert name is not None
        assert isinstance(time_ns, int)
        assert event_id is not None
        assert found is not None
        event = Event(time_series_id=name, event_time=Instant(time_ns), event_id=event_id, event_items=found)
        events.append(Numbered(number, event))
    return events, bad


def _wrong(
    columns: Chosen, name: str | None, time_ns: int | str | None, event_id: str | None, items: list[EventItem] | None
) -> tuple[str, str] | None:
    """What keeps a row from being an event, before its limits are looked at: a column, and why."""
    if name is None:
        return "/".join(columns.series), "there is no text"
    if not isinstance(time_ns, int):
        return columns.time, "there is no time" if time_ns is None else f"{time_ns[:80]!r} is no time"
    if not INT64_MIN <= time_ns <= INT64_MAX:
        return columns.time, "the time is before 1677 or after 2262"
    if event_id is None:
        return "/".join(columns.event_id), "there is no text"
    if not items:
        return "/".join(columns.items)[:200], "there is no item with a value"
    return None


def _joined(batch: Any, names: Sequence[str]) -> list[str | None]:
    """The texts of some columns, one for each row; None where one of them has none, and empty where all are."""
    texts = [[_text(each) for each in plain(name, batch.column(name))] for name in names]
    if len(texts) == 1:
        return texts[0]
    return [_one(row) for row in zip(*texts, strict=True)]


def _one(texts: Sequence[str | None]) -> str | None:
    found = [each for each in texts if each is not None]
    if len(found) < len(texts):
        return None
    # An empty one has its place too: else two rows would be one event.
    return "/".join(found) if any(found) else ""


def _text(found: bytes | None) -> str | None:
    return None if found is None or not is_text(found) else found.decode()


def _times_of(name: str, found: Any, *, utc: bool) -> Callable[[Any], list[int | str | None]]:
    """How times are read of a column of that type: nanoseconds, or a text that is none."""
    pa = arrow()
    types = pa.types
    if types.is_timestamp(found):
        if found.tz is None and not utc:
            raise _zoneless(name)
        return partial(_instants, unit_ns=_UNITS_NS[found.unit])
    if types.is_date(found):
        if not utc:
            raise _zoneless(name)
        return _days
    if types.is_integer(found):
        return lambda column: column.to_pylist()
    if is_bytes(found):
        return partial(_parsed, name)
    raise InvalidArgument(
        f"the column {name!r} is {found}, and a time is a timestamp, a date, text or nanoseconds",
        field="columns",
        hint="cast it where the file is made, such as CAST(x AS TIMESTAMPTZ) of duckdb",
    )


def _zoneless(name: str) -> InvalidArgument:
    return InvalidArgument(
        f"the times of the column {name!r} name no zone",
        field="columns.utc",
        hint="give utc if they are of UTC, or make it a timestamp with time zone, such as TIMESTAMPTZ of duckdb",
    )


def _instants(column: Any, unit_ns: int) -> list[int | str | None]:
    # Nanoseconds of all of them might be more than a column can have.
    return [None if each is None else each * unit_ns for each in column.cast(arrow().int64()).to_pylist()]


def _days(column: Any) -> list[int | str | None]:
    # As numbers: the library's own dates end with the year 9999.
    pa = arrow()
    if pa.types.is_date32(column.type):
        return [None if each is None else each * _DAY_NS for each in column.cast(pa.int32()).to_pylist()]
    return [None if each is None else each // _DAY_MS * _DAY_NS for each in column.cast(pa.int64()).to_pylist()]


def _parsed(name: str, column: Any) -> list[int | str | None]:
    return [None if each is None else _instant(each) for each in plain(name, column)]


def _instant(found: bytes) -> int | str:
    text = found.decode(errors="replace")
    try:
        return int(Instant.parse(text))
    except ValueError:
        return text or "''"


def _check_map(found: Any) -> None:
    if not is_bytes(found.key_type) or not is_bytes(found.item_type):
        raise InvalidArgument(
            f"the column {ITEMS!r} is {found}, and takes a map of text to text or bytes",
            field="file",
            hint="cast it where the file is made, or name columns by event_items",
        )


def _mapped(column: Any) -> list[list[EventItem] | None]:
    """The items of a map, row by row."""
    keys, values = ([None if each is None else each for each in plain(ITEMS, part)] for part in _parts(column))
    base = column.offsets[0].as_py()
    ends = [each - base for each in column.offsets.to_pylist()]
    rows: list[list[EventItem] | None] = []
    for at, end in pairwise(ends):
        found = [
            EventItem(event_item_key=key.decode(errors="replace"), event_item_value=value)
            for key, value in zip(keys[at:end], values[at:end], strict=True)
            if key is not None and value is not None
        ]
        rows.append(found)
    return rows


def _parts(column: Any) -> tuple[Any, Any]:
    first, last = (column.offsets[at].as_py() for at in (0, -1))
    return column.keys.slice(first, last - first), column.items.slice(first, last - first)


def _itemized(batch: Any, columns: Chosen) -> list[list[EventItem] | None]:
    """The items of columns, row by row: one that has no value is none."""
    rows: list[list[EventItem] | None] = [[] for _ in range(batch.num_rows)]
    for name in columns.items:
        column = batch.column(name)
        for row, value in zip(rows, _values_of(name, column.type, utc=columns.utc)(column), strict=True):
            if value is not None and row is not None:
                row.append(EventItem(event_item_key=name, event_item_value=value))
    return rows


def _values_of(name: str, found: Any, *, utc: bool) -> Callable[[Any], list[bytes | None]]:
    """How values are read of a column of that type: bytes as they are, all else as text, instants as of RFC 3339."""
    types = arrow().types
    if is_bytes(found) or (types.is_dictionary(found) and is_bytes(found.value_type)):
        return partial(plain, name)
    if types.is_null(found):
        return lambda column: [None] * len(column)
    if types.is_timestamp(found):
        times = _times_of(name, found, utc=utc)
        return lambda column: [_rfc3339(each) for each in times(column)]
    simple = (types.is_boolean, types.is_integer, types.is_floating, types.is_decimal, types.is_date, types.is_time)
    if any(each(found) for each in simple):
        return lambda column: plain(name, column.cast(arrow().string()))
    raise InvalidArgument(
        f"the column {name!r} is {found}, and an item's value is text, bytes, a number or a time",
        field="columns",
        hint="name other columns by event_items, or cast it to text or bytes where the file is made",
    )


def _rfc3339(time_ns: int | str | None) -> bytes | None:
    if not isinstance(time_ns, int):
        return None
    if INT64_MIN <= time_ns <= INT64_MAX:
        return Instant(time_ns).rfc3339().encode()
    # No event's time, but as good a value as another: many programs say 9999-12-31 for never.
    try:
        far = _EPOCH + timedelta(microseconds=time_ns // 1_000)
    except OverflowError:
        return str(time_ns).encode()
    return f"{far.isoformat()}Z".encode()
