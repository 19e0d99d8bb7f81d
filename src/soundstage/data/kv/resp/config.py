"""The keys of a RESP door."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from soundstage.core.size import Size
from soundstage.runtime.door import ListenerConfig


class RespConfig(ListenerConfig, frozen=True, kw_only=True):
    """`[doors.resp]`: clients of Redis reach a namespace of the key-value store."""

    namespace: Annotated[
        str,
        Meta(description="database 0; made at start if it is missing, with conditional writes where the engine can"),
    ] = "resp"
    databases: Annotated[
        dict[str, str], Meta(description='further databases of `SELECT`, such as `{"1" = "sessions"}`; made likewise')
    ] = msgspec.field(default_factory=dict[str, str])
    max_arguments: Annotated[int, Meta(ge=16, le=1_048_576, description="of one command")] = 65_536
    max_request: Annotated[
        Size, Meta(description="all arguments of one command", extra={"bounds": ("64KiB", "64MiB")})
    ] = Size(8 << 20)
    max_reply: Annotated[
        Size, Meta(description="what one command may gather for its reply", extra={"bounds": ("64KiB", "1GiB")})
    ] = Size(64 << 20)
    max_replies: Annotated[
        Size,
        Meta(
            description="what the replies of all connections may hold that are made, or were not taken yet",
            extra={"bounds": ("64KiB", "1TiB")},
        ),
    ] = Size(256 << 20)
    cursors: Annotated[
        int, Meta(ge=1, le=1_000_000, description="walks by SCAN and HSCAN that can go on; the oldest is forgotten")
    ] = 10_000
