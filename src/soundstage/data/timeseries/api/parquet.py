"""Messages about files of Parquet."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from soundstage.core.files import File
from soundstage.core.message import Duration, Int64, NamespaceName
from soundstage.data.timeseries.api.events import TimeInterval

Message = msgspec.Struct

_Names = Annotated[list[str], Meta(min_length=1, max_length=1_000)]


class ExportEvents(Message, kw_only=True):
    namespace: NamespaceName = ""
    time_interval: Annotated[TimeInterval, Meta(description="when they happened")]
    time_series_ids: Annotated[
        Annotated[list[str], Meta(min_length=1, max_length=1_000)] | None,
        Meta(description="only events of these; none: of all ids"),
    ] = None


class EventsExported(Message, frozen=True, kw_only=True):
    """Rows of the file are `events`; they have `items`, and `bytes` are those of the items' keys and values."""

    namespace: str
    file: File
    events: Int64
    items: Int64
    bytes: Int64


class EventColumns(Message, frozen=True, kw_only=True):
    """Where in a row what of an event is. Several columns are joined by `/`."""

    time_series_id: Annotated[_Names | None, Meta(description="none: the column of that name")] = None
    event_time: Annotated[
        str | None,
        Meta(
            description="timestamps, dates, text as of RFC 3339, or nanoseconds since 1970; none: the column of that "
            "name"
        ),
    ] = None
    event_id: Annotated[
        _Names | None,
        Meta(description="none: the column of that name, else the file's digest with the number of the row"),
    ] = None
    event_items: Annotated[
        _Names | None,
        Meta(
            description="columns that are items, under their names, as text where they are no bytes; none: the map "
            "`event_items`, else all other columns"
        ),
    ] = None
    utc: Annotated[bool, Meta(description="take times that name no zone as those of UTC; else they are refused")] = (
        False
    )


class ImportEvents(Message, kw_only=True):
    namespace: NamespaceName = ""
    file: Annotated[File, Meta(description="what `export_parquet` left, or what `columns` tells of")]
    columns: Annotated[EventColumns, Meta(description="where in a row what of an event is")] = EventColumns()
    accept_limit: Annotated[
        Duration | None,
        Meta(
            description="how old an event may be, for this job alone; 0s: as old as the namespace still shows; "
            "none: the namespace's `accept_limit`",
            extra={"bounds": ("0s", "3650d")},
        ),
    ] = None
    bad_rows_max: Annotated[
        int, Meta(ge=0, le=2**63 - 1, description="rows that are no events are left out, up to so many")
    ] = 0


class BadRow(Message, frozen=True, kw_only=True):
    """A row that is no event; rows count from 1."""

    row: Int64
    column: str
    reason: str


class EventsImported(Message, frozen=True, kw_only=True):
    """Rows that are stored are `events`, with `items` of `bytes` in keys and values.

    `bad_rows` were left out, of which `refused` tells the first 100.
    """

    namespace: str
    events: Int64
    items: Int64
    bytes: Int64
    bad_rows: Int64
    refused: list[BadRow]
