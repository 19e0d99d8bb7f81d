"""A namespace as this process serves it: what its configuration means for each call, worked out once."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from soundstage.core.compression import ZSTD
from soundstage.core.environment import Environment
from soundstage.core.errors import InvalidArgument
from soundstage.core.hlc import TokenClock
from soundstage.core.time import Duration
from soundstage.data.kv.api import KeyValueSignals
from soundstage.data.kv.cached_records import CachedRecords, cached, kept_for
from soundstage.data.kv.config import NamespaceConfig, check_together
from soundstage.data.kv.shelf import FRESH_NS, Shelf
from soundstage.data.kv.signalling import announced, signals_of, taken
from soundstage.data.kv.tokens import DriftWindow
from soundstage.data.kv.truncated import TruncatedRecords
from soundstage.data.kv.watched import ChangeLog, WatchedRecords
from soundstage.data.pagination import Amplification, RowEstimate, max_ns
from soundstage.engines.cache.port import Cache, CacheCapability
from soundstage.engines.records.port import Capability, Copies, Records, Row, TableSpec
from soundstage.runtime.service import Caches, NamespaceView

CACHE_ENGINE = "cache.engine"
"""The knob that names the cache."""

REPAIRED_US = 7 * 86_400_000_000
"""So long after a namespace promised less, what was written then may lie on few copies: they are repaired within."""

PAGED = ("get_items", "scan_items", "batch_get_items", "count_items")
"""Operations that answer early rather than late."""


class ServedNamespace:
    """One version of one namespace; `max_ns` is how long each paged operation may take.

    `records` is its engine, which shows nothing of what was truncated, and tells `changes` of every write if it is
    watched; behind its cache where it has one, which is `cached` then, and `store` what lies behind that.
    For `remember_for` after a write those who made it must say so to be sure to see it; None: they need not.
    `clock` makes the tokens of writes that come without; `dropped` counts large values whose chunks were removed.
    They, `shelf`, `estimate` and `amplification` are handed on to the next version.
    `signals` are what it tells its clients, whose version is `announced` where they are worth asking for. `shelf` has
    its dictionaries, as far as they are known here.
    """

    __slots__ = (
        "_now_us",
        "_settled_from_us",
        "amplification",
        "announced",
        "cached",
        "changes",
        "clock",
        "conditional",
        "config",
        "descending",
        "dropped",
        "estimate",
        "max_ns",
        "name",
        "packs",
        "records",
        "remember_for",
        "shelf",
        "signals",
        "store",
        "table",
        "values_table",
        "view",
        "window",
    )

    def __init__(
        self,
        view: NamespaceView,
        environment: Environment,
        before: ServedNamespace | None = None,
        changes: ChangeLog | None = None,
        caches: Caches | None = None,
    ) -> None:
        config: NamespaceConfig = view.config
        self.view: NamespaceView = view
        self.name: str = view.name
        self.config: NamespaceConfig = config
        self.table: str = table_name(view.name)
        self.changes: ChangeLog | None = changes
        self.records: Records = view.records if changes is None else WatchedRecords(view.records, self.table, changes)
        if view.truncated is not None:
            self.records = TruncatedRecords(view.records, self.table, view.truncated, writing=self.records)
        self.store: Records = self.records
        self.cached: CachedRecords | None = None
        earlier = None if before is None else before.cached
        if config.cache.engine is not None and caches is not None:
            cache = caches.cache(config.cache.engine, CACHE_ENGINE)
            self.records = self.cached = cached(self.records, self.table, view, cache, environment, earlier)
        self.remember_for: Duration | None = None
        if self.cached is not None and config.consistency == "read_your_writes":
            self.remember_for = kept_for(config)
        if earlier is not None and (self.cached is None or self.cached.heads is not earlier.heads):
            # Nobody asks the cache any more as of that version.
            earlier.heads.stop()
        self._settled_from_us: int | None = _settled_from_us(view, config)
        self.values_table: str = values_table_name(view.name)
        self.descending: bool = config.key_order == "desc"
        self.conditional: bool = takes_conditions(config, view.records.capabilities)
        self.window: DriftWindow = _window(view, config)
        self.max_ns: dict[str, int | None] = {operation: max_ns(view, operation) for operation in PAGED}
        if before is not None and before.view.generation != view.generation:
            before = None
        self.clock: TokenClock = TokenClock(environment) if before is None else before.clock
        self.clock.drift_future_us = config.drift_future.us
        self.estimate: RowEstimate = RowEstimate() if before is None else before.estimate
        self.amplification: Amplification = Amplification() if before is None else before.amplification
        self.dropped: int = 0 if before is None else before.dropped
        self.shelf: Shelf = Shelf(environment) if before is None else before.shelf
        self.signals: KeyValueSignals = signals_of(view, self.shelf.offered())
        self.announced: str = announced(self.signals)
        self._now_us = environment.now_us
        self.packs: bool = ZSTD in self.codecs_alone()

    @property
    def settled(self) -> bool:
        """Whether its reads find whatever was acknowledged before, by any copy in any data centre."""
        return self._settled_from_us is not None and self._now_us() >= self._settled_from_us

    def codecs(self) -> Collection[str]:
        """Those that a write may have at this moment. Of dictionaries only those that were `look`ed at lately."""
        alone = self.codecs_alone()
        return alone.union(self.shelf.taken(self._now_us())) if ZSTD in alone else alone

    def codecs_alone(self) -> frozenset[str]:
        """Those of them that need no dictionary."""
        return taken(self.view, self._now_us())

    async def look(self, within_ns: int = FRESH_NS) -> None:
        """The dictionaries are known as they were no longer ago, and so is what clients are told of them."""
        if self.shelf.is_fresh(within_ns):
            return
        await self.shelf.read(self.view.records, self.values_table, self.clock, within_ns)
        offered = self.shelf.offered()
        self.signals = signals_of(self.view, offered)
        self.announced = announced(self.signals)


async def found_anywhere(served: ServedNamespace, partition: bytes, key: bytes, now_us: int) -> list[Row]:
    """The row of an item, if any copy has it. `Unavailable` while one of them, which might, does not answer."""
    if served.settled:
        return (await served.records.get(served.table, partition, [key], now_us)).rows
    engine = served.view.records
    assert isinstance(engine, Copies)
    return (await engine.get_from_all(served.table, partition, [key], now_us)).rows


def table_name(namespace: str) -> str:
    return f"kv/{namespace}"


def values_table_name(namespace: str) -> str:
    return f"kv/{namespace}/values"


def tables(name: str, config: NamespaceConfig, capabilities: frozenset[str]) -> Sequence[TableSpec]:
    """The table of a namespace's items, and that of its large values, whose chunks nobody has conditions about.

    Raises `InvalidArgument` for what the engine cannot do.
    """
    check_together(config)
    if config.conditional_writes and Capability.CONDITIONAL not in capabilities:
        raise InvalidArgument(
            "the engine takes no conditional writes",
            field="conditional_writes",
            hint="leave it out, or bind the namespace to another engine",
        )
    if config.consistency == "linearizable" and not _is_decided(config, capabilities):
        raise InvalidArgument(
            "the replicas of the engine decide together about writes of a record only where it takes conditions",
            field="consistency",
            hint="make a namespace with conditional_writes = true, which is fixed, or leave consistency strong",
        )
    if config.consistency_scope is not None and Capability.COPIES not in capabilities:
        raise InvalidArgument(
            "the engine keeps no copies in several data centres, of which some could answer for all",
            field="consistency_scope",
            hint="leave it out, or bind the namespace to an engine on Cassandra",
        )
    if config.watch and config.conditional_writes and Capability.ATOMIC_WITH_LOG not in capabilities:
        raise InvalidArgument(
            "the engine cannot write and tell of it in one step, and a write whose condition fails must not be told",
            field="watch",
            hint="leave out conditional_writes or watch, or bind the namespace to an engine on rocksdb",
        )
    scope = config.consistency_scope or msgspec.UNSET
    return [
        TableSpec(
            name=table_name(name),
            conditional=takes_conditions(config, capabilities),
            key_order=config.key_order,
            dedicated=config.dedicated,
            max_lag_us=config.drift_past.us,
            delete_ttl_min_us=config.delete_ttl_min.us,
            delete_ttl_max_us=config.delete_ttl_max.us,
            eventual=True if config.consistency == "eventual" else msgspec.UNSET,
            serial=True if config.consistency == "linearizable" else msgspec.UNSET,
            scope=scope,
        ),
        # A row that is seen names chunks that are there: these are never eventual.
        TableSpec(
            name=values_table_name(name),
            dedicated=config.dedicated,
            max_lag_us=config.drift_past.us,
            delete_ttl_min_us=config.delete_ttl_min.us,
            delete_ttl_max_us=config.delete_ttl_max.us,
            scope=scope,
        ),
    ]


def check_cache(cache: Cache, capabilities: frozenset[str]) -> None:
    """Raise `InvalidArgument` for a cache that does not hear what others write to the store."""
    if capabilities & {Capability.SHARED, Capability.HOSTED} and CacheCapability.SHARED not in cache.capabilities:
        raise InvalidArgument(
            "the cache is of one process, and hears nothing of what others write to the same store",
            field=CACHE_ENGINE,
            hint="name a cache on memcached servers, or the one of a process that offers it (`host:`)",
        )


def _is_decided(config: NamespaceConfig, capabilities: frozenset[str]) -> bool:
    """Whether writes of one record come one after the other: one process orders them, or the replicas decide."""
    alone = Capability.CONDITIONAL in capabilities and Capability.COSTLY_CONDITIONS not in capabilities
    return alone or takes_conditions(config, capabilities)


def takes_conditions(config: NamespaceConfig, capabilities: frozenset[str]) -> bool:
    """Whether writes may carry conditions: as configured, else where the engine can without making all writes dear.

    Where changes are watched it must be able to write them together: a condition that fails leaves nothing in the log.
    """
    if config.conditional_writes is None:
        cheap = Capability.CONDITIONAL in capabilities and Capability.COSTLY_CONDITIONS not in capabilities
        return cheap and (not config.watch or Capability.ATOMIC_WITH_LOG in capabilities)
    return config.conditional_writes


def _settled_from_us(view: NamespaceView, config: NamespaceConfig) -> int | None:
    """From when on reads find whatever was acknowledged; None while writes may go by fewer copies than reads ask."""
    capabilities = view.records.capabilities
    if Capability.COPIES not in capabilities:
        return 0
    if not _agrees(config, capabilities):
        return None
    weaker = [each for each in view.earlier if not _agrees(each.config, capabilities)]
    return max((each.until_us + REPAIRED_US for each in weaker), default=0)


def _agrees(config: NamespaceConfig, capabilities: frozenset[str]) -> bool:
    """Whether who writes and who reads ask one copy in common."""
    if config.consistency_scope is None and Capability.LOOSE in capabilities:
        return False
    return config.consistency != "eventual" and config.consistency_scope != "local"


def _window(view: NamespaceView, config: NamespaceConfig) -> DriftWindow:
    window = DriftWindow(config.drift_past.us, config.drift_future.us)
    for earlier in view.earlier:
        window = window.raised(earlier.config.drift_past, earlier.until_us)
    return window
