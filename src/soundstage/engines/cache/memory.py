"""The cache port in memory: the specification that other engines are compared with, and the cache of one process.

Bounded in bytes; what is over is evicted by how long ago (`lru`) or how seldom (`lfu`) it was used. What has expired
takes up room until it is asked for or evicted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

import msgspec
from cachetools import Cache as Evicting
from cachetools import LFUCache, LRUCache
from msgspec import Meta

from soundstage.core.environment import Environment
from soundstage.core.errors import PreconditionFailed, Unavailable
from soundstage.core.time import NS_PER_S
from soundstage.engines.cache.port import (
    ALWAYS,
    COUNTER_LIMIT,
    MISS,
    Absent,
    CacheCapability,
    Found,
    Lease,
    Newer,
    Outcome,
    Statistics,
    Unchanged,
    When,
    check_delta,
    check_key,
    check_keys,
    check_set,
    check_ttl,
)

OVERHEAD_BYTES = 200
"""About what Python needs for an entry besides key and value."""


class MemoryCacheOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of the memory engine."""

    max_bytes: Annotated[int, Meta(ge=4 << 20, description="keys, values and about 200 bytes for each")] = 64 << 20
    policy: Literal["lru", "lfu"] = "lru"


class _Entry(NamedTuple):
    value: bytes
    cas: int
    expires_ns: int
    version: int = 0
    kind: Literal["value", "counter", "lease"] = "value"

    @property
    def found(self) -> Found:
        return MISS if self.kind == "lease" else Found(Outcome.HIT, self.value, self.cas, self.version)


class MemoryCache:
    """Values of this process. Nothing is waited for, so no call is ever out of time."""

    def __init__(self, environment: Environment, options: MemoryCacheOptions | None = None) -> None:
        chosen = options or MemoryCacheOptions()
        self.capabilities: frozenset[CacheCapability] = frozenset()
        self._environment = environment
        kind = (
            LRUCache[bytes, tuple[bytes, _Entry]] if chosen.policy == "lru" else LFUCache[bytes, tuple[bytes, _Entry]]
        )
        self._entries: Evicting[bytes, tuple[bytes, _Entry]] = kind(chosen.max_bytes, _size)
        self._cas = 0
        self._found = dict.fromkeys(Outcome, 0)
        self._open = False

    async def start(self) -> None:
        self._open = True

    async def stop(self) -> None:
        self._open = False
        self._entries.clear()

    async def get(self, keys: Sequence[bytes], *, within_s: float | None = None) -> list[Found]:
        self._check_open()
        check_keys(keys)
        return [self._counted(entry.found if (entry := self._live(key)) else MISS) for key in keys]

    async def set(
        self, key: bytes, value: bytes, *, ttl_s: int = 0, when: When = ALWAYS, within_s: float | None = None
    ) -> bool:
        self._check_open()
        check_set(key, value, ttl_s, when)
        if not _holds(when, self._live(key)):
            return False
        version = when.version if isinstance(when, Newer) else 0
        self._put(key, _Entry(value, self._next(), self._expiry(ttl_s), version))
        return True

    async def delete(self, key: bytes, *, cas: int | None = None, within_s: float | None = None) -> bool:
        self._check_open()
        check_key(key)
        entry = self._live(key)
        if entry is None or cas not in (None, entry.cas):
            return False
        del self._entries[key]
        return True

    async def touch(self, key: bytes, ttl_s: int, *, within_s: float | None = None) -> bool:
        self._check_open()
        check_key(key)
        check_ttl(ttl_s)
        entry = self._live(key)
        if entry is None or entry.kind == "lease":
            return False
        self._put(key, entry._replace(expires_ns=self._expiry(ttl_s)))
        return True

    async def add(self, key: bytes, delta: int, *, ttl_s: int = 0, within_s: float | None = None) -> int:
        self._check_open()
        check_key(key)
        check_ttl(ttl_s)
        check_delta(delta)
        entry = self._live(key)
        if entry is not None and entry.kind != "counter":
            raise no_counter()
        number = 0 if entry is None else int(entry.value)
        total = max(0, number + delta) % COUNTER_LIMIT
        expires_ns = self._expiry(ttl_s) if entry is None else entry.expires_ns
        self._put(key, _Entry(b"%d" % total, self._next(), expires_ns, kind="counter"))
        return total

    async def lease(self, key: bytes, ttl_s: int, *, within_s: float | None = None) -> Lease:
        self._check_open()
        check_key(key)
        check_ttl(ttl_s, 1)
        entry = self._live(key)
        if entry is not None:
            return Lease(self._counted(entry.found))
        cas = self._next()
        self._put(key, _Entry(b"", cas, self._expiry(ttl_s), kind="lease"))
        return Lease(self._counted(MISS), won=True, cas=cas)

    def statistics(self) -> Statistics:
        return Statistics(*(self._found[outcome] for outcome in Outcome))

    def _live(self, key: bytes) -> _Entry | None:
        held = self._entries.get(key)
        if held is None:
            return None
        entry = held[1]
        if entry.expires_ns and entry.expires_ns <= self._environment.monotonic_ns():
            del self._entries[key]
            return None
        return entry

    def _put(self, key: bytes, entry: _Entry) -> None:
        self._entries[key] = (key, entry)

    def _next(self) -> int:
        self._cas += 1
        return self._cas

    def _expiry(self, ttl_s: int) -> int:
        return self._environment.monotonic_ns() + ttl_s * NS_PER_S if ttl_s else 0

    def _counted(self, found: Found) -> Found:
        self._found[found.outcome] += 1
        return found

    def _check_open(self) -> None:
        if not self._open:
            raise Unavailable("the cache is not open", outcome="not_applied", retryable=False)


def no_counter() -> PreconditionFailed:
    """The refusal to count on a value that is no counter, or on a key that is leased."""
    return PreconditionFailed(
        "the key has a value that is no counter", field="key", hint="delete it, or use another key"
    )


def _holds(when: When, entry: _Entry | None) -> bool:
    match when:
        case Absent():
            return entry is None
        case Unchanged(cas):
            return entry is not None and entry.cas == cas
        case Newer(version):
            return entry is None or entry.kind != "value" or version > entry.version
        case _:
            return True


def _size(held: tuple[bytes, _Entry]) -> int:
    key, entry = held
    return len(key) + len(entry.value) + OVERHEAD_BYTES
