"""Messages about one value that comes or goes as a stream, and what names it over HTTP."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated
from urllib.parse import quote, unquote

import msgspec
from msgspec import Meta

from soundstage.core.errors import InvalidArgument
from soundstage.core.message import Duration, IdempotencyToken, Instant, Int64, NamespaceName
from soundstage.data.kv.api.items import Condition, RecordId, RememberFor, WriteCondition

Message = msgspec.Struct

_TAG = re.compile(r"[0-9]{1,16}\.[0-9a-f]{16}\..{1,192}")


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
