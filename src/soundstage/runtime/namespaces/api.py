"""The messages and operations of `namespaces`."""

# pyright: reportReturnType=false
# The body of a declared operation never runs.

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from soundstage.core.errors import AlreadyExists, DataLoss, InProgress, NotFound, PreconditionFailed, Unavailable
from soundstage.core.feed import feed
from soundstage.core.files import File
from soundstage.core.job import job
from soundstage.core.message import Cursor, Int64, Name, PageSize, PageToken
from soundstage.core.namespace import NamespaceChange, NamespaceInfo, NamespaceSpec
from soundstage.core.operation import AsyncFace, SyncFace, operation
from soundstage.core.provisioning import Excuse, Workload


class PutNamespace(msgspec.Struct, frozen=True, kw_only=True):
    """`expected_version` is the version to replace; 0: the namespace must not exist."""

    namespace: Annotated[NamespaceSpec, Meta(description="what it is to be")]
    expected_version: (
        Annotated[int, Meta(ge=0, le=2**63 - 1, description="version to replace; 0: it must not exist")] | None
    ) = None


class GetNamespace(msgspec.Struct, frozen=True, kw_only=True):
    name: Annotated[str, Meta(description="of the namespace")]


class ListNamespaces(msgspec.Struct, frozen=True, kw_only=True):
    abstraction: Annotated[str | None, Meta(description="only those of this system, such as kv")] = None
    page_size: PageSize = 100
    page_token: PageToken = None


class ListNamespacesReply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Those that the caller may read, by name; `unserved` says which of them cannot be served, why and what to do."""

    namespaces: list[NamespaceInfo]
    next_page_token: str | None = None
    unserved: dict[str, str] | None = None


class DeleteNamespace(msgspec.Struct, frozen=True, kw_only=True):
    name: Annotated[str, Meta(description="of the namespace")]
    expected_version: (
        Annotated[int, Meta(ge=1, le=2**63 - 1, description="version that may be deleted; none: any")] | None
    ) = None


class DeleteNamespaceReply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was deleted; `left` says what of it was out of reach, and so stays."""

    name: str
    version: Int64
    left: str | None = None


class NamespaceHistory(msgspec.Struct, frozen=True, kw_only=True):
    name: Annotated[str, Meta(description="of the namespace")]
    page_size: PageSize = 100
    page_token: PageToken = None


class NamespaceHistoryReply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The newest change first; a name that was deleted keeps its history for `control.history_ttl`."""

    changes: list[NamespaceChange]
    next_page_token: str | None = None


class WatchNamespaces(msgspec.Struct, frozen=True, kw_only=True):
    """Without `cursor` from now on; `"0"` from the oldest change that is kept."""

    name: Annotated[str | None, Meta(description="only changes of this namespace")] = None
    abstraction: Annotated[str | None, Meta(description="only those of this system, such as kv")] = None
    cursor: Cursor = None


class NamespaceEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A change, and the cursor with which a feed goes on after it."""

    cursor: str
    change: NamespaceChange


class ExportNamespace(msgspec.Struct, frozen=True, kw_only=True):
    name: Annotated[str, Meta(description="of the namespace")]


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """`records` are those of which anything is kept, `items` the rows that live on, `bytes` keys and cells of all."""

    name: str
    file: File
    records: Int64
    items: Int64
    bytes: Int64


class ImportNamespace(msgspec.Struct, frozen=True, kw_only=True):
    """`engines` are the stage's defaults unless given; `config` are knobs that differ from those of the export.

    With `overwrite` a namespace of that name is deleted first, once the file is proved to be whole; without, it must
    be empty or not there. An empty one is not served while room is made, and what is written into it until then keeps
    it: the job is refused.
    """

    name: Annotated[str, Meta(description="of the namespace to make")]
    file: Annotated[File, Meta(description="what an export left")]
    engines: Annotated[dict[str, str] | None, Meta(description="engine of the stage file for each port")] = None
    config: Annotated[dict[str, Any], Meta(description="knobs that are to differ")] = {}
    overwrite: Annotated[bool, Meta(description="delete a namespace of that name first")] = False


class CopyNamespace(msgspec.Struct, frozen=True, kw_only=True):
    """`engines` and `config` are what differs in the copy `to`; `overwrite` as for imports."""

    name: Annotated[str, Meta(description="of the namespace to copy")]
    to: Annotated[str, Meta(description="name of the copy")]
    engines: Annotated[dict[str, str] | None, Meta(description="engine of the stage file for each port")] = None
    config: Annotated[dict[str, Any], Meta(description="knobs that are to differ")] = {}
    overwrite: Annotated[bool, Meta(description="delete a namespace of that name first")] = False


class PlanNamespace(msgspec.Struct, frozen=True, kw_only=True):
    """`engine` is one of the stage file; without, the best of those that can take the workload.

    With `second_opinion` the published capacity models of service-capacity-modeling are asked too: what to rent in
    `region` of Amazon's cloud to run Cassandra, memcached and the servers before them.
    """

    name: Annotated[Name, Meta(description="of the namespace to be")]
    workload: Annotated[Workload, Meta(description="what it will have to do")]
    abstraction: Annotated[str, Meta(description="the system that is to keep its data")] = "kv"
    engine: Annotated[str | None, Meta(description="only this engine")] = None
    second_opinion: Annotated[bool, Meta(description="ask the published capacity models too")] = False
    region: Annotated[str, Meta(description="of the prices and machines of a second opinion")] = "us-east-1"


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    """Machines of one kind; `zones` of them have `count` each."""

    kind: str
    instance: str
    count: int
    zones: int
    annual_cost: float


class SecondOpinion(msgspec.Struct, frozen=True, kw_only=True):
    """The cheapest plan of a published model, costs in US dollars of a year by public prices."""

    model: str
    region: str
    clusters: list[Cluster]
    annual_cost: float


class PlannedNamespace(msgspec.Struct, frozen=True, kw_only=True):
    """`namespace` may be put as it is.

    `storage_bytes` are those of all replicas together; `processes` how many have to serve calls so that each is half
    used; `cached` whether a cache before the engine pays; `reasons` how each came about.
    """

    namespace: NamespaceSpec
    storage_bytes: Int64
    processes: int
    cached: bool
    reasons: list[str]


class NamespacePlan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A plan, or an excuse: why there is none."""

    plan: PlannedNamespace | None = None
    excuse: Excuse | None = None
    second_opinion: SecondOpinion | None = None


class Filled(msgspec.Struct, frozen=True, kw_only=True):
    """The namespace that is served now, and what it was filled with; counts as in `Exported`."""

    namespace: NamespaceInfo
    records: Int64
    items: Int64
    bytes: Int64


def creates(request: PutNamespace) -> bool:
    """Whether `request` is only to create, which a repetition can do no more."""
    return request.expected_version == 0


class NamespacesCalls:
    """The units of configuration and isolation."""

    system = "namespaces"

    @operation(
        PutNamespace,
        access="admin",
        idempotent=True,
        errors=(PreconditionFailed, AlreadyExists, InProgress, NotFound),
        keyed=creates,
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

    @operation(PlanNamespace, access="read", idempotent=True, errors=(NotFound, Unavailable))
    def plan(self) -> NamespacePlan:
        """What a namespace would need for a workload: engine, knobs, quotas, disk, processes; or why it cannot be had.

        Nothing is made, and no engine is asked: the figures are those of the published benchmarks.
        """

    @operation(DeleteNamespace, access="admin", errors=(NotFound, PreconditionFailed))
    def delete(self) -> DeleteNamespaceReply:
        """Delete a namespace and all its data, at a cost that does not grow with them; this cannot be undone."""

    @operation(NamespaceHistory, access="read", idempotent=True, errors=(NotFound,))
    def history(self) -> NamespaceHistoryReply:
        """The changes of a namespace, the newest first: who, when and what."""

    @feed(WatchNamespaces, access="read")
    def watch(self) -> NamespaceEvent:
        """Every change of the namespaces that the caller may read, in the order they were made.

        Those made by other processes show within `control.poll_interval`. Ten times as many changes are kept as
        `control.history_limit` says for one namespace.
        """

    @job(ExportNamespace, access="read", restart="resume", errors=(NotFound,))
    def export(self) -> Exported:
        """All records of a namespace are in one file, compressed and with checksums, for `import`.

        It holds every write that was acknowledged before it began, deletes and expiries included. Of writes made
        meanwhile it may hold some, and parts of them: let none be made for a copy of one moment.
        """

    @job(ImportNamespace, access="admin", restart="resume", errors=(NotFound, AlreadyExists, InProgress, DataLoss))
    def import_(self) -> Filled:
        """A namespace is as the one that was exported: what later writes come to is the same, whatever their tokens.

        It is served once all of the file is in and proven to be; until then, and after a failure, it is not there.
        """

    @job(CopyNamespace, access="admin", restart="resume", errors=(NotFound, AlreadyExists, InProgress))
    def copy(self) -> Filled:
        """A namespace holds what another one does, on the same engine or another; it takes `read` on that one.

        As with `export`, of writes made meanwhile it may hold some.
        """


class Namespaces(AsyncFace, NamespacesCalls):
    """Administers namespaces, asynchronous: `stage.client(Namespaces)`."""


class SyncNamespaces(SyncFace, NamespacesCalls):
    """Administers namespaces, synchronous."""


CALLS = NamespacesCalls
