from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from soundstage.core.time import Duration


class NamespaceConfig(msgspec.Struct, frozen=True, kw_only=True):
    LINGERING: ClassVar[frozenset[str]] = frozenset({"greeting"})

    greeting: str = ""
    length_limit: int = 100
    drift_past: Annotated[Duration, Meta(extra={"bounds": ("1s", "7d")})] = Duration(600_000_000_000)
    conditional_writes: bool = True
    key_order: Literal["asc", "desc"] = "asc"
    parts: int = 1


class SystemConfig(msgspec.Struct, frozen=True, kw_only=True):
    volume: int = 5
