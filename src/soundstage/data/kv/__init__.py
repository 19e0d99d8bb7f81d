"""The key-value store: records of sorted items, two levels of map, id to key to value.

    async with Stage.open() as stage:
        profiles = stage.client(KeyValue, "profiles")
        await profiles.put_items(id="ada", items=[PutItem(key=b"name", value=b"Ada")])
        page = await profiles.get_items(id="ada")

Messages and operations are in `api`, the knobs of a namespace in `config`. Inside:

    tokens       which tokens are taken: drift both ways, and what raising `drift_past` means
    writes, conditions, predicates    puts and deletes as batches, what must hold, which keys a request is about
    items, selections    rows as items, how much a request wants, and what still fits its page
    cursors      where a walk goes on, inside a page token
    reads        pages of one record: by range and by keys; `cached_*`, `cache_*`, `closed_heads`, `doubts`: by a cache
    batches, scans, counts, parquet    many records: pages, walks, how many items there are, and as files of rows
    watched, changes, watching    what is put into a log of every write, and how it is followed from there
    truncated, erasing    what a truncated namespace shows, and how what it hides is removed
    mutations, mutation_target    sets of mutations; signalling, attunement, shelf, dictionaries: what clients are told
    manifest, chunks, uploads, large_values, streamed_values    values that are too large for their rows
    namespace, service, provisioning    a namespace as this process serves it, the operations, and what one needs

Data on disk: table `kv/<namespace>`, a partition per id (its UTF-8), a row per item. A cell's metadata is
empty, or a `StoredMetadata` in MessagePack.
"""

from __future__ import annotations

from soundstage.data.kv.api import (
    BatchGetItemsReply,
    Condition,
    CountItemsReply,
    DeleteMutation,
    GetItemsReply,
    Item,
    ItemChange,
    KeyValue,
    MatchAll,
    MatchKeys,
    MatchRange,
    MutateItemsReply,
    Mutation,
    ParquetExported,
    ParquetImported,
    Predicate,
    PutItem,
    PutMutation,
    PutValueReply,
    ScanItemsReply,
    Selection,
    SyncKeyValue,
    TruncateReply,
    ValueInfo,
)

__all__ = [
    "BatchGetItemsReply",
    "Condition",
    "CountItemsReply",
    "DeleteMutation",
    "GetItemsReply",
    "Item",
    "ItemChange",
    "KeyValue",
    "MatchAll",
    "MatchKeys",
    "MatchRange",
    "MutateItemsReply",
    "Mutation",
    "ParquetExported",
    "ParquetImported",
    "Predicate",
    "PutItem",
    "PutMutation",
    "PutValueReply",
    "ScanItemsReply",
    "Selection",
    "SyncKeyValue",
    "TruncateReply",
    "ValueInfo",
]
