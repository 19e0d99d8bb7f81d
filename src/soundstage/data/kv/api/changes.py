"""Messages about the changes of a namespace."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from soundstage.core.message import Cursor, IdempotencyToken, Instant, NamespaceName
from soundstage.data.kv.api.items import Item, Predicate

Message = msgspec.Struct


class WatchItems(Message, kw_only=True):
    """Without `cursor` from now on, or from `since`; `"0"` from the oldest change that is kept."""

    namespace: NamespaceName = ""
    id: Annotated[str | None, Meta(description="only changes of this record")] = None
    prefix: Annotated[str | None, Meta(description="only changes of records whose ids begin so")] = None
    since: Annotated[Instant | None, Meta(description="where to begin without a cursor: at changes of then")] = None
    cursor: Cursor = None


class ItemChange(Message, frozen=True, kw_only=True, omit_defaults=True):
    """A write to the record `id`, and the cursor with which a feed goes on after it.

    It put `items`, or it deleted what `deleted` matches; with `truncated` all records of that token, or of an earlier
    one, are gone. `idempotency_token` is the version of the write: one that is not later than what you have of an item
    changes nothing of it, and may be told again. A value that is left out can be read; see the item's `size`.
    """

    cursor: str
    id: str = ""
    idempotency_token: IdempotencyToken
    items: list[Item] | None = None
    deleted: Predicate | None = None
    truncated: bool = False
