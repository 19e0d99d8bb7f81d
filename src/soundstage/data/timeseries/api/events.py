"""Events, and times in which they happened."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from soundstage.core.message import Instant

Message = msgspec.Struct


class EventItem(Message, frozen=True, kw_only=True, gc=False):
    """A key of an event and what it has there."""

    event_item_key: Annotated[str, Meta(description="text of 1 to 2000 bytes, such as tags.app")]
    event_item_value: Annotated[bytes, Meta(description="what to store")]


class Event(Message, frozen=True, kw_only=True, gc=False):
    """Something that happened: it never changes, and the same key twice is one event.

    `time_series_id`, `event_time` and `event_id` are its key. Its items may come in several writes.
    """

    time_series_id: Annotated[str, Meta(description="of what it happened to: text of 1 to 1024 bytes")]
    event_time: Annotated[Instant, Meta(description="when it happened, as its client says")]
    event_id: Annotated[str, Meta(description="text of 1 to 1024 bytes, such as a UUID")]
    event_items: Annotated[list[EventItem], Meta(description="at least one, each key once")]


class TimeInterval(Message, frozen=True, kw_only=True):
    """From `start` on and before `end`."""

    start: Annotated[Instant, Meta(description="the first instant of it")]
    end: Annotated[Instant, Meta(description="the first instant behind it")]
