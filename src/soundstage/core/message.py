"""The field types of messages, and what is common to many of them."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec

from soundstage.core.limits import NAMESPACE_MAX_CHARS
from soundstage.core.time import Duration, Instant

Name: TypeAlias = Annotated[
    str,
    msgspec.Meta(
        extra_json_schema={
            "minLength": 1,
            "maxLength": NAMESPACE_MAX_CHARS,
            "pattern": "^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$",
        }
    ),
]
"""A name as `check_namespace` wants it; descriptions say so, decoding leaves the refusal to that."""

Int64: TypeAlias = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


NamespaceName: TypeAlias = Annotated[
    str, msgspec.Meta(description="namespace of the call; a client may be bound to one")
]

PageSize: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=1_000, description="entries of a page")]

PageToken: TypeAlias = Annotated[str | None, msgspec.Meta(description="`next_page_token` of the page before")]


Cursor: TypeAlias = Annotated[str | None, msgspec.Meta(description="of the last message seen; a feed goes on after it")]


class IdempotencyToken(msgspec.Struct, frozen=True, gc=False):
    """Names one write: the same token twice is one write. `token` is 1 to 64 bytes of text without NUL.

    `generation_time` is kept in microseconds and decides between writes.
    """

    generation_time: Annotated[Instant, msgspec.Meta(description="when the write was first made")]
    token: Annotated[str, msgspec.Meta(description="1 to 64 bytes, such as a UUID")]


__all__ = [
    "Cursor",
    "Duration",
    "IdempotencyToken",
    "Instant",
    "Int64",
    "Name",
    "NamespaceName",
    "PageSize",
    "PageToken",
]
