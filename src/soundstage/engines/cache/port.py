"""The cache port: values that may be gone at any time, kept where they are quick to reach.

What a cache says is never the truth: a get may miss what was set a moment ago, and a node that was away may come
back with what it had. Whoever fills it keeps the truth elsewhere, and deletes when that changes.

- A get never fails for a node that is gone: its keys are not there, and say so (`Outcome.UNAVAILABLE`).
- A change of a node that is gone raises `Unavailable`: the caller decides what that means.
- A **lease** gives one of many callers who miss a key the right to fill it; the others wait, ask again, or compute
  the value for themselves.
- Each value has a number, `cas`, that changes with every change; one may ask for a change only of that very state.

To write another engine: implement `Cache` and run `soundstage.testing.cache.CacheSuite` over it.
`soundstage.engines.cache.memory` is the specification.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol, TypeAlias

import msgspec

from soundstage.core.errors import InvalidArgument, TooLarge

KEY_MAX_BYTES = 1_024
VALUE_MAX_BYTES = (1 << 20) - 1_024
"""What a memcached holds by default, less what it writes about it."""
TTL_MAX_S = 30 * 86_400
"""A memcached takes larger numbers for dates."""
GET_MAX_KEYS = 1_000
COUNTER_LIMIT = 1 << 64
"""Counters go on from 0 beyond it."""
DELTA_MIN = -(1 << 63)
VERSION_MAX = (1 << 64) - 1


class CacheCapability(StrEnum):
    """What an engine can beyond `Cache`; ask, never catch."""

    SHARED = "shared"
    """Other processes with the same URL see the same values."""


class Outcome(StrEnum):
    """What became of one key of a get."""

    HIT = "hit"
    MISS = "miss"
    UNAVAILABLE = "unavailable"
    """Its node did not answer in time: a miss, for what matters."""


class Found(NamedTuple):
    """One key of a get. Without a hit, the value is empty, `cas` and `version` are 0."""

    outcome: Outcome
    value: bytes = b""
    cas: int = 0
    version: int = 0

    @property
    def hit(self) -> bool:
        """Whether there is a value."""
        return self.outcome is Outcome.HIT


MISS = Found(Outcome.MISS)
UNAVAILABLE = Found(Outcome.UNAVAILABLE)


class _Condition(msgspec.Struct, frozen=True, array_like=True, tag=True):
    pass


class Absent(_Condition, frozen=True, tag="absent"):
    """Only if there is no value. A key that is leased counts as one that has a value."""


class Unchanged(_Condition, frozen=True, tag="unchanged"):
    """Only if the value's `cas` is this, or the lease of that number is still held."""

    cas: int


class Newer(_Condition, frozen=True, tag="newer"):
    """Only if this version is greater than that of the value there is, if any; it is stored with the value."""

    version: int


class Always(_Condition, frozen=True, tag="always"):
    """Whatever there is."""


When: TypeAlias = Always | Absent | Unchanged | Newer

ALWAYS = Always()
ABSENT = Absent()


class Lease(NamedTuple):
    """What a lease came to: a value that was there, the right to fill, or neither.

    Whoever has `won` sets the key with `Unchanged(cas)`, which succeeds until the lease ends, the key is deleted or
    another value is set. Without a value and without having won, somebody else is filling it, or the node is gone.
    """

    found: Found
    won: bool = False
    cas: int = 0


class Statistics(NamedTuple):
    """What gets and leases found since the start, by outcome."""

    hits: int = 0
    misses: int = 0
    unavailable: int = 0


class Cache(Protocol):
    """A cache that has been started. Calls may be made from many tasks at once.

    `within_s` bounds the call's time; without it the engine's own bound holds. A cancelled change may have been made.
    """

    capabilities: frozenset[CacheCapability]

    async def start(self) -> None:
        """Calls may be made. Nodes that are away are not waited for; one that refuses who asks ends the start.

        Raises an error that is not retryable for what waiting does not mend, such as a wrong password.
        """
        ...

    async def stop(self) -> None:
        """Nothing of it is left open. Idempotent; may be started again."""
        ...

    async def get(self, keys: Sequence[bytes], *, within_s: float | None = None) -> list[Found]:
        """What there is of `keys`, in their order; at most 1,000, in one round trip to each node."""
        ...

    async def set(
        self, key: bytes, value: bytes, *, ttl_s: int = 0, when: When = ALWAYS, within_s: float | None = None
    ) -> bool:
        """Whether the value was stored, which `when` decides. Gone after `ttl_s` seconds, rounded either way; 0: never.

        Raises `TooLarge` for a value of more than 1 MiB less 1 KiB, and `Unavailable`. Where a node has no room for the
        value, what the key had may be gone, whatever `when` says: the outcome is then unknown.
        """
        ...

    async def delete(self, key: bytes, *, cas: int | None = None, within_s: float | None = None) -> bool:
        """There is no value and no lease; whether there was. With `cas`: only if it has that number."""
        ...

    async def touch(self, key: bytes, ttl_s: int, *, within_s: float | None = None) -> bool:
        """The value lives for `ttl_s` seconds from now; whether there is one."""
        ...

    async def add(self, key: bytes, delta: int, *, ttl_s: int = 0, within_s: float | None = None) -> int:
        """The counter after `delta` was added. One that is not there is 0, and lives for `ttl_s` from then on.

        `delta` is -2⁶³ to 2⁶⁴ - 1. Never below 0; beyond 64 bits it goes on from 0. A get of it has its decimal digits.
        Not idempotent: a call that ends in `Unavailable` with the outcome unknown may have counted. Raises
        `PreconditionFailed` for a value that is no counter.
        """
        ...

    async def lease(self, key: bytes, ttl_s: int, *, within_s: float | None = None) -> Lease:
        """The value, or the right to fill it, which one caller has for `ttl_s` seconds, at least 1."""
        ...

    def statistics(self) -> Statistics:
        """What gets and leases found since the start."""
        ...


def check_key(key: bytes) -> None:
    """Raises `InvalidArgument` for an empty key and `TooLarge` for one of more than 1,024 bytes."""
    if not key:
        raise InvalidArgument("a key has at least one byte", field="key")
    if len(key) > KEY_MAX_BYTES:
        raise TooLarge(f"a key has at most {KEY_MAX_BYTES} bytes, this one has {len(key)}", field="key")


def check_keys(keys: Sequence[bytes]) -> None:
    """Raises for one that is no key, and `TooLarge` for more than one get takes."""
    if len(keys) > GET_MAX_KEYS:
        raise TooLarge(f"a get takes at most {GET_MAX_KEYS} keys, not {len(keys)}", field="keys")
    for key in keys:
        if not 0 < len(key) <= KEY_MAX_BYTES:
            check_key(key)


def check_value(value: bytes) -> None:
    """Raises `TooLarge` for a value that no node would take."""
    if len(value) > VALUE_MAX_BYTES:
        raise TooLarge(
            f"a value has at most {VALUE_MAX_BYTES} bytes, this one has {len(value)}",
            field="value",
            hint="keep large values as blobs and cache where they are",
        )


def check_ttl(ttl_s: int, least: int = 0) -> None:
    """Raises `InvalidArgument` for what is no time to live."""
    if not least <= ttl_s <= TTL_MAX_S:
        raise InvalidArgument(f"a time to live is {least} to {TTL_MAX_S} seconds, not {ttl_s}", field="ttl_s")


def check_when(when: When) -> None:
    """Raises `InvalidArgument` for a version or number that no value can have."""
    number = when.version if isinstance(when, Newer) else when.cas if isinstance(when, Unchanged) else 0
    if not 0 <= number <= VERSION_MAX:
        raise InvalidArgument(f"versions and numbers are 0 to {VERSION_MAX}, not {number}", field="when")


def check_set(key: bytes, value: bytes, ttl_s: int, when: When) -> None:
    """Raises `InvalidArgument` and `TooLarge` for what no cache sets."""
    check_key(key)
    check_value(value)
    check_ttl(ttl_s)
    check_when(when)


def check_delta(delta: int) -> None:
    """Raises `InvalidArgument` for what no number of 64 bits holds, with a sign or without."""
    if not DELTA_MIN <= delta < COUNTER_LIMIT:
        raise InvalidArgument(f"what is added is {DELTA_MIN} to {COUNTER_LIMIT - 1}, not {delta}", field="delta")
