"""Messages of every shape that flags must be derived for."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from soundstage.core.message import Duration, Instant


class Fact(msgspec.Struct, kw_only=True):
    key: bytes
    value: bytes
    ttl: Duration | None = None


class Label(msgspec.Struct, kw_only=True):
    key: str
    value: str


class Tagged(msgspec.Struct, kw_only=True):
    """Has a key and a value, but cannot be written as a pair: something else is required."""

    key: str
    value: str
    kind: str


class Everything(msgspec.Struct):
    """Matches all."""


class Range(msgspec.Struct, kw_only=True):
    start: bytes | None = None
    inclusive: bool = True


class Filter(msgspec.Struct, kw_only=True):
    """Which ones."""

    everything: Everything | None = None
    range: Range | None = None
    keys: list[bytes] = []


class Tree(msgspec.Struct, kw_only=True):
    name: str
    children: list[Tree] = []


class Many(msgspec.Struct, kw_only=True):
    """One field of each kind."""

    id: str
    count: Annotated[int, Meta(ge=0, le=9, description="how many")] = 3
    share: float | None = None
    reverse: bool = False
    mode: Literal["fast", "slow"] = "fast"
    at: Instant | None = None
    ttl: Duration | None = None
    raw: bytes = b""
    names: list[str] = []
    facts: list[Fact] = []
    labels: list[Label] = []
    tagged: list[Tagged] = []
    options: dict[str, Any] = {}
    engines: dict[str, str] = {}
    filter: Filter | None = None
    tree: Tree | None = None
    either: Fact | list[Fact] | None = None
    token: str | None = None
    item_limit: int | None = None


class Both(msgspec.Struct, kw_only=True):
    """Has a field with the singular name of another."""

    id: str
    ids: list[str] = []


class Single(msgspec.Struct, kw_only=True):
    id: str
