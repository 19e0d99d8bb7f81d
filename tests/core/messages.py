"""Messages of every kind that the tests of the codec read and write."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from soundstage.core.message import Duration, Instant, Int64
from soundstage.core.size import Size


class Inner(msgspec.Struct, kw_only=True):
    key: bytes
    note: str | None = None


class Everything(msgspec.Struct, kw_only=True):
    """A field of each kind; all but `id` may be left out."""

    id: str
    count: Int64 = 0
    small: Annotated[int, msgspec.Meta(ge=1, le=10)] | None = None
    ratio: float | None = None
    at: Instant | None = None
    ttl: Duration | None = None
    size: Size | None = None
    order: Literal["asc", "desc"] = "asc"
    items: list[Inner] = []
    by_name: dict[str, Inner] = {}
    free: Any = None


class OnlyNone(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A struct that msgspec alone encodes by the rule."""

    id: str
    note: str | None = None


class Tree(msgspec.Struct, kw_only=True):
    """Holds itself."""

    below: list[Tree] = []
