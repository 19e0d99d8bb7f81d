"""What a namespace will have to do, what a stage has for it, and a plan that fits the one to the other."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from soundstage.core.message import Duration
from soundstage.core.namespace import Objective, Quotas
from soundstage.core.time import NS_PER_S

_Rate = Annotated[float, Meta(ge=0, le=1e9)]


class EventWorkload(msgspec.Struct, frozen=True, kw_only=True):
    """What else is to be known where an item is an event: something that happened to an id, at a time."""

    per_day: Annotated[float, Meta(ge=0, le=1e12, description="events of one id in a day")] = 10.0
    read_interval: Annotated[
        Duration,
        Meta(description="how much time a read is about; 0s: all of it", extra={"bounds": ("0s", "3650d")}),
    ] = Duration(86_400 * NS_PER_S)
    retention: Annotated[
        Duration | None,
        Meta(description="how long events are kept; none: for ever", extra={"bounds": ("1s", "3650d")}),
    ] = None
    accept_limit: Annotated[
        Duration | None,
        Meta(
            description="how old an event may be when it is written; 0s: as old as it likes; none: 10m, and 0s where "
            "events are kept for ever",
            extra={"bounds": ("0s", "3650d")},
        ),
    ] = None
    fire_and_forget: Annotated[bool, Meta(description="a few may be lost, so that none waits for the disk")] = False
    searched: Annotated[bool, Meta(description="they are searched for or counted across ids")] = False


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
    events: Annotated[EventWorkload | None, Meta(description="of a time series, where an item is an event")] = None


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
