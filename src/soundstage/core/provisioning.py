"""What a namespace will have to do, what a stage has for it, and a plan that fits the one to the other."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from soundstage.core.namespace import Objective, Quotas

_Rate = Annotated[float, Meta(ge=0, le=1e9)]


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be kept and how it will be used, at its busiest; means where sizes vary."""

    reads_per_second: Annotated[_Rate, Meta(description="calls that read")]
    writes_per_second: Annotated[_Rate, Meta(description="calls that write")]
    items: Annotated[int, Meta(ge=1, le=10**15, description="items kept at once")]
    item_bytes: Annotated[int, Meta(ge=1, le=2**30, description="of an item, its key and value together")] = 1024
    items_per_record: Annotated[int, Meta(ge=1, le=10**9, description="items under one id")] = 1
    items_per_read: Annotated[int, Meta(ge=1, le=10**6, description="items that a call returns")] = 1
    items_per_write: Annotated[int, Meta(ge=1, le=10**6, description="items that a call changes")] = 1
    stale_reads: Annotated[bool, Meta(description="a read may miss what was just written")] = False
    conditional_writes: Annotated[bool, Meta(description="writes depend on what is there")] = False
    slos: Annotated[dict[str, Objective], Meta(description="objectives for `read` and `write`")] = {}


class Design(msgspec.Struct, frozen=True, kw_only=True):
    """What a system plans for a namespace of its own.

    `storage_bytes` are those of all replicas together, `processes` how many have to serve calls so that each is half
    used, `cached` whether a cache before the engine pays. `reasons` say how each came about.
    """

    engine: str
    config: dict[str, Any]
    quotas: Quotas
    storage_bytes: int
    processes: int
    cached: bool
    reasons: list[str]


class Excuse(msgspec.Struct, frozen=True, kw_only=True):
    """Why there is no plan: what is short, by how much, and what would help."""

    reason: str
    bottleneck: str
    detail: str
    hint: str


class Ground(NamedTuple):
    """An engine that could take the namespace. `free_bytes` are those of its disk, where it is on this machine."""

    name: str
    scheme: str
    capabilities: frozenset[str]
    free_bytes: int | None = None


class Terrain(NamedTuple):
    """What a stage has: engines in the order of preference, and processors of this machine."""

    grounds: tuple[Ground, ...]
    processors: int
