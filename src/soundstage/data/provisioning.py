"""What plans of all systems on records engines have in common: which engine can take a load, and which quotas fit."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import NamedTuple

from soundstage.core.namespace import PER_SECOND_MAX, PER_SECOND_MIN, Objective, Quotas
from soundstage.core.provisioning import Design, Excuse, Ground, Terrain, Workload

BUSY = 0.5
"""The share of a processor or a disk that is planned to be used."""

REPLICAS = 3
REPLICA_ROOM = 2.0
"""A compaction of Cassandra may need as much disk again as the table has."""

SHARED = frozenset({"cassandra"})


class Load(NamedTuple):
    """Processors that calls need: of all who serve them, and of the one process that has an embedded engine."""

    served: float
    owner: float

    @property
    def processes(self) -> int:
        """How many serve it, each half used."""
        return max(1, ceil(self.served / BUSY))


def first_fit(
    terrain: Terrain, refusal: Callable[[Ground], Excuse | None], design: Callable[[Ground, list[str]], Design]
) -> Design | Excuse:
    """The design on the first engine that is not refused, with what was said of those before; else the last refusal."""
    declined: list[Excuse] = []
    for ground in terrain.grounds:
        refused = refusal(ground)
        if refused is None:
            return design(ground, [f"{excuse.reason}: {excuse.detail}" for excuse in declined])
        declined.append(refused)
    return declined[-1] if declined else _NO_ENGINE


_NO_ENGINE = Excuse(
    reason="no engine",
    bottleneck="engines",
    detail="the stage file names no engine that holds records and keeps them",
    hint='add one, such as [engines.default] url = "rocksdb:records"',
)


def too_small(ground: Ground, load: Load, storage_bytes: int, processors: int) -> Excuse | None:
    """Why an engine on this machine cannot take the load; None where it can, or is a cluster, which may grow."""
    if ground.scheme in SHARED:
        return None
    if ground.free_bytes is not None and storage_bytes > ground.free_bytes * BUSY:
        detail = f"{storage_bytes / 1e9:,.1f} GB are needed and half of {ground.free_bytes / 1e9:,.1f} GB are free"
        return excuse(ground, "storage", detail, "put its folder on a larger disk, or bind a Cassandra engine")
    if load.owner > BUSY:
        detail = f"one process owns it, and would be busy for {load.owner:.0%} of the time instead of {BUSY:.0%}"
        return excuse(ground, "owner", detail, "divide the data among namespaces of several stages, or bind Cassandra")
    if load.processes > processors:
        detail = f"calls need {load.served:.1f} processors, half used at most; this machine has {processors}"
        return excuse(ground, "processors", detail, "take a larger machine, or bind a Cassandra engine")
    return None


def excuse(ground: Ground, bottleneck: str, detail: str, hint: str) -> Excuse:
    """Why that engine is not enough."""
    return Excuse(
        reason=f"the engine {ground.name!r} ({ground.scheme}) is not enough",
        bottleneck=bottleneck,
        detail=detail,
        hint=hint,
    )


def quotas(workload: Workload) -> Quotas:
    """Twice what is expected: a limit for accidents and not for busy days. None where nothing is expected."""
    reads, writes = (
        min(PER_SECOND_MAX, 2 * rate) if rate >= PER_SECOND_MIN else None
        for rate in (workload.reads_per_second, workload.writes_per_second)
    )
    return Quotas(reads_per_second=reads, writes_per_second=writes)


def read_target_us(workload: Workload) -> float | None:
    """What a read should take, in microseconds, where that is said."""
    latency = workload.slos.get("read", Objective()).latency
    target_ns = latency.target or latency.max
    return None if target_ns is None else target_ns / 1_000
