"""A cache that fails as told, and a store that counts and can be held."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import Unavailable
from soundstage.core.namespace import NamespaceSpec
from soundstage.data.kv.api import KeyValue
from soundstage.data.kv.cached_records import CachedRecords
from soundstage.data.kv.service import KeyValueService
from soundstage.engines.cache.memory import MemoryCache
from soundstage.engines.cache.port import UNAVAILABLE, CacheCapability, Found, Lease, Statistics
from soundstage.engines.records.memory import MemoryRecords
from soundstage.engines.records.port import Batch, Budget, Conditional, Page, Span
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.stage import Stage
from soundstage.testing.stores import Started

Hook = Callable[[], Awaitable[Any]]


class Flaky:
    """A memory cache that may be `away`, or just the keys in `dead`, and loses the answers to the calls in `lost`.

    What `before` has for a call happens first, once. Stages that share it leave it open.
    """

    def __init__(self, environment: VirtualEnvironment) -> None:
        self.inner = MemoryCache(environment)
        self.capabilities = frozenset({CacheCapability.SHARED})
        self.away = False
        self.dead: set[bytes] = set()
        self.lost: set[str] = set()
        self.before: dict[str, Hook] = {}
        self.calls: Counter[str] = Counter()

    async def start(self) -> None:
        await self.inner.start()

    async def stop(self) -> None:
        """What it has stays for the others."""

    async def restart(self) -> None:
        """It has lost everything."""
        await self.inner.stop()
        await self.inner.start()

    async def get(self, keys: Sequence[bytes], *, within_s: float | None = None) -> list[Found]:
        await self._begin("get")
        if self.away or not self.dead.isdisjoint(keys):
            return [UNAVAILABLE] * len(keys)
        return await self.inner.get(keys)

    async def lease(self, key: bytes, ttl_s: int, *, within_s: float | None = None) -> Lease:
        await self._begin("lease")
        return Lease(UNAVAILABLE) if self.away else await self.inner.lease(key, ttl_s)

    async def set(self, key: bytes, value: bytes, *, within_s: float | None = None, **how: Any) -> bool:
        return await self._change("set", self.inner.set(key, value, **how))

    async def delete(self, key: bytes, *, cas: int | None = None, within_s: float | None = None) -> bool:
        return await self._change("delete", self.inner.delete(key, cas=cas))

    async def touch(self, key: bytes, ttl_s: int, *, within_s: float | None = None) -> bool:
        return await self._change("touch", self.inner.touch(key, ttl_s))

    async def add(self, key: bytes, delta: int, *, ttl_s: int = 0, within_s: float | None = None) -> int:
        return await self._change("add", self.inner.add(key, delta, ttl_s=ttl_s))

    def statistics(self) -> Statistics:
        return self.inner.statistics()

    async def _begin(self, call: str) -> None:
        self.calls[call] += 1
        hook = self.before.pop(call, None)
        if hook is not None:
            await hook()

    async def _change(self, call: str, change: Any) -> Any:
        await self._begin(call)
        if self.away:
            change.close()
            raise Unavailable("away", outcome="not_applied")
        done = await change
        if call in self.lost:
            raise Unavailable("lost", outcome="unknown")
        return done


class Held(MemoryRecords):
    """Counts what it is asked; reads and writes wait for `reading` and `writing` where those are not set.

    `fails` is raised by the next write, after it was made if it `happens`. `behind` makes reads see what was before it.
    """

    def __init__(self, environment: VirtualEnvironment) -> None:
        super().__init__(environment)
        self.reads = 0
        self.reading = asyncio.Event()
        self.writing = asyncio.Event()
        self.reading.set()
        self.writing.set()
        self.fails: BaseException | None = None
        self.happens = True
        self.behind: Page | None = None

    async def apply(
        self,
        table: str,
        partition: bytes,
        batch: Batch,
        *,
        conditional: Conditional | None = None,
        deadline_ns: int | None = None,
    ) -> int:
        if not table.startswith("kv/"):
            return await super().apply(table, partition, batch, conditional=conditional, deadline_ns=deadline_ns)
        await self.writing.wait()
        fails, self.fails = self.fails, None
        if fails is None or self.happens:
            stamp_us = await super().apply(table, partition, batch, conditional=conditional, deadline_ns=deadline_ns)
            if fails is None:
                return stamp_us
        raise fails

    async def get(
        self, table: str, partition: bytes, keys: Sequence[bytes], now_us: int, budget: Budget | None = None
    ) -> Page:
        page = await super().get(table, partition, keys, now_us, budget)
        return await self._seen(table, page)

    async def read(self, table: str, partition: bytes, span: Span, budget: Budget, now_us: int) -> Page:
        page = await super().read(table, partition, span, budget, now_us)
        return await self._seen(table, page)

    async def _seen(self, table: str, page: Page) -> Page:
        """What was read before it waited, as of a read that is slow to answer."""
        if not table.startswith("kv/"):
            return page
        self.reads += 1
        await self.reading.wait()
        return self.behind or page


async def settle() -> None:
    """All that is ready to run has run."""
    for _ in range(50):
        await asyncio.sleep(0)


class World:
    """One store and one cache, and stages on both; `people` is read through the cache."""

    def __init__(self, environment: VirtualEnvironment) -> None:
        self.environment = environment
        self.store = Held(environment)
        self.cache = Flaky(environment)
        self._stages: list[Stage] = []

    async def open(self, **knobs: Any) -> KeyValue:
        """A client of one process more; the first makes the namespace."""
        stage = Stage.open(
            data="memory:",
            config={"engines": {"default": {"url": "memory:"}, "hot": {"url": "lru:"}}},
            variables={},
            environment=self.environment,
            engines={"default": cast("Any", Started(self.store)), "hot": cast("Any", self.cache)},
        )
        if not self._stages:
            await self.store.start()
        self._stages.append(await stage.start())
        if len(self._stages) == 1:
            await self.configure(**knobs)
        return stage.client(KeyValue, "people")

    async def configure(self, cache: dict[str, Any] | None = None, **knobs: Any) -> None:
        config = {"consistency": "read_your_writes", "cache": {"engine": "hot", **(cache or {})}, **knobs}
        spec = NamespaceSpec(name="people", abstraction="kv", config=config)
        await self._stages[0].client(Namespaces).put(namespace=spec)

    def cached(self, at: int = 0) -> CachedRecords:
        """The namespace as the process of that number has it."""
        service = cast("KeyValueService", self._stages[at].systems.service("kv"))
        found = service._serve("people").cached
        assert found is not None
        return found

    def counts(self, at: int = 0) -> dict[str, int]:
        return dict(self.cached(at).tier.counts)

    async def follow(self) -> None:
        """Every process has heard of the last change of the namespace."""
        for stage in self._stages:
            await stage.run_background()

    async def drop(self, name: str = "people") -> None:
        await self._stages[0].client(Namespaces).delete(name=name)

    async def close(self) -> None:
        for stage in self._stages:
            await stage.stop()
