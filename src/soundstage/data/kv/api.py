"""The messages and operations of the key-value store."""

# The bodies of declared operations never run.
# pyright: reportReturnType=false

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Literal, TypeAlias
from urllib.parse import quote, unquote

import msgspec
from msgspec import Meta

from soundstage.core.attunement import Signals
from soundstage.core.errors import (
    AlreadyExists,
    DataLoss,
    Exhausted,
    InvalidArgument,
    NotFound,
    PreconditionFailed,
    TokenDrift,
    TokenReused,
    TooLarge,
)
from soundstage.core.feed import feed
from soundstage.core.files import File
from soundstage.core.job import job
from soundstage.core.message import Cursor, Duration, IdempotencyToken, Instant, Int64, NamespaceName, PageToken
from soundstage.core.operation import AsyncFace, SyncFace, operation
from soundstage.core.streaming import download, upload

Message = msgspec.Struct

_TAG = re.compile(r"[0-9]{1,16}\.[0-9a-f]{16}\..{1,192}")

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


class Item(Message, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """An item as read; `value` is left out where the selection says so, or where no client could undo its `codec`."""

    key: bytes
    value: bytes | None = None
    metadata: ItemMetadata


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


class PutMutation(Message, kw_only=True):
    namespace: NamespaceName
    id: RecordId
    items: Annotated[list[PutItem], Meta(description="up to 5000")]


class DeleteMutation(Message, kw_only=True):
    namespace: NamespaceName
    id: RecordId
    predicate: Annotated[Predicate, Meta(description="which items")]


class Mutation(Message, kw_only=True, omit_defaults=True):
    """Exactly one of its fields is given."""

    put: PutMutation | None = None
    delete: DeleteMutation | None = None


class MutateItems(Message, kw_only=True):
    mutations: Annotated[
        list[Mutation], Meta(description="up to 1000, together up to 4 MiB; of any records and namespaces")
    ]
    apply_at: Annotated[
        Instant | None, Meta(description="when to apply them, as writes of that time; none: at once")
    ] = None
    idempotency_token: WriteToken = None


class MutateItemsReply(Message, kw_only=True):
    """`idempotency_token` is that of the first mutation, each further one has a time of a microsecond more.

    `mutation_id` names them all in `writeahead/status`.
    """

    idempotency_token: IdempotencyToken
    mutation_id: str


class Truncate(Message, kw_only=True):
    namespace: NamespaceName = ""
    confirm: Annotated[str, Meta(description="the namespace's name, once more: all that it holds goes")]
    idempotency_token: WriteToken = None


class TruncateReply(Message, kw_only=True):
    """`idempotency_token` is the one to repeat the call under; what was written at a later time than it names stays.

    Feed and records show the truncation at that time too, under a token of its own that ends in `/truncated`.
    """

    idempotency_token: IdempotencyToken


class PutValue(Message, kw_only=True):
    """Where a value goes that comes as a stream."""

    namespace: NamespaceName = ""
    id: RecordId
    key: Annotated[bytes, Meta(description="of the item: 0 to 4096 bytes")]
    ttl: Annotated[
        Duration | None, Meta(description="time to live, from the token's time on: 1ms to 3653d; none: for ever")
    ] = None
    idempotency_token: Annotated[
        IdempotencyToken | None,
        Meta(description="names the write; where it is left out, one is made when the value has come"),
    ] = None
    condition: WriteCondition = None


class PutValueReply(Message, kw_only=True, omit_defaults=True):
    """`idempotency_token` is the effective one; `checksum` is the 128-bit XXH3 of the value, in hexadecimal."""

    idempotency_token: IdempotencyToken
    size: Int64
    checksum: str
    remember_for: RememberFor = None


class GetValue(Message, kw_only=True):
    namespace: NamespaceName = ""
    id: RecordId
    key: Annotated[bytes, Meta(description="of the item: 0 to 4096 bytes")]
    start: Annotated[Int64, Meta(description="the first byte that is wanted; a negative one counts from the end")] = 0
    end: Annotated[Int64 | None, Meta(description="the byte before which to stop; none: after the last")] = None
    min_version: Annotated[
        IdempotencyToken | None, Meta(description="what is read is at least as new as the write of this token")
    ] = None


class ValueInfo(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Which write a value is from, its size in bytes, and its 128-bit XXH3 in hexadecimal."""

    token: IdempotencyToken
    expires_at: Instant | None = None
    size: Int64
    checksum: str
    codec: str | None = None


VALUE = "value/{namespace}/{id}/{key}"
"""Where a single value is, over HTTP."""


def tag_of(token: IdempotencyToken, checksum: str) -> str:
    """What names a value, of all that an item ever has: its write, and what that wrote."""
    return f"{token.generation_time // 1_000}.{checksum[:16]}.{quote(token.token, safe='')}"


def reply_tag(reply: PutValueReply) -> str:
    """The tag of what was put."""
    return tag_of(reply.idempotency_token, reply.checksum)


def info_tag(info: ValueInfo) -> str:
    """The tag of what was found."""
    return tag_of(info.token, info.checksum)


def matching(request: PutValue, wanted: Sequence[str] | None, unwanted: Sequence[str] | None) -> PutValue:
    """`request` on condition that the item has the value that `wanted` tags, or none. Raises `InvalidArgument`."""
    if wanted is None and unwanted is None:
        return request
    if request.condition is not None:
        raise InvalidArgument("a condition came twice", field="condition", hint="send it, or If-Match, not both")
    if wanted is None and unwanted is not None and list(unwanted) == ["*"]:
        condition = Condition(key=request.key, absent=True)
    elif unwanted is None and wanted is not None and len(wanted) == 1 and _TAG.fullmatch(wanted[0]):
        time_us, _, text = wanted[0].split(".", 2)
        token = IdempotencyToken(Instant(int(time_us) * 1_000), unquote(text))
        condition = Condition(key=request.key, token=token)
    else:
        raise InvalidArgument(
            "these conditions cannot be held against a value",
            field="If-Match" if wanted is not None else "If-None-Match",
            hint="send `If-Match` with one `ETag` as it came, or `If-None-Match: *` for a value that is not there",
        )
    return msgspec.structs.replace(request, condition=condition)


class ClientCapabilities(Message, frozen=True, kw_only=True):
    """What a client can do: of the codecs that it names it is offered those that the namespace takes."""

    codecs: Annotated[
        list[str], Meta(max_length=64, description="codecs that the client can compress with and undo")
    ] = msgspec.field(default_factory=list[str])
    chunking: Annotated[bool, Meta(description="whether it takes large values in parts; they come whole anyway")] = (
        False
    )
    version: Annotated[str, Meta(max_length=256, description="of the client, for people")] = ""


class Handshake(Message, kw_only=True):
    namespace: NamespaceName = ""
    client: Annotated[ClientCapabilities, Meta(description="what the client can do")] = ClientCapabilities()


class KeyValueSignals(Signals, frozen=True, kw_only=True):
    """How a namespace wants its clients to be; see `soundstage.core.attunement.Signals`.

    `codecs` are those to compress values with, the best first; the last is `none`, which is not to, and one such as
    `zstd:0f3a…` needs a dictionary (`get_dictionary`). Values smaller than `compress_from`, or `dictionary_from` with a
    dictionary, are left as they are. Values over `chunk_threshold` lie in chunks, and come whole.
    """

    page_size_bytes: Int64
    page_size_max: Int64
    chunk_threshold: Int64
    value_max: Int64
    codecs: list[str]
    compress_from: Int64
    compress_level: Int64
    dictionary_from: Int64 = 0


class HandshakeReply(Message, kw_only=True):
    signals: KeyValueSignals


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


class ExportParquet(Message, kw_only=True):
    namespace: NamespaceName = ""
    max_value_bytes: (
        Annotated[
            int,
            Meta(
                ge=0, le=2**63 - 1, description="larger values are left out, and their rows have none; none: no limit"
            ),
        ]
        | None
    ) = None


class ParquetExported(Message, frozen=True, kw_only=True):
    """`bytes` are those of keys and values; `left_out` counts rows without their value, for it was too large."""

    namespace: str
    file: File
    records: Int64
    items: Int64
    bytes: Int64
    left_out: Int64


class ImportParquet(Message, kw_only=True):
    """With `versions` `keep` every item has the version that the file says, with `new` those of writes of now."""

    namespace: NamespaceName = ""
    file: Annotated[File, Meta(description="with columns id, key, value, and perhaps expires_at and codec")]
    versions: Annotated[
        Literal["keep", "new"] | None,
        Meta(description="whose versions items get; none: `keep` for what `export_parquet` left, else `new`"),
    ] = None


class ParquetImported(Message, frozen=True, kw_only=True):
    """Rows that were put in are `items`, and `bytes` those of their keys and values; `expired` ones were not."""

    namespace: str
    items: Int64
    bytes: Int64
    expired: Int64


DictionaryCodec: TypeAlias = Annotated[str, Meta(max_length=64, description="the codec that needs the dictionary")]


class TrainDictionary(Message, kw_only=True):
    namespace: NamespaceName = ""
    size: Annotated[
        int, Meta(ge=1_024, le=256 << 10, description="bytes of the dictionary; clients keep it in memory")
    ] = 16 << 10
    sample_bytes: Annotated[
        int, Meta(ge=64 << 10, le=64 << 20, description="of values, about, that it is trained and judged by")
    ] = 8 << 20


class DictionaryTrained(Message, frozen=True, kw_only=True):
    """`codec` names it. `judged` values, of `plain_bytes`, come to `zstd_bytes` each by itself, else `bytes`."""

    namespace: str
    codec: str
    size: Int64
    samples: Int64
    judged: Int64
    plain_bytes: Int64
    zstd_bytes: Int64
    bytes: Int64


class DictionaryInfo(Message, frozen=True, kw_only=True, omit_defaults=True):
    """A dictionary of a namespace. Clients write with the one that is `active`.

    One that is `retired` is taken for ten minutes more; one that is `unneeded` was named by no value when all were
    looked at, and is going to be dropped. `since` is when it became so.
    """

    codec: str
    state: Literal["active", "retired", "unneeded"]
    size: Int64
    samples: Int64
    created_at: Instant
    since: Instant


class ListDictionaries(Message, kw_only=True):
    namespace: NamespaceName = ""


class ListDictionariesReply(Message, kw_only=True):
    """All that are kept, the newest first."""

    dictionaries: list[DictionaryInfo]


class GetDictionary(Message, kw_only=True):
    namespace: NamespaceName = ""
    codec: DictionaryCodec


class GetDictionaryReply(Message, kw_only=True):
    """`content` is a dictionary as the zstd library trains them; the codec is `zstd:` and its BLAKE2b of 6 bytes."""

    codec: str
    content: bytes


class RetireDictionary(Message, kw_only=True):
    """Without `codec` every one that is active."""

    namespace: NamespaceName = ""
    codec: Annotated[str | None, Meta(description="the codec that needs it; none: all")] = None


class RetireDictionaryReply(Message, kw_only=True):
    """Those that clients write with no more, by their codecs; none that were retired before."""

    retired: list[str]


class DropDictionaries(Message, kw_only=True):
    namespace: NamespaceName = ""


class DictionariesDropped(Message, frozen=True, kw_only=True):
    """What became of those that are not active, by their codecs.

    `needed` are named by a value, `waiting` by none, or may be by one under way: drop again later.
    """

    namespace: str
    dropped: list[str]
    needed: list[str]
    waiting: list[str]
    items: Int64


class KeyValueCalls:
    """Records of sorted items, two levels of map: id to key to value."""

    system = "kv"
    recall = "soundstage.data.kv.own_writes"
    attunement = "soundstage.data.kv.attunement"

    @operation(
        PutItems,
        access="write",
        idempotent=True,
        errors=(NotFound, TokenDrift, TokenReused, PreconditionFailed, TooLarge),
        checks_types=True,
        prompt=True,
    )
    def put_items(self) -> PutItemsReply:
        """Store items in a record; they become visible together, once per token."""

    @operation(GetItems, access="read", idempotent=True, errors=(NotFound,), checks_types=True, prompt=True)
    def get_items(self) -> GetItemsReply:
        """One page of a record's items in key order; an unknown id reads as empty."""

    @operation(
        DeleteItems,
        access="write",
        idempotent=True,
        errors=(NotFound, TokenDrift, TokenReused, PreconditionFailed),
        checks_types=True,
        prompt=True,
    )
    def delete_items(self) -> DeleteItemsReply:
        """Delete a record, a range of keys or single items, at a cost that does not grow with them."""

    @operation(
        MutateItems,
        access="write",
        idempotent=True,
        errors=(NotFound, TokenDrift, TokenReused, TooLarge),
        ticks=lambda request: max(1, len(request.mutations)),
    )
    def mutate_items(self) -> MutateItemsReply:
        """Puts and deletes in several records and namespaces are accepted: each will be applied, in the given order."""

    @operation(ScanItems, access="read", idempotent=True, errors=(NotFound,))
    def scan_items(self) -> ScanItemsReply:
        """One page of a walk over all records of a namespace, or of one of `total_segments` parts."""

    @operation(BatchGetItems, access="read", idempotent=True, errors=(NotFound,))
    def batch_get_items(self) -> BatchGetItemsReply:
        """Items of many records in one reply, which `page_size_bytes` bounds as a whole."""

    @operation(CountItems, access="read", idempotent=True, errors=(NotFound,))
    def count_items(self) -> CountItemsReply:
        """How many items of a record match; exact up to the namespace's `count_limit`."""

    @operation(Handshake, access="read", idempotent=True, errors=(NotFound,))
    def handshake(self) -> HandshakeReply:
        """How clients of a namespace are to be: objectives, sizes of pages, codecs, when to send a read twice."""

    @feed(WatchItems, access="read", errors=(NotFound,))
    def watch_items(self) -> ItemChange:
        """Every write to a namespace that is watched, from a cursor on: in order for each record, and at least once.

        What expires is not told, for its time is told when it is written.
        """

    @operation(Truncate, access="admin", idempotent=True, errors=(NotFound, TokenDrift))
    def truncate(self) -> TruncateReply:
        """All records of a namespace are gone, at a cost that does not grow with them; this cannot be undone.

        It is a delete of everything: writes of a later token stay, those of an earlier one that arrive late do not.
        """

    @job(ExportParquet, access="read", restart="resume", errors=(NotFound, TooLarge))
    def export_parquet(self) -> ParquetExported:
        """The items of a namespace are rows of one file of Parquet, for other programs and for `import_parquet`.

        It holds every write that was acknowledged before it began, and of those made meanwhile some. What was deleted
        and what has expired is not in it: a namespace is moved by `namespaces/export`.
        """

    @job(ImportParquet, access="write", restart="resume", errors=(NotFound, AlreadyExists, DataLoss, TooLarge))
    def import_parquet(self) -> ParquetImported:
        """Every row of a file is an item of the namespace, put as other writes are.

        Versions are kept only in a namespace in which nothing was before. Of two rows about one item the greater
        version wins, and with new ones the later row. After a failure the rows before it are in.
        """

    @job(
        TrainDictionary,
        access="admin",
        restart="restart",
        errors=(NotFound, PreconditionFailed, Exhausted),
    )
    def train_dictionary(self) -> DictionaryTrained:
        """Clients compress values with a dictionary, which is made from values of the namespace; the last is retired.

        The namespace's `compression.codecs` must have `zstd`. Where there are too few values, or they would not become
        smaller, nothing changes.
        """

    @operation(ListDictionaries, access="read", idempotent=True, errors=(NotFound,))
    def list_dictionaries(self) -> ListDictionariesReply:
        """The dictionaries that are kept, for values that are written with them or were."""

    @operation(GetDictionary, access="read", idempotent=True, errors=(NotFound, DataLoss))
    def get_dictionary(self) -> GetDictionaryReply:
        """A dictionary, which undoes the compression of values that name it by their codec."""

    @operation(RetireDictionary, access="admin", idempotent=True, errors=(NotFound,))
    def retire_dictionary(self) -> RetireDictionaryReply:
        """Clients write with a dictionary no more, and what is written with it ten minutes from now is refused.

        It is kept for what was written with it until `drop_dictionaries` finds that there is nothing left.
        """

    @job(DropDictionaries, access="admin", restart="restart", errors=(NotFound, InvalidArgument))
    def drop_dictionaries(self) -> DictionariesDropped:
        """Dictionaries that no value needs any more are gone, each after two runs, hours apart.

        The first looks at all values, from half an hour after it was retired; one later than `chunk_grace` and the
        cache's `ttl` after that drops it, for who reads a value of before. Of a watched namespace it is kept for as
        long as changes are.
        """

    @upload(
        PutValue,
        place=VALUE,
        access="write",
        idempotent=True,
        errors=(NotFound, TokenDrift, TokenReused, PreconditionFailed, TooLarge),
        tag=reply_tag,
        matching=matching,
    )
    def put_value(self) -> PutValueReply:
        """Store one value of any size as it comes; readers see the old one or the new one, whole."""

    @download(GetValue, place=VALUE, access="read", errors=(NotFound, DataLoss), tag=info_tag)
    def get_value(self) -> ValueInfo:
        """One value of any size, or a range of its bytes."""


class KeyValue(AsyncFace, KeyValueCalls):
    """The key-value store, asynchronous: `stage.client(KeyValue, "profiles")`."""


class SyncKeyValue(SyncFace, KeyValueCalls):
    """The key-value store, synchronous: `stage.client(SyncKeyValue, "profiles")`."""


CALLS = KeyValueCalls
