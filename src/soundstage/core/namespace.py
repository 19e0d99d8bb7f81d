"""What a namespace is: as declared, as stored, and what changed of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta

from soundstage.core.message import Duration, Instant, Int64, Name

PER_SECOND_MIN = 1e-6
"""One call in eleven days and a half, which is the longest that anybody is told to wait."""

PER_SECOND_MAX = 1e9

_PerSecond: TypeAlias = Annotated[float, Meta(ge=PER_SECOND_MIN, le=PER_SECOND_MAX)]


class LatencyObjective(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How long a call should take and may take; 1 ms to 1 h, `target` at most `max`."""

    target: Annotated[
        Duration | None,
        Meta(
            description="what most calls should take; clients may send one that takes longer twice",
            extra={"bounds": ("1ms", "1h")},
        ),
    ] = None
    max: Annotated[
        Duration | None,
        Meta(description="paged calls answer early rather than exceed it", extra={"bounds": ("1ms", "1h")}),
    ] = None


class Objective(msgspec.Struct, frozen=True, kw_only=True):
    """The service-level objective of one kind of call."""

    latency: LatencyObjective = LatencyObjective()


class Quotas(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a namespace may use; over it callers get `exhausted` with the time to wait."""

    reads_per_second: Annotated[
        _PerSecond | None, Meta(description="calls that read, as a long-term rate; none: unlimited")
    ] = None
    writes_per_second: Annotated[
        _PerSecond | None, Meta(description="calls that write, as a long-term rate; none: unlimited")
    ] = None
    burst: Annotated[
        Duration,
        Meta(description="how long a rate may be saved up while unused", extra={"bounds": ("10ms", "1h")}),
    ] = Duration(1_000_000_000)
    in_flight: Annotated[
        Annotated[int, Meta(ge=1, le=1_000_000)] | None,
        Meta(description="calls at the same time; none: `admission.namespace_in_flight`"),
    ] = None


class NamespaceSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A namespace as declared; parts left out take the stage's defaults.

    `engines` binds ports to engine names of the stage file; `config` holds the knobs of the abstraction;
    `slos` maps `read`, `write` or an operation's name to an objective.
    """

    name: Annotated[Name, Meta(description="1 to 64 of A-Z a-z 0-9 _ . -")]
    abstraction: Annotated[str, Meta(description="the system that keeps its data, such as kv")]
    engines: Annotated[
        dict[str, str] | None, Meta(description="engine of the stage file for each port; none: the defaults")
    ] = None
    config: Annotated[
        dict[str, Any] | None, Meta(description="knobs of the abstraction that differ from their defaults")
    ] = None
    slos: Annotated[dict[str, Objective] | None, Meta(description="objectives for `read`, `write` or an operation")] = (
        None
    )
    quotas: Annotated[Quotas | None, Meta(description="how much callers may do; none: the defaults")] = None


class NamespaceInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A namespace as stored: complete, with what the stage knows of it.

    `version` counts its changes from 1. `generation` is unique in the stage: a namespace that was deleted
    and created again has another. With `managed_by` `file` the stage file declares it.
    """

    name: str
    abstraction: str
    engines: dict[str, str]
    config: dict[str, Any]
    slos: dict[str, Objective]
    quotas: Quotas
    version: Int64
    generation: Int64
    managed_by: Literal["api", "file"]
    created_at: Instant
    updated_at: Instant


class NamespaceChange(msgspec.Struct, frozen=True, kw_only=True):
    """Who did what, when. `changed` names the parts that differ from the version before."""

    version: Int64
    generation: Int64
    at: Instant
    by: str
    action: Literal["created", "changed", "truncated", "deleted"]
    changed: list[str]
    namespace: NamespaceInfo
