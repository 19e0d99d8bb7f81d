"""What a system's `service.py` is given, and what it gives in return.

A system's package holds `api.py` (with `CALLS`), `config.py` (with `NamespaceConfig`, for abstractions that
have namespaces, or `SystemConfig`, for knobs under `[systems.NAME]`) and `service.py` (with `SERVICE`, a
class that takes a `ServiceContext`). The stage opens each on first use. A `SystemConfig` may have a method `check`
that raises `InvalidArgument` for what the types of its fields let pass.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import msgspec

from soundstage.core.environment import Environment
from soundstage.core.hlc import TokenClock
from soundstage.core.message import Instant
from soundstage.core.namespace import NamespaceInfo, Objective
from soundstage.core.pages import PageTokens
from soundstage.core.provisioning import Design, Excuse, Terrain, Workload
from soundstage.engines.blobs.port import Blobs
from soundstage.engines.cache.port import Cache
from soundstage.engines.log.port import Log
from soundstage.engines.records.port import Records, Stamp, TableSpec
from soundstage.engines.search.port import Search
from soundstage.runtime.compute import Compute
from soundstage.runtime.files import Files
from soundstage.runtime.leases import Leases
from soundstage.runtime.schedule import Schedule
from soundstage.runtime.system_table import SystemTable


class Earlier(NamedTuple):
    """A configuration that a namespace had, until `until_us`."""

    config: Any
    until_us: int


class NamespaceView(msgspec.Struct, frozen=True, gc=False):
    """A namespace as the running process applies it, replaced whole on every change.

    `config` is the abstraction's `NamespaceConfig`. `records` is the engine it is bound to. `generation`
    tells two namespaces of one name apart after a delete and create, and together with `created_at` those of two
    stages. `slos` maps `read`, `write` or an
    operation's name to an `Objective` of `soundstage.core.namespace`.

    `earlier` are the configurations of the last week or so, the latest first, between which a knob changed that is
    honoured in its old form for a while: one of `LINGERING` of the `NamespaceConfig`, those of tables as `table.knob`.

    `truncated`: what it holds of that version, or of one before it, is gone, and must not be shown.
    """

    name: str
    abstraction: str
    version: int
    generation: int
    config: Any
    slos: Mapping[str, Objective]
    records: Records
    created_at: Instant = Instant(0)
    updated_at: Instant = Instant(0)
    earlier: tuple[Earlier, ...] = ()
    truncated: Stamp | None = None


class Namespaces(Protocol):
    """The namespaces of this stage, as one abstraction sees them."""

    def view(self, name: str) -> NamespaceView:
        """The namespace `name` of this abstraction; `NotFound` with the nearest name otherwise.

        Costs one dictionary look-up; ask per call and never keep the answer across an await.
        """
        ...

    def all(self) -> Sequence[NamespaceView]:
        """Every namespace of this abstraction that is served."""
        ...

    def take_writes(self, counts: Mapping[str, int]) -> None:
        """So many writes count against the quotas of these namespaces, all or none: for calls that concern several.

        Raises `Exhausted` where one has none left. What goes beyond what is left is taken in advance.
        """
        ...


class Truncations(Protocol):
    """Where it is kept which namespaces were truncated. `generation` tells those of one name apart: else `NotFound`."""

    async def truncate(self, name: str, generation: int, at: Stamp, by: str) -> None:
        """The view of the namespace is `truncated` at `at`, or later, in every process; its history has it."""
        ...

    async def forget_truncation(self, name: str, generation: int, at: Stamp) -> None:
        """The view of the namespace is not `truncated` at `at` any more."""
        ...


class Logs(Protocol):
    """The log engines of this stage."""

    def log(self, name: str, field: str) -> Log:
        """The log engine that the stage file calls `name`, as the knob `field` says; else `InvalidArgument`.

        An engine whose URL holds records and a log writes both in one batch where it announces `atomic_with_log`.
        """
        ...

    def beside(self, records: Records) -> Log | None:
        """The log of the engine that has those records, if it has one."""
        ...

    def distinct_logs(self) -> Mapping[str, Log]:
        """Every log once, by the first of its names."""
        ...


class Caches(Protocol):
    """The cache engines of this stage."""

    def cache(self, name: str, field: str) -> Cache:
        """The cache engine that the stage file calls `name`, as the knob `field` says; else `InvalidArgument`."""
        ...


class Searches(Protocol):
    """The search engines of this stage."""

    def search(self, name: str, field: str) -> Search:
        """The search engine that the stage file calls `name`, as the knob `field` says; else `InvalidArgument`."""
        ...


class BlobStores(Protocol):
    """The blobs engines of this stage."""

    def blobs(self, name: str, field: str) -> Blobs:
        """The blobs engine that the stage file calls `name`, as the knob `field` says; else `InvalidArgument`."""
        ...


class ServiceContext(msgspec.Struct, frozen=True, kw_only=True):
    """What the stage hands to a service when it opens it. `config` is the `SystemConfig`, if any.

    `files` are what callers sent and jobs leave; `leases` and `schedule` are shared by all processes of the stage;
    `logs` are its logs; `table` gives a table of the stage's own records, which the service has to create; `used` gives
    the started service of a system that this one uses, to be asked for outside of `start`; `stored` asks the store for
    a namespace by its name, for who would do what cannot be undone: views may be behind; `truncations` are told what
    was truncated. These eight are there once the service is started: one that is only asked what a namespace needs has
    none. `caches`, `searches` and `blobs` are the stage's, by name.
    `administers` is the part of the stage that a system of the runtime itself makes reachable, None for all
    other systems.
    """

    environment: Environment
    clock: TokenClock
    page_tokens: PageTokens
    namespaces: Namespaces
    compute: Compute
    files: Files
    leases: Leases
    schedule: Schedule
    logs: Logs
    caches: Caches
    searches: Searches
    blobs: BlobStores
    table: Callable[[str], SystemTable]
    used: Callable[[str], Awaitable[Any]]
    stored: Callable[[str], Awaitable[NamespaceInfo | None]]
    truncations: Truncations
    config: Any = None
    administers: Any = None


class Service(Protocol):
    """Besides these, one coroutine method per operation: `async def put_items(self, call, request)`."""

    async def start(self) -> None: ...

    async def stop(self) -> None:
        """Drain and release; idempotent."""
        ...


@runtime_checkable
class Abstraction(Protocol):
    """A service whose system has namespaces."""

    def tables(self, name: str, config: Any, capabilities: frozenset[str]) -> Sequence[TableSpec]:
        """The tables that a namespace needs on its records engine.

        Raises `InvalidArgument` naming the knob when `config` asks for what the engine cannot do.
        """
        ...


@runtime_checkable
class Planned(Protocol):
    """An abstraction that can tell what a namespace needs for a workload.

    `capacity_model` is what the package service-capacity-modeling calls such a system, None if it knows none.
    """

    capacity_model: str | None

    def plan(self, workload: Workload, terrain: Terrain) -> Design | Excuse:
        """What fits `workload` on the first engine of `terrain` that can take it, or why none can. Asks nobody."""
        ...


@runtime_checkable
class Modelled(Protocol):
    """An abstraction whose `capacity_model` has to know more than a workload says for all systems."""

    def capacity_arguments(self, workload: Workload) -> Mapping[str, Any]:
        """That, by the names that the package service-capacity-modeling gives it."""
        ...


@runtime_checkable
class Signalling(Protocol):
    """A service whose namespaces tell clients how to be; see `soundstage.core.attunement`."""

    def signals(self, namespace: str) -> str:
        """The version of what the namespace tells, if that is worth asking for, of one that a call just was of."""
        ...


@runtime_checkable
class Scoped(Protocol):
    """A service with operations that concern namespaces not named by a field `namespace`."""

    def scopes(self, operation: str, request: Any) -> Sequence[str]:
        """The namespaces on which the caller needs the operation's access; none: on any one."""
        ...
