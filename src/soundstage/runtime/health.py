"""Whether a stage can serve, and why not."""

from __future__ import annotations

import msgspec


class Health(msgspec.Struct, frozen=True):
    """`ready`: calls are let in and nothing that they need is failing; else `reasons` say what is wrong."""

    ready: bool
    reasons: list[str]
