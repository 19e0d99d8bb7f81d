"""Messages about dictionaries to compress values with."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from soundstage.core.message import Instant, Int64, NamespaceName

Message = msgspec.Struct

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
