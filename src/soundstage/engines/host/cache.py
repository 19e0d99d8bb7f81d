"""A cache that another process has: what cannot be reached in time is a miss.

So the memory cache of one process serves others beside it. Each counts for itself what it found.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

from soundstage.core.environment import Environment
from soundstage.core.errors import Exhausted, TooLarge, Unavailable
from soundstage.engines.cache.port import (
    ALWAYS,
    UNAVAILABLE,
    CacheCapability,
    Found,
    Lease,
    Outcome,
    Statistics,
    When,
    check_delta,
    check_key,
    check_keys,
    check_set,
    check_ttl,
)
from soundstage.engines.host.engine import HostEngine

WITHIN_S = 0.25
"""What a call has unless it says otherwise. Memory answers in a fraction of a millisecond."""

Result = TypeVar("Result")


class HostCache:
    """The cache `name` of the process that listens at the socket `path`."""

    def __init__(self, path: Path, name: str, environment: Environment, within_s: float = WITHIN_S) -> None:
        self._engine: Any = HostEngine(path, "cache", name, environment)
        self._name = name
        self._within_s = within_s
        self._found = dict.fromkeys(Outcome, 0)
        self._open = False

    @property
    def capabilities(self) -> frozenset[CacheCapability]:
        """Those of the cache behind it; and whoever goes by this socket sees the same values."""
        return frozenset({CacheCapability.SHARED, *getattr(self._engine, "capabilities", ())})

    @property
    def warning(self) -> str | None:
        """Why the cache cannot be reached, None while it can."""
        lost = self._engine.lost
        return None if lost is None else f"the cache {self._name!r} cannot be reached: {lost}"

    async def start(self) -> None:
        await self._engine.begin()
        self._open = True

    async def stop(self) -> None:
        self._open = False
        await self._engine.stop()

    async def get(self, keys: Sequence[bytes], *, within_s: float | None = None) -> list[Found]:
        self._check_open()
        check_keys(keys)
        try:
            found = await self._within(self._got(keys, within_s), within_s)
        except (Unavailable, Exhausted):
            found = [UNAVAILABLE] * len(keys)
        for each in found:
            self._found[each.outcome] += 1
        return found

    async def set(
        self, key: bytes, value: bytes, *, ttl_s: int = 0, when: When = ALWAYS, within_s: float | None = None
    ) -> bool:
        self._check_open()
        check_set(key, value, ttl_s, when)
        return await self._within(self._engine.set(key, value, ttl_s=ttl_s, when=when, within_s=within_s), within_s)

    async def delete(self, key: bytes, *, cas: int | None = None, within_s: float | None = None) -> bool:
        self._check_open()
        check_key(key)
        return await self._within(self._engine.delete(key, cas=cas, within_s=within_s), within_s)

    async def touch(self, key: bytes, ttl_s: int, *, within_s: float | None = None) -> bool:
        self._check_open()
        check_key(key)
        check_ttl(ttl_s)
        return await self._within(self._engine.touch(key, ttl_s, within_s=within_s), within_s)

    async def add(self, key: bytes, delta: int, *, ttl_s: int = 0, within_s: float | None = None) -> int:
        self._check_open()
        check_key(key)
        check_ttl(ttl_s)
        check_delta(delta)
        return await self._within(self._engine.add(key, delta, ttl_s=ttl_s, within_s=within_s), within_s)

    async def lease(self, key: bytes, ttl_s: int, *, within_s: float | None = None) -> Lease:
        self._check_open()
        check_key(key)
        check_ttl(ttl_s, 1)
        try:
            lease: Lease = await self._within(self._engine.lease(key, ttl_s, within_s=within_s), within_s)
        except (Unavailable, Exhausted):
            lease = Lease(UNAVAILABLE)
        self._found[lease.found.outcome] += 1
        return lease

    def statistics(self) -> Statistics:
        return Statistics(*(self._found[outcome] for outcome in Outcome))

    async def _got(self, keys: Sequence[bytes], within_s: float | None) -> list[Found]:
        """What there is of `keys`, in as many answers as it takes."""
        try:
            return await self._engine.get(keys, within_s=within_s)
        except TooLarge:
            half = len(keys) // 2
            if not half:
                raise
            return [*await self._got(keys[:half], within_s), *await self._got(keys[half:], within_s)]

    async def _within(self, answer: Coroutine[Any, Any, Result], within_s: float | None) -> Result:
        task = asyncio.ensure_future(answer)
        try:
            await asyncio.wait({task}, timeout=max(0.0, self._within_s if within_s is None else within_s))
        finally:
            # Whoever has the cache is told that nobody waits any more.
            ended = task.done() or not task.cancel()
        if ended:
            return task.result()
        raise Unavailable(
            f"the process that has the cache {self._name!r} did not answer in time",
            outcome="unknown",
            hint="what was to be cached or forgotten there may be as it was",
        )

    def _check_open(self) -> None:
        if not self._open:
            raise Unavailable("the cache is not open", outcome="not_applied", retryable=False)
