"""The store under test: a stage over one engine, on a virtual clock, spoken to through its client."""

from __future__ import annotations

from typing import Any, cast

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.namespace import NamespaceSpec
from soundstage.data.kv.api import KeyValue
from soundstage.engines.records.port import Records
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.stage import Stage
from soundstage.testing.records import OpenEngine

NAMESPACE = "walked"

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


class Started:
    """An engine that is open already, for a stage, which opens its engines itself."""

    def __init__(self, engine: Records) -> None:
        self._engine = engine

    async def start(self) -> None:
        """Nothing is left to do."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)


class Store:
    """Opened by `open`; `restart` serves on from what the engine kept on the storage `name`."""

    kv: KeyValue

    def __init__(self, open_engine: OpenEngine, name: str, seed: int = 0) -> None:
        self.environment: VirtualEnvironment = VirtualEnvironment(seed)
        self.knobs: dict[str, Any] = dict(FIRST_KNOBS)
        self._open_engine = open_engine
        self._name = name
        self._stage: Stage | None = None

    async def open(self) -> None:
        """Calls are answered; the namespace is there."""
        engine = await self._open_engine(self.environment, self._name)
        stage = Stage.open(
            data="memory:",
            config={"engines": {"default": {"url": "memory:"}}},
            variables={},
            environment=self.environment,
            engines={"default": cast("Records", Started(engine))},
            background=False,
        )
        self._stage = await stage.start()
        self.kv = stage.client(KeyValue, NAMESPACE)
        await self.configure()

    async def close(self) -> None:
        if self._stage is not None:
            stage, self._stage = self._stage, None
            await stage.stop()

    async def restart(self) -> None:
        await self.close()
        await self.open()

    async def configure(self, **knobs: Any) -> None:
        """The namespace has these knobs from here on, besides those it had."""
        self.knobs |= knobs
        spec = NamespaceSpec(name=NAMESPACE, abstraction="kv", config=self.knobs)
        await self._running().client(Namespaces).put(namespace=spec)

    async def sweep(self) -> None:
        """A round of everything that a stage does by itself: among it, dead rows are removed."""
        await self._running().run_background()

    @property
    def now_us(self) -> int:
        return self.environment.now_us()

    def advance_us(self, us: int) -> None:
        self.environment.advance(us / 1e6)

    def _running(self) -> Stage:
        if self._stage is None:
            raise RuntimeError("the store is closed")
        return self._stage
