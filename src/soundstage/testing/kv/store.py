"""The store under test, and its clock."""

from __future__ import annotations

from typing import Any

from soundstage.core.environment import Environment
from soundstage.data.kv.api import KeyValue
from soundstage.engines.cache.memory import MemoryCache
from soundstage.engines.cache.port import CacheCapability
from soundstage.runtime.stage import Stage
from soundstage.testing.records import OpenEngine
from soundstage.testing.stores import NAMESPACE, StoreUnderTest

FIRST_KNOBS: dict[str, Any] = {
    "drift_past": "10m",
    "drift_future": "2s",
    "delete_ttl_min": "1s",
    "delete_ttl_max": "30m",
    "conditional_writes": True,
    "page_size_bytes": "1KiB",
    "count_limit": 4,
    "rows_min": 1,
    "chunk_threshold": "1KiB",
    "chunk_check": "5m",
    "chunk_grace": "5m",
}


CACHED_KNOBS: dict[str, Any] = {
    "consistency": "read_your_writes",
    "cache": {"engine": "hot", "ttl": "30s", "answer_max": "1KiB"},
}


class LastingCache(MemoryCache):
    """What it has outlives the stages that use it, as in a server."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.capabilities: frozenset[CacheCapability] = frozenset({CacheCapability.SHARED})

    async def stop(self) -> None:
        """The next stage finds all of it."""


class Store(StoreUnderTest):
    """A namespace of the key-value store with `knobs`, by way of `cache` if it has one."""

    kv: KeyValue

    def __init__(self, open_engine: OpenEngine, name: str, seed: int = 0, *, cached: bool = False) -> None:
        super().__init__(open_engine, name, seed)
        self.knobs: dict[str, Any] = {**FIRST_KNOBS, **(CACHED_KNOBS if cached else {})}
        self.cache: LastingCache | None = LastingCache(self.environment) if cached else None
        if self.cache is not None:
            self.caches["hot"] = self.cache

    async def begin(self, stage: Stage) -> None:
        self.kv = stage.client(KeyValue, NAMESPACE)
        await self.configure()

    async def configure(self, **knobs: Any) -> None:
        """The namespace has these knobs from here on, besides those it had."""
        self.knobs |= knobs
        await self.put("kv", self.knobs)

    async def sweep(self) -> None:
        """A round of everything that a stage does by itself: among it, dead rows are removed."""
        await self.running.run_background()

    @property
    def now_us(self) -> int:
        return self.environment.now_us()

    def advance_us(self, us: int) -> None:
        self.environment.advance(us / 1e6)
