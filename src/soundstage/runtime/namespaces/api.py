"""The messages and operations of `namespaces`."""

# pyright: reportReturnType=false
# The body of a declared operation never runs.

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta

from soundstage.core.errors import AlreadyExists, InProgress, NotFound, PreconditionFailed
from soundstage.core.message import Duration, Instant, Int64
from soundstage.core.operation import AsyncFace, SyncFace, operation


_PerSecond: TypeAlias = Annotated[float, Meta(gt=0, le=1e9)]


class LatencyObjective(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How long a call should take and may take; 1 ms to 1 h, `target` at most `max`."""

    target: Annotated[
        Duration | None,
        Meta(description="what most calls take; clients hedge reads after it", extra={"bounds": ("1ms", "1h")}),
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

    name: str
    abstraction: str
    engines: dict[str, str] | None = None
    config: dict[str, Any] | None = None
    slos: dict[str, Objective] | None = None
    quotas: Quotas | None = None


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


class PutNamespace(msgspec.Struct, frozen=True, kw_only=True):
    """`expected_version` is the version to replace; 0: the namespace must not exist."""

    namespace: NamespaceSpec
    expected_version: Annotated[int, Meta(ge=0, le=2**63 - 1)] | None = None


class GetNamespace(msgspec.Struct, frozen=True, kw_only=True):
    name: str


class ListNamespaces(msgspec.Struct, frozen=True, kw_only=True):
    abstraction: str | None = None
    page_size: Annotated[int, Meta(ge=1, le=1_000)] = 100
    page_token: str | None = None


class ListNamespacesReply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Those that the caller may read, by name."""

    namespaces: list[NamespaceInfo]
    next_page_token: str | None = None


class DeleteNamespace(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    expected_version: Annotated[int, Meta(ge=1, le=2**63 - 1)] | None = None


class DeleteNamespaceReply(msgspec.Struct, frozen=True, kw_only=True):
    """What was deleted."""

    name: str
    version: Int64


class NamespaceHistory(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    page_size: Annotated[int, Meta(ge=1, le=1_000)] = 100
    page_token: str | None = None


class NamespaceChange(msgspec.Struct, frozen=True, kw_only=True):
    """Who did what, when. `changed` names the parts that differ from the version before."""

    version: Int64
    generation: Int64
    at: Instant
    by: str
    action: Literal["created", "changed", "deleted"]
    changed: list[str]
    namespace: NamespaceInfo


class NamespaceHistoryReply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The newest change first; a name that was deleted keeps its history for `control.history_ttl`."""

    changes: list[NamespaceChange]
    next_page_token: str | None = None


class NamespacesCalls:
    """The units of configuration and isolation."""

    system = "namespaces"

    @operation(
        PutNamespace, access="admin", idempotent=True, errors=(PreconditionFailed, AlreadyExists, InProgress, NotFound)
    )
    def put(self) -> NamespaceInfo:
        """Create or change a namespace; its tables exist when this answers, and this process applies it.

        Other processes follow within the poll interval. Putting what is stored changes nothing.
        """

    @operation(GetNamespace, access="read", idempotent=True, errors=(NotFound,))
    def get(self) -> NamespaceInfo:
        """A namespace as stored."""

    @operation(ListNamespaces, access="read", idempotent=True)
    def list(self) -> ListNamespacesReply:
        """The namespaces of the stage, or of one abstraction, by name."""

    @operation(DeleteNamespace, access="admin", errors=(NotFound, PreconditionFailed))
    def delete(self) -> DeleteNamespaceReply:
        """Delete a namespace and all its data, at a cost that does not grow with them; this cannot be undone."""

    @operation(NamespaceHistory, access="read", idempotent=True, errors=(NotFound,))
    def history(self) -> NamespaceHistoryReply:
        """The changes of a namespace, the newest first: who, when and what."""


class Namespaces(AsyncFace, NamespacesCalls):
    """Administers namespaces, asynchronous: `stage.client(Namespaces)`."""


class SyncNamespaces(SyncFace, NamespacesCalls):
    """Administers namespaces, synchronous."""


CALLS = NamespacesCalls
