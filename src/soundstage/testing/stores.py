"""A store under test: a stage over one engine, on a virtual clock, spoken to through its clients."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, cast

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.namespace import NamespaceSpec
from soundstage.engines.blobs.port import Blobs
from soundstage.engines.records.port import Records
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.stage import Stage
from soundstage.testing.records import OpenEngine

NAMESPACE = "walked"


class Started:
    """An engine that is open already, for a stage, which opens its engines itself."""

    def __init__(self, engine: Records) -> None:
        self._engine = engine

    async def start(self) -> None:
        """Nothing is left to do."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)


class StoreUnderTest(ABC):
    """Opened by `open`; `restart` serves on from what the engine kept on the storage `name`.

    `caches` and `blobs` are engines besides that one, by their names, which stay when it is closed.
    """

    def __init__(self, open_engine: OpenEngine, name: str, seed: int = 0) -> None:
        self.environment: VirtualEnvironment = VirtualEnvironment(seed)
        self.caches: dict[str, Any] = {}
        self.blobs: dict[str, Blobs] = {}
        self._open_engine = open_engine
        self._name = name
        self._stage: Stage | None = None

    async def open(self) -> None:
        """Calls are answered; the namespace is there."""
        engine = await self._open_engine(self.environment, self._name)
        stage = Stage.open(
            data="memory:",
            config={
                "engines": {
                    **{name: {"url": "memory:"} for name in ("default", *self.blobs)},
                    **{name: {"url": "lru:"} for name in self.caches},
                }
            },
            variables={},
            environment=self.environment,
            engines={"default": cast("Records", Started(engine)), **self.caches, **self.blobs},
            background=False,
        )
        self._stage = await stage.start()
        await self.begin(stage)

    @abstractmethod
    async def begin(self, stage: Stage) -> None:
        """What a store needs of a stage that has started: its client, and its namespace."""

    async def close(self) -> None:
        if self._stage is not None:
            stage, self._stage = self._stage, None
            await stage.stop()

    async def restart(self) -> None:
        await self.close()
        await self.open()

    async def put(self, abstraction: str, knobs: dict[str, Any]) -> None:
        """The namespace has these knobs from here on."""
        spec = NamespaceSpec(name=NAMESPACE, abstraction=abstraction, config=knobs)
        await self.running.client(Namespaces).put(namespace=spec)

    @property
    def running(self) -> Stage:
        """The stage, between `open` and `close`."""
        if self._stage is None:
            raise RuntimeError("the store is closed")
        return self._stage
