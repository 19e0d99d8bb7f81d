"""A plan for a namespace of time series: how time is cut into slices, buckets and partitions, and what that costs.

The rules are those of Netflix's published planner (the package service-capacity-modeling, `org.netflix.time-series`):
slices by how long events are kept, buckets as wide as what is read, partitions of about 4 MiB, eight a bucket at most.
What calls cost was measured in one process over RocksDB, with events of 200 bytes, on cores of about 2.3 GHz, and
rounded up. It tells one process from ten, and not 60 % from 70 %.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil
from typing import Any, NamedTuple

from soundstage.core.errors import InvalidArgument
from soundstage.core.provisioning import Design, EventWorkload, Excuse, Ground, Terrain, Workload
from soundstage.core.size import about
from soundstage.core.time import NS_PER_S, Duration
from soundstage.data.provisioning import (
    BUSY,
    REPLICA_ROOM,
    REPLICAS,
    SHARED,
    Load,
    excuse,
    first_fit,
    quotas,
    too_small,
)
from soundstage.data.timeseries.config import ACCEPT_LIMIT, BUCKETS_MAX, WIDTHS, YEAR_NS
from soundstage.engines.records.port import Capability

PARTITION_BYTES = 4 << 20
EVENT_BUCKETS_MAX = 8

RETENTION_MIN = Duration(6 * 3_600 * NS_PER_S)
"""What is kept for less belongs into a log or a cache: slices would be gone as soon as they are full."""

WIDEST_NS = 10 * YEAR_NS
"""The widest bucket, which is all of time."""

DAY_NS = 86_400 * NS_PER_S

COALESCE, COALESCE_DURABLE = "1s", "1ms"

READ_US, PARTITION_US, READ_EVENT_US = 100.0, 12.0, 8.0
WRITE_US, WRITE_EVENT_US, WRITE_BYTE_US = 250.0, 12.0, 0.005
"""Of a served call, of each partition it reads, and of each event and its bytes."""

OWNER_WRITE_US, OWNER_WRITE_EVENT_US = 50.0, 5.0
OWNER_PARTITION_US, OWNER_READ_EVENT_US = 8.0, 2.0
"""Of these, what the process does that has an embedded engine, whoever serves the call."""

EVENT_BYTES = 65
"""What an event takes on disk besides its bytes, measured on RocksDB."""

GARBAGE = 1.1
"""Disk beside what lives: events are not replaced, and slices are dropped whole."""

CAPACITY_MODEL = "org.netflix.time-series"
"""What service-capacity-modeling calls such a system."""


class Cut(NamedTuple):
    """How time is cut. `width_ns` 0: one slice that grows; `read_ns` is how much time a read is about."""

    width_ns: int
    bucket_ns: int
    event_buckets: int
    read_ns: int
    bucket_bytes: float

    @property
    def amplification(self) -> int:
        """Partitions that a read is about."""
        return -(-self.read_ns // self.bucket_ns) * self.event_buckets


def plan(workload: Workload, terrain: Terrain) -> Design | Excuse:
    """What fits `workload` on the first engine of `terrain` that can take it, else why none can."""
    events = workload.events
    if events is None:
        raise InvalidArgument(
            "time series are planned by `events` too", field="workload.events", hint="give {} for what is usual"
        )
    refusal = _senseless(workload, events)
    if refusal is not None:
        return refusal
    cut = cut_of(workload, events)
    return first_fit(
        terrain,
        lambda ground: _refused(workload, events, cut, ground, terrain.processors),
        lambda ground, declined: _design(workload, events, cut, ground, declined),
    )


def cut_of(workload: Workload, events: EventWorkload) -> Cut:
    """By the rules: the slice by the retention, the bucket by what is read, and partitions by what a bucket holds."""
    width_ns = 0
    if events.retention is not None:
        width_ns = next((width for most, width in WIDTHS if events.retention <= most), YEAR_NS)
    read_ns = int(events.read_interval or events.retention or WIDEST_NS)
    # A namespace has so many buckets in a slice at most, and none that is shorter than a second.
    least_ns = max(NS_PER_S, -(-(width_ns or YEAR_NS) // BUCKETS_MAX))
    bucket_ns = max(least_ns, min(read_ns, width_ns or WIDEST_NS))
    bucket_bytes = events.per_day * workload.item_bytes * bucket_ns / DAY_NS
    event_buckets = round(max(1, min(EVENT_BUCKETS_MAX, bucket_bytes / PARTITION_BYTES)))
    return Cut(width_ns, bucket_ns, event_buckets, read_ns, bucket_bytes)


def capacity_arguments(workload: Workload) -> dict[str, Any]:
    """What the published model has to know besides."""
    events = workload.events or EventWorkload()
    arguments: dict[str, Any] = {
        "ts.hot.retention-interval": "unlimited" if events.retention is None else _iso(events.retention),
        "ts.read-interval": _iso(events.read_interval) if events.read_interval else "unlimited",
        "ts.events-per-day-per-ts": ceil(events.per_day),
        "ts.event-size": workload.item_bytes,
        "ts.fire-and-forget": events.fire_and_forget,
        "ts.read-consistency": "eventual" if workload.stale_reads else "read-your-writes",
        "search.enabled": events.searched,
    }
    if events.accept_limit is not None:
        arguments["ts.accept-limit"] = _iso(events.accept_limit)
    return arguments


def _iso(duration: int) -> str:
    return f"PT{max(1, duration // NS_PER_S)}S"


def _senseless(workload: Workload, events: EventWorkload) -> Excuse | None:
    """Why no engine could do this."""
    if workload.conditional_writes:
        return Excuse(
            reason="events never change",
            bottleneck="conditional_writes",
            detail="a write that depends on what is there has no meaning for what is written once",
            hint="keep what changes in a namespace of kv",
        )
    if events.retention is not None and events.retention < RETENTION_MIN:
        return Excuse(
            reason=f"events are to be kept for {events.retention}",
            bottleneck="retention",
            detail=f"no plan is made for less than {RETENTION_MIN}: slices would be gone as soon as they are full",
            hint="keep them longer, or in a topic of a log",
        )
    limit = events.accept_limit
    if events.retention is not None and limit is not None and limit > events.retention:
        return Excuse(
            reason="events that nobody could read would be accepted",
            bottleneck="accept_limit",
            detail=f"they may be {limit} old when they are written, and are kept for {events.retention}",
            hint="keep them longer, or accept none that are as old",
        )
    return None


def _refused(workload: Workload, events: EventWorkload, cut: Cut, ground: Ground, processors: int) -> Excuse | None:
    if Capability.CONDITIONAL not in ground.capabilities:
        detail = "it takes no conditional writes, by which processes agree on slices"
        return excuse(ground, "conditional_writes", detail, "bind an engine that does")
    storage = _storage(workload, events, cut, ground)
    return too_small(ground, _load(workload, cut), storage, processors)


def _design(workload: Workload, events: EventWorkload, cut: Cut, ground: Ground, declined: list[str]) -> Design:
    load = _load(workload, cut)
    return Design(
        engine=ground.name,
        config=_config(events, cut),
        quotas=quotas(workload),
        storage_bytes=_storage(workload, events, cut, ground),
        processes=load.processes,
        cached=False,
        reasons=[*declined, *_reasons(workload, events, cut, ground, load)],
    )


def _config(events: EventWorkload, cut: Cut) -> dict[str, Any]:
    config: dict[str, Any] = {
        "time_partition": {
            "seconds_per_slice": str(Duration(cut.width_ns)),
            "seconds_per_bucket": str(Duration(cut.bucket_ns)),
            "event_buckets": cut.event_buckets,
        },
        "accept_limit": str(Duration(_accept_limit(events))),
        "queue_buffering": {"coalesce": COALESCE if events.fire_and_forget else COALESCE_DURABLE},
    }
    if events.retention is not None:
        delete_ns = min(events.retention + _kept_closed_ns(cut), 3_650 * DAY_NS)
        config["retention"] = {"close_after": str(events.retention), "delete_after": str(Duration(delete_ns))}
    return config


def _accept_limit(events: EventWorkload) -> int:
    if events.accept_limit is not None:
        return int(events.accept_limit)
    return 0 if events.retention is None else ACCEPT_LIMIT


def _kept_closed_ns(cut: Cut) -> int:
    """How long a slice is closed, and comes back if it is wanted after all."""
    return min(DAY_NS, cut.width_ns)


def _load(workload: Workload, cut: Cut) -> Load:
    reads, writes = workload.reads_per_second, workload.writes_per_second
    read, written, partitions = workload.items_per_read, workload.items_per_write, cut.amplification
    bytes_us = written * workload.item_bytes * WRITE_BYTE_US
    return Load(
        served=(
            reads * (READ_US + partitions * PARTITION_US + read * READ_EVENT_US)
            + writes * (WRITE_US + written * WRITE_EVENT_US + bytes_us)
        )
        / 1e6,
        owner=(
            reads * (partitions * OWNER_PARTITION_US + read * OWNER_READ_EVENT_US)
            + writes * (OWNER_WRITE_US + written * OWNER_WRITE_EVENT_US + bytes_us)
        )
        / 1e6,
    )


def _storage(workload: Workload, events: EventWorkload, cut: Cut, ground: Ground) -> int:
    lives = workload.items * (workload.item_bytes + EVENT_BYTES)
    if events.retention is not None:
        lives *= 1 + (cut.width_ns + _kept_closed_ns(cut)) / events.retention
    return ceil(lives * (REPLICAS * REPLICA_ROOM if ground.scheme in SHARED else GARBAGE))


def _reasons(workload: Workload, events: EventWorkload, cut: Cut, ground: Ground, load: Load) -> Iterator[str]:
    yield from _about_time(events, cut)
    yield from _about_partitions(workload, events, cut)
    yield _about_accepting(events)
    if events.fire_and_forget:
        yield f"fire-and-forget writes wait {COALESCE} for others, stored with them; a crash loses what waits"
    else:
        yield f"no event may be lost: write by write_event_records_sync; what is queued waits {COALESCE_DURABLE}"
    yield (
        f"calls need {load.served:.2f} processors by what they cost where they were measured, "
        f"and each process is to be used by {BUSY:.0%}"
    )
    if ground.scheme in SHARED:
        yield f"{REPLICAS} replicas, and as much disk again for compaction"
    else:
        yield f"one process owns {ground.name!r} and is busy for {load.owner:.0%} of the time"
        if Capability.DURABLE not in ground.capabilities:
            yield f"{ground.name!r} keeps nothing over a restart"
    if events.searched:
        yield "put `index` beside this, with a search engine and its fields: its disk and work are not in here"


def _about_time(events: EventWorkload, cut: Cut) -> Iterator[str]:
    if events.retention is None:
        yield "events are kept for ever, in one slice that grows: there is nothing to drop"
    else:
        yield (
            f"slices of {Duration(cut.width_ns)} for a retention of {events.retention}; events are kept up to a slice "
            f"longer, and closed for {Duration(_kept_closed_ns(cut))} in case they are wanted yet: so is the disk"
        )
    yield f"buckets of {Duration(cut.bucket_ns)}: {_why_bucket(events, cut)}"


def _why_bucket(events: EventWorkload, cut: Cut) -> str:
    if cut.bucket_ns == events.read_interval:
        return "what a read is about"
    if cut.bucket_ns < cut.read_ns:
        return "a whole slice, as a read is about more" if cut.width_ns else "the widest there is"
    return f"the narrowest there is, as a slice, or a year, has {BUCKETS_MAX} at most"


def _about_partitions(workload: Workload, events: EventWorkload, cut: Cut) -> Iterator[str]:
    yield (
        f"{cut.event_buckets} event buckets: one id writes {about(cut.bucket_bytes)} in a bucket, "
        f"and a partition should have about {about(PARTITION_BYTES)}"
    )
    each = cut.bucket_bytes / cut.event_buckets
    if each > 2 * PARTITION_BYTES:
        yield (
            f"partitions will have {about(each)}, as a bucket has {EVENT_BUCKETS_MAX} at most: narrow "
            "seconds_per_bucket by hand where reads want the newest alone, or set repartitioning.mode to auto"
        )
    yield f"a read of {_interval(events)} is one of {cut.amplification} partitions"


def _interval(events: EventWorkload) -> str:
    return str(events.read_interval) if events.read_interval else "all of time"


def _about_accepting(events: EventWorkload) -> str:
    limit = _accept_limit(events)
    if not limit:
        return "events of any age are accepted" + (", as none is ever dropped" if events.retention is None else "")
    why = "as you said" if events.accept_limit is not None else "as is usual"
    return f"events of up to {Duration(limit)} ago are accepted, {why}"
