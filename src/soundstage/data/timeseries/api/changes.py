"""Messages about the changes of a namespace."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from soundstage.core.message import Cursor, Instant, NamespaceName
from soundstage.data.timeseries.api.events import Event

Message = msgspec.Struct


class WatchEvents(Message, kw_only=True):
    """Without `cursor` from now on, or from `since`; `"0"` from the oldest write that is kept."""

    namespace: NamespaceName = ""
    time_series_id: Annotated[str | None, Meta(description="only events of this id")] = None
    prefix: Annotated[str | None, Meta(description="only events of ids that begin so")] = None
    since: Annotated[Instant | None, Meta(description="where to begin without a cursor: at what was written then")] = (
        None
    )
    cursor: Cursor = None


class EventWritten(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Items of an event that were written, and the cursor with which a feed goes on after them.

    An event may be told again, and its items may come in several writes: of two values under one item key the greater
    one stays. Values of the items in `left_out` were too large to be told; read the event.
    """

    cursor: str
    event: Event
    left_out: list[str] | None = None


class Tail(Message, kw_only=True):
    """Without `cursor` events from now on, or from `since`."""

    namespace: NamespaceName = ""
    time_series_id: Annotated[str, Meta(description="whose events: text of 1 to 1024 bytes")]
    since: Annotated[Instant | None, Meta(description="of events from then on, without a cursor")] = None
    cursor: Cursor = None


class TailedEvent(Message, frozen=True, kw_only=True):
    """An event, and the cursor with which a feed goes on: at the time of the newest that was shown."""

    cursor: str
    event: Event
