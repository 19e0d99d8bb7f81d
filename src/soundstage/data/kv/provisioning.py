"""A plan for a key-value namespace: which engine, how large, pages of what size, and whether a cache pays.

The costs are those of the tables in docs/benchmarks.md and docs/systems/kv.md, rounded up: processor time of a served
call, on cores of about 2.3 GHz. They tell one process from ten, and not 60 % from 70 %.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil
from typing import Any

from soundstage.core.errors import InvalidArgument
from soundstage.core.provisioning import Design, Excuse, Ground, Terrain, Workload
from soundstage.core.size import Size
from soundstage.data.provisioning import (
    BUSY,
    REPLICA_ROOM,
    REPLICAS,
    SHARED,
    Load,
    excuse,
    first_fit,
    quotas,
    read_target_us,
    too_small,
)
from soundstage.engines.records.port import Capability

READ_US, READ_ITEM_US, READ_BYTE_US = 40.0, 3.0, 0.0015
WRITE_US, WRITE_ITEM_US, WRITE_BYTE_US = 95.0, 3.0, 0.005
"""Of a served call, of each of its items, of each of their bytes."""

OWNER_WRITE_US = 30.0
"""Of a write in the process that has an embedded engine, whoever serves the call."""

OWNER_READ_US = 6.0

RECORD_BYTES, ITEM_BYTES = 75, 30
"""What a record and an item take on disk besides keys and values, measured on RocksDB."""

GARBAGE = 1.3
"""Disk of an embedded engine beside what lives: what was replaced and waits for compaction."""

FETCH_US, REMOTE_ITEM_US = 1_000.0, 10.0
"""A question to Cassandra, and each row of its answer."""

DECIDED = 5
"""How much dearer a conditional write is on Cassandra, which decides it by a lightweight transaction."""

CACHE_ALWAYS, CACHE_MANY, CACHE_RATIO, CACHE_HITS = 250_000, 100_000, 0.9, 0.8
"""Reads per second, and reads per write, from which a cache pays; and the share of reads that it answers.

From the key-value model of the package service-capacity-modeling 0.3.212.
"""

CAPACITY_MODEL = "org.netflix.key-value"
"""What service-capacity-modeling calls such a system."""

PAGE_MIN, PAGE_MAX = 16 << 10, 2 << 20


class Planned:
    """The part of the service that plans namespaces."""

    capacity_model: str | None = CAPACITY_MODEL

    def plan(self, workload: Workload, terrain: Terrain) -> Design | Excuse:
        """See `plan`."""
        return plan(workload, terrain)


def plan(workload: Workload, terrain: Terrain) -> Design | Excuse:
    """What fits `workload` on the first engine of `terrain` that can take it, else why none can."""
    if workload.events is not None:
        raise InvalidArgument(
            "a key-value store has no events", field="workload.events", hint="leave it out, or plan for timeseries"
        )
    return first_fit(
        terrain,
        lambda ground: _refused(workload, ground, terrain.processors),
        lambda ground, declined: _design(workload, ground, declined),
    )


def _refused(workload: Workload, ground: Ground, processors: int) -> Excuse | None:
    if workload.conditional_writes and Capability.CONDITIONAL not in ground.capabilities:
        return excuse(ground, "conditional_writes", "it decides no conditions", "bind an engine that does")
    return too_small(ground, _load(workload), _storage(workload, ground), processors)


def _design(workload: Workload, ground: Ground, declined: list[str]) -> Design:
    load, cached = _load(workload), _cached(workload)
    storage = _storage(workload, ground)
    config: dict[str, Any] = {"page_size_bytes": str(_page_size(workload, ground))}
    if workload.conditional_writes:
        config["conditional_writes"] = True
    if workload.stale_reads and not workload.conditional_writes:
        config["consistency"] = "eventual"
    return Design(
        engine=ground.name,
        config=config,
        quotas=quotas(workload),
        storage_bytes=storage,
        processes=load.processes,
        cached=cached,
        reasons=[*declined, *_reasons(workload, ground, load, cached)],
    )


def _load(workload: Workload) -> Load:
    def of(calls: float, call_us: float, items: int, item_us: float, byte_us: float) -> float:
        return calls * (call_us + items * (item_us + workload.item_bytes * byte_us)) / 1e6

    reads, writes = workload.reads_per_second, workload.writes_per_second
    read_items, write_items = workload.items_per_read, workload.items_per_write
    return Load(
        served=of(reads, READ_US, read_items, READ_ITEM_US, READ_BYTE_US)
        + of(writes, WRITE_US, write_items, WRITE_ITEM_US, WRITE_BYTE_US),
        owner=of(reads, OWNER_READ_US, read_items, READ_ITEM_US / 3, READ_BYTE_US / 3)
        + of(writes, OWNER_WRITE_US, write_items, WRITE_ITEM_US, WRITE_BYTE_US),
    )


def _storage(workload: Workload, ground: Ground) -> int:
    records = ceil(workload.items / workload.items_per_record)
    lives = workload.items * (workload.item_bytes + ITEM_BYTES) + records * RECORD_BYTES
    return ceil(lives * (REPLICAS * REPLICA_ROOM if ground.scheme in SHARED else GARBAGE))


def _cached(workload: Workload) -> bool:
    reads, writes = workload.reads_per_second, workload.writes_per_second
    often = reads > CACHE_ALWAYS or (reads > CACHE_MANY and reads > CACHE_RATIO * writes)
    return workload.stale_reads and often


def _page_size(workload: Workload, ground: Ground) -> Size:
    """The largest page, a power of two, that is read in half of what a read should take."""
    target_us = read_target_us(workload)
    if target_us is None:
        return Size(PAGE_MAX)
    remote = ground.scheme in SHARED
    left_us = target_us * BUSY - READ_US - (FETCH_US if remote else 0)
    item_us = READ_ITEM_US + (REMOTE_ITEM_US if remote else 0) + workload.item_bytes * READ_BYTE_US
    fits = int(max(0.0, left_us) / item_us * workload.item_bytes)
    return Size(max(PAGE_MIN, min(PAGE_MAX, 1 << max(0, fits.bit_length() - 1))))


def _reasons(workload: Workload, ground: Ground, load: Load, cached: bool) -> Iterator[str]:
    yield (
        f"calls need {load.served:.2f} processors by what they cost in the tables of the docs, "
        f"and each process is to be used by {BUSY:.0%}"
    )
    if ground.scheme in SHARED:
        yield f"{REPLICAS} replicas, and as much disk again for compaction"
        if workload.conditional_writes:
            yield f"each write is decided by a lightweight transaction, which costs about {DECIDED} times as much"
    else:
        yield f"one process owns {ground.name!r} and is busy for {load.owner:.0%} of the time"
        if Capability.DURABLE not in ground.capabilities:
            yield f"{ground.name!r} keeps nothing over a restart"
    if read_target_us(workload) is not None:
        yield f"a page of the planned size is read in about {BUSY:.0%} of what a read should take"
    yield _about_cache(workload, cached)


def _about_cache(workload: Workload, cached: bool) -> str:
    if cached:
        return f"a cache pays: it is taken to answer {CACHE_HITS:.0%} of {workload.reads_per_second:,.0f} reads/s"
    if not workload.stale_reads:
        return "no cache: reads have to see what was just written"
    return f"no cache: it pays from {CACHE_MANY:,} reads/s on"
