"""The messages and operations of the key-value store: operations here, messages in the modules of this package."""

# The bodies of declared operations never run.
# pyright: reportReturnType=false

from __future__ import annotations

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
from soundstage.core.job import job
from soundstage.core.operation import AsyncFace, SyncFace, operation
from soundstage.core.streaming import download, upload
from soundstage.data.kv.api.changes import ItemChange, WatchItems
from soundstage.data.kv.api.dictionaries import (
    DictionariesDropped,
    DictionaryCodec,
    DictionaryInfo,
    DictionaryTrained,
    DropDictionaries,
    GetDictionary,
    GetDictionaryReply,
    ListDictionaries,
    ListDictionariesReply,
    RetireDictionary,
    RetireDictionaryReply,
    TrainDictionary,
)
from soundstage.data.kv.api.items import (
    BatchGetItems,
    BatchGetItemsReply,
    BatchRecord,
    Choice,
    Condition,
    CountItems,
    CountItemsReply,
    DeleteItems,
    DeleteItemsReply,
    Filter,
    GetItems,
    GetItemsReply,
    Item,
    ItemMetadata,
    MatchAll,
    MatchKeys,
    MatchRange,
    Predicate,
    PutItem,
    PutItems,
    PutItemsReply,
    RecordId,
    RememberFor,
    ScanItems,
    ScanItemsReply,
    ScannedRecord,
    Selection,
    Truncate,
    TruncateReply,
    WriteCondition,
    WriteToken,
)
from soundstage.data.kv.api.mutations import DeleteMutation, MutateItems, MutateItemsReply, Mutation, PutMutation
from soundstage.data.kv.api.parquet import ExportParquet, ImportParquet, ParquetExported, ParquetImported
from soundstage.data.kv.api.signals import ClientCapabilities, Handshake, HandshakeReply, KeyValueSignals
from soundstage.data.kv.api.values import (
    VALUE,
    GetValue,
    PutValue,
    PutValueReply,
    ValueInfo,
    info_tag,
    matching,
    reply_tag,
    tag_of,
)

__all__ = [
    "CALLS",
    "VALUE",
    "BatchGetItems",
    "BatchGetItemsReply",
    "BatchRecord",
    "Choice",
    "ClientCapabilities",
    "Condition",
    "CountItems",
    "CountItemsReply",
    "DeleteItems",
    "DeleteItemsReply",
    "DeleteMutation",
    "DictionariesDropped",
    "DictionaryCodec",
    "DictionaryInfo",
    "DictionaryTrained",
    "DropDictionaries",
    "ExportParquet",
    "Filter",
    "GetDictionary",
    "GetDictionaryReply",
    "GetItems",
    "GetItemsReply",
    "GetValue",
    "Handshake",
    "HandshakeReply",
    "ImportParquet",
    "Item",
    "ItemChange",
    "ItemMetadata",
    "KeyValue",
    "KeyValueCalls",
    "KeyValueSignals",
    "ListDictionaries",
    "ListDictionariesReply",
    "MatchAll",
    "MatchKeys",
    "MatchRange",
    "MutateItems",
    "MutateItemsReply",
    "Mutation",
    "ParquetExported",
    "ParquetImported",
    "Predicate",
    "PutItem",
    "PutItems",
    "PutItemsReply",
    "PutMutation",
    "PutValue",
    "PutValueReply",
    "RecordId",
    "RememberFor",
    "RetireDictionary",
    "RetireDictionaryReply",
    "ScanItems",
    "ScanItemsReply",
    "ScannedRecord",
    "Selection",
    "SyncKeyValue",
    "TrainDictionary",
    "Truncate",
    "TruncateReply",
    "ValueInfo",
    "WatchItems",
    "WriteCondition",
    "WriteToken",
    "info_tag",
    "matching",
    "reply_tag",
    "tag_of",
]


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
