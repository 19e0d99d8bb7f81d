"""The store under test, and its clock."""

from __future__ import annotations

from typing import Any

from soundstage.data.kv.api import KeyValue
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


class Store(StoreUnderTest):
    """A namespace of the key-value store with `knobs`."""

    kv: KeyValue

    def __init__(self, open_engine: OpenEngine, name: str, seed: int = 0) -> None:
        super().__init__(open_engine, name, seed)
        self.knobs: dict[str, Any] = dict(FIRST_KNOBS)

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
