"""Messages about items and records: what they are, which are meant, how much is wanted."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from soundstage.core.message import Duration, IdempotencyToken, Instant, Int64, NamespaceName, PageToken

Message = msgspec.Struct

RecordId: TypeAlias = Annotated[str, Meta(description="of the record: text of 1 to 1024 bytes")]


class ItemMetadata(Message, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Which write an item is from. `size` is that of the value as stored, in bytes."""

    token: IdempotencyToken
    expires_at: Instant | None = None
    size: Int64
    codec: str | None = None


class PutItem(Message, kw_only=True, omit_defaults=True):
    """An item to store; it expires `ttl` (1 ms to 10 years) after its token's time.

    With a `codec` the `value` is compressed, and stored and returned as it is; the clients here do both by themselves.
    """

    key: Annotated[bytes, Meta(description="0 to 4096 bytes")]
    value: Annotated[bytes, Meta(description="what to store")]
    ttl: Annotated[
        Duration | None, Meta(description="time to live, from the token's time on: 1ms to 3653d; none: for ever")
    ] = None
    codec: Annotated[
        str | None, Meta(description="what undoes the compression of `value`, of those of `handshake`; none: as it is")
    ] = None


Withheld: TypeAlias = Literal["no_dictionary", "damaged", "too_large"]


class Item(Message, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """An item as read; `value` is left out where the selection says so, and where a client cannot undo its `codec`.

    Then the client says why in `withheld`; no server does. `no_dictionary`: the namespace has none of that name.
    `damaged`: it is none of its codec. `too_large`: it would be more than the client takes.
    """

    key: bytes
    value: bytes | None = None
    metadata: ItemMetadata
    withheld: Annotated[
        Withheld | None, Meta(description="why a value that was read is not shown; set by clients, never sent")
    ] = None


class MatchAll(Message):
    """Every item of a record."""


class MatchKeys(Message, kw_only=True):
    keys: Annotated[list[bytes], Meta(description="the items with these keys")]


class MatchRange(Message, kw_only=True):
    """Keys between `start` and `end` in byte order; a bound left out is open."""

    start: Annotated[bytes | None, Meta(description="the least key; none: from the first")] = None
    start_inclusive: Annotated[bool, Meta(description="whether `start` itself matches")] = True
    end: Annotated[bytes | None, Meta(description="where to stop; none: after the last")] = None
    end_inclusive: Annotated[bool, Meta(description="whether `end` itself matches")] = False


class Predicate(Message, kw_only=True, omit_defaults=True):
    """Exactly one of its fields is given."""

    match_all: MatchAll | None = None
    match_keys: MatchKeys | None = None
    match_range: MatchRange | None = None


class Selection(Message, kw_only=True, omit_defaults=True):
    """How much to return.

    `item_limit` counts over all pages. Values larger than `max_value_bytes` and, with `include_values` false,
    all values are left out; their metadata is not.
    """

    page_size_bytes: (
        Annotated[
            int,
            Meta(ge=1, le=2**63 - 1, description="bytes of a page; none: the namespace's `page_size_bytes`"),
        ]
        | None
    ) = None
    item_limit: Annotated[int, Meta(ge=1, le=2**63 - 1, description="items over all pages; none: no limit")] | None = (
        None
    )
    reverse: Annotated[bool, Meta(description="the greatest key first")] = False
    include_values: Annotated[bool, Meta(description="whether values come along")] = True
    max_value_bytes: (
        Annotated[
            int,
            Meta(ge=0, le=2**63 - 1, description="larger values are left out, their metadata is not; none: no limit"),
        ]
        | None
    ) = None


class Condition(Message, kw_only=True, omit_defaults=True):
    """`absent` or `token`: what must be true of the item `key`, or of the whole record without it."""

    key: bytes | None = None
    absent: bool = False
    token: IdempotencyToken | None = None


WriteToken: TypeAlias = Annotated[
    IdempotencyToken | None, Meta(description="names the write; made where it is left out")
]


WriteCondition: TypeAlias = Annotated[
    Condition | list[Condition] | None,
    Meta(description="what must hold, or nothing is written; of a list all must"),
]


Filter: TypeAlias = Annotated[Predicate | None, Meta(description="which items; none: all")]


Choice: TypeAlias = Annotated[Selection | None, Meta(description="how much to return")]


class PutItems(Message, kw_only=True):
    namespace: NamespaceName = ""
    id: RecordId
    items: Annotated[list[PutItem], Meta(description="up to 5000, together up to 4 MiB")]
    idempotency_token: WriteToken = None
    condition: WriteCondition = None


RememberFor: TypeAlias = Annotated[
    Duration | None,
    Meta(
        description="for how long a read of the record may be answered from before this write, unless it has a "
        "`min_version` (clients send theirs by themselves); none: not at all"
    ),
]


class PutItemsReply(Message, kw_only=True, omit_defaults=True):
    """`idempotency_token` is the effective one."""

    idempotency_token: IdempotencyToken
    remember_for: RememberFor = None


class GetItems(Message, kw_only=True):
    namespace: NamespaceName = ""
    id: RecordId
    predicate: Filter = None
    selection: Choice = None
    min_version: Annotated[
        IdempotencyToken | None, Meta(description="what is read is at least as new as the write of this token")
    ] = None
    page_token: PageToken = None


class GetItemsReply(Message, kw_only=True, omit_defaults=True):
    """One page. `record_token`, on the first, is that of the greatest write the record ever accepted."""

    items: list[Item]
    record_token: IdempotencyToken | None = None
    next_page_token: str | None = None


class DeleteItems(Message, kw_only=True):
    namespace: NamespaceName = ""
    id: RecordId
    predicate: Annotated[Predicate, Meta(description="which items")]
    idempotency_token: WriteToken = None
    condition: WriteCondition = None


class DeleteItemsReply(Message, kw_only=True, omit_defaults=True):
    """`idempotency_token` is the effective one."""

    idempotency_token: IdempotencyToken
    remember_for: RememberFor = None


class ScanItems(Message, kw_only=True):
    namespace: NamespaceName = ""
    segment: Annotated[
        int, Meta(ge=0, le=1023, description="which part of the namespace to walk, below `total_segments`")
    ] = 0
    total_segments: Annotated[int, Meta(ge=1, le=1024, description="into how many parts the namespace is divided")] = 1
    selection: Choice = None
    page_token: PageToken = None


class ScannedRecord(Message, kw_only=True):
    id: str
    items: list[Item]


class ScanItemsReply(Message, kw_only=True, omit_defaults=True):
    """Records in the engine's order; one may go on in the next page."""

    records: list[ScannedRecord]
    next_page_token: str | None = None


class BatchGetItems(Message, kw_only=True):
    namespace: NamespaceName = ""
    ids: Annotated[list[str], Meta(description="of the records, each 1 to 1024 bytes")]
    predicate: Filter = None
    selection: Choice = None


class BatchRecord(Message, kw_only=True, omit_defaults=True):
    """One record's page; `next_page_token` goes on with `get_items` of the same predicate and selection."""

    id: str
    items: list[Item]
    next_page_token: str | None = None


class BatchGetItemsReply(Message, kw_only=True):
    """As many records as ids, in their order."""

    records: list[BatchRecord]


class CountItems(Message, kw_only=True):
    namespace: NamespaceName = ""
    id: RecordId
    predicate: Filter = None


class CountItemsReply(Message, kw_only=True):
    """With `exact` false, `count` is a lower bound."""

    count: Int64
    exact: bool


class Truncate(Message, kw_only=True):
    namespace: NamespaceName = ""
    confirm: Annotated[str, Meta(description="the namespace's name, once more: all that it holds goes")]
    idempotency_token: WriteToken = None


class TruncateReply(Message, kw_only=True):
    """`idempotency_token` is the one to repeat the call under; what was written at a later time than it names stays.

    Feed and records show the truncation at that time too, under a token of its own that ends in `/truncated`.
    """

    idempotency_token: IdempotencyToken
