"""The cache that all processes of a run share, and each one's way to it, with faults.

It has nodes of memory, each with some of the keys. A node may be away, come back with what it had or with nothing, and
may forget what it likes. On the way to it calls are refused, lost before they are done or after, slow, and done after
whoever sent them has given up.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from contextvars import copy_context
from typing import Any, TypeVar
from zlib import crc32

import msgspec

from soundstage.core.errors import Unavailable
from soundstage.engines.cache.memory import MemoryCache
from soundstage.engines.cache.port import UNAVAILABLE, CacheCapability, Found, Lease, Statistics
from soundstage.testing.simulation.environment import SimulatedEnvironment
from soundstage.testing.simulation.loop import PROCESS
from soundstage.testing.simulation.turn import dice, present, strikes

NODES = 2
WITHIN_S = 0.05

R = TypeVar("R")


class CacheRates(msgspec.Struct, frozen=True, kw_only=True):
    """How often each fault strikes, per call. What is `late` is done up to `late_s` after its sender has given up."""

    refused: float = 0.0
    lost: float = 0.0
    answer_lost: float = 0.0
    slow: float = 0.0
    late: float = 0.0
    late_s: float = 0.0


NO_FAULTS = CacheRates()


class SharedCache:
    """The nodes. `down` are those that answer nobody, `cut_off` the processes that reach none of them."""

    def __init__(self, environment: SimulatedEnvironment) -> None:
        self.environment = environment
        self.rates: CacheRates = NO_FAULTS
        self.latency_s: float = 0.0
        self.down: set[int] = set()
        self.cut_off: set[int] = set()
        self.late: set[asyncio.Task[Any]] = set()
        self._nodes = [MemoryCache(environment) for _ in range(NODES)]
        self._known: dict[bytes, None] = {}

    async def start(self) -> None:
        for node in self._nodes:
            await node.start()

    async def forget(self, number: int) -> None:
        """The node was started anew: it has nothing, and numbers what it gets from 1 again."""
        self._nodes[number] = MemoryCache(self.environment)
        await self._nodes[number].start()

    async def evict(self, beginning: bytes, share: float) -> None:
        """About so many of the keys that begin so are there no more."""
        for key in self._known:
            if key.startswith(beginning) and dice().random() < share:
                await self._nodes[number_of(key)].delete(key)

    def node(self, key: bytes) -> MemoryCache:
        """The one that has the key."""
        self._known[key] = None
        return self._nodes[number_of(key)]


def number_of(key: bytes) -> int:
    """Of the node that has a key."""
    return crc32(key) % NODES


class CacheWay:
    """A `Cache`: the shared one as the process of a number reaches it, not at all once `is_cut` says so."""

    capabilities: frozenset[CacheCapability] = frozenset({CacheCapability.SHARED})

    def __init__(self, shared: SharedCache, number: int, is_cut: Callable[[], bool], counts: Counter[str]) -> None:
        self._shared = shared
        self._number = number
        self._is_cut = is_cut
        self._counts = counts

    async def start(self) -> None:
        """It is nobody's to start but the run's."""

    async def stop(self) -> None:
        """What it has stays for the others."""

    async def get(self, keys: Sequence[bytes], *, within_s: float | None = None) -> list[Found]:
        found: list[Found] = []
        for key in keys:
            try:
                found += await self._ask(key, lambda node, key=key: node.get([key]), within_s)
            except Unavailable:
                found.append(UNAVAILABLE)
        return found

    async def lease(self, key: bytes, ttl_s: int, *, within_s: float | None = None) -> Lease:
        try:
            return await self._ask(key, lambda node: node.lease(key, ttl_s), within_s)
        except Unavailable:
            return Lease(UNAVAILABLE)

    async def set(self, key: bytes, value: bytes, *, within_s: float | None = None, **how: Any) -> bool:
        return await self._ask(key, lambda node: node.set(key, value, **how), within_s)

    async def delete(self, key: bytes, *, cas: int | None = None, within_s: float | None = None) -> bool:
        return await self._ask(key, lambda node: node.delete(key, cas=cas), within_s)

    async def touch(self, key: bytes, ttl_s: int, *, within_s: float | None = None) -> bool:
        return await self._ask(key, lambda node: node.touch(key, ttl_s), within_s)

    async def add(self, key: bytes, delta: int, *, ttl_s: int = 0, within_s: float | None = None) -> int:
        return await self._ask(key, lambda node: node.add(key, delta, ttl_s=ttl_s), within_s)

    def statistics(self) -> Statistics:
        return Statistics()

    async def _ask(self, key: bytes, do: Callable[[MemoryCache], Coroutine[Any, Any, R]], within_s: float | None) -> R:
        shared, wait_s = self._shared, within_s or WITHIN_S
        self._check()
        if self._number in shared.cut_off or number_of(key) in shared.down or self._strikes("refused"):
            raise Unavailable("the node refuses connections", outcome="not_applied")
        await self._travel(wait_s)
        if self._strikes("lost"):
            await self._given_up(wait_s)
        if self._strikes("late"):
            self._do_late(key, do)
            await self._given_up(wait_s)
        answer = await do(shared.node(key))
        await self._travel(wait_s)
        if self._strikes("answer_lost"):
            await self._given_up(wait_s)
        self._check()
        return answer

    async def _travel(self, wait_s: float) -> None:
        """One way, in less than half of what is waited."""
        if present() is None:
            return
        most_s = wait_s * 0.4 if self._strikes("slow") else min(self._shared.latency_s, wait_s * 0.4)
        if most_s:
            await self._shared.environment.sleep(dice().uniform(0.0, most_s))

    async def _given_up(self, wait_s: float) -> None:
        await self._shared.environment.sleep(wait_s)
        raise Unavailable("no answer in time", outcome="unknown")

    def _do_late(self, key: bytes, do: Callable[[MemoryCache], Coroutine[Any, Any, Any]]) -> None:
        """It is done by the node, whatever becomes of the process meanwhile."""
        shared, late_s = self._shared, dice().uniform(0.0, self._shared.rates.late_s)

        async def arrive() -> None:
            await shared.environment.sleep(late_s)
            if number_of(key) not in shared.down:
                await do(shared.node(key))

        context = copy_context()
        context.run(PROCESS.set, None)
        task = asyncio.get_running_loop().create_task(arrive(), context=context)
        shared.late.add(task)
        task.add_done_callback(shared.late.discard)

    def _check(self) -> None:
        if self._is_cut():
            raise Unavailable("this process has ended", outcome="not_applied", retryable=False)

    def _strikes(self, fault: str) -> bool:
        if not strikes(getattr(self._shared.rates, fault)):
            return False
        self._counts[f"cache_{fault}"] += 1
        return True
