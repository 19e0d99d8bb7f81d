"""The cache of one namespace, as this process speaks to it: with bounded patience, and counting.

A cache that does not answer, or too late, is not waited for again and again: after `FAILURES_MAX` calls in a row it is
left alone for `REST_NS`. Whoever asks it then is told at once that it is away, which is slower and never wrong.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from typing import Any, NamedTuple, TypeVar

from soundstage.core.environment import Environment
from soundstage.core.errors import SoundstageError, TooLarge
from soundstage.core.time import NS_PER_S
from soundstage.data.kv.cache_entries import (
    CLOSED_US,
    NONCE_BYTES,
    Answer,
    Head,
    Keys,
    decode_answer,
    decode_head,
    encode_answer,
    encode_head,
)
from soundstage.data.kv.config import CacheKnobs
from soundstage.engines.cache.port import ABSENT, ALWAYS, Cache, Found, Lease, Outcome, Unchanged, When

FAILURES_MAX = 3
"""Calls in a row without an answer until the cache is left alone."""

REST_NS = NS_PER_S
"""How long it is left alone, until one call tries again."""

LEASE_S = 3
"""Who fetches an answer for all has so long; should it die, the next one fetches then."""

DRAIN_S = 1.0

HEAD_LIVES = 8
"""Times to live of an answer that its head lives: it serves those that come after."""

HEAD_MIN_S = CLOSED_US // 1_000_000 + 10
"""At least so long, or it would be gone before the writer that has closed it."""

R = TypeVar("R")


class Away(Exception):
    """The cache did not answer, or was not asked. What was to be changed may have been."""


class Looked(NamedTuple):
    """A head and an answer as they were found, with the numbers of their states in the cache."""

    head: Head | None
    head_cas: int
    answer: Answer | None
    answer_cas: int


class CacheTier:
    """Heads and answers in `cache`. Every call raises `Away` where it got no answer in time.

    `space` is the part of all keys that no other namespace has; what is kept from before `since_us` is not looked at.
    """

    def __init__(self, cache: Cache, knobs: CacheKnobs, space: bytes, environment: Environment) -> None:
        self.cache: Cache = cache
        self.knobs: CacheKnobs = knobs
        self.space: bytes = space
        self.environment: Environment = environment
        self.counts: Counter[str] = Counter()
        self.age_us: int = 0
        self._failures = 0
        self._rests_until_ns = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """`work` is done beside whoever asks for it, whatever becomes of that one; see `drain`."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def drain(self) -> None:
        """What was begun beside calls is done. It is not waited for longer than the cache may take for it."""
        for task in list(self._tasks):
            await asyncio.wait({task}, timeout=DRAIN_S)
        for task in list(self._tasks):
            task.cancel()

    @property
    def ttl_s(self) -> int:
        """How long an answer is kept, in whole seconds."""
        return -(-self.knobs.ttl // NS_PER_S)

    def nonce(self) -> bytes:
        """One that nobody else has."""
        return self.environment.random.randbytes(NONCE_BYTES)

    async def look(self, keys: Keys) -> Looked:
        """What there is of a head and an answer, in one round trip to each server."""
        head, answer = await self._asked(self.cache.get(keys, within_s=self._within_s))
        self._heard(head, answer)
        kept = decode_answer(answer.value) if answer.hit else None
        return Looked(_head(head), head.cas, kept, answer.cas)

    async def head(self, key: bytes) -> tuple[Head | None, int]:
        """A head and the number of its state."""
        (found,) = await self._asked(self.cache.get([key], within_s=self._within_s))
        self._heard(found)
        return _head(found), found.cas

    async def put_head(self, key: bytes, head: Head, cas: int | None) -> bool:
        """Whether the head was put in the place of the state of that number; 0: of none; None: of any."""
        when: When = ALWAYS if cas is None else Unchanged(cas) if cas else ABSENT
        ttl_s = max(HEAD_MIN_S, self.ttl_s * HEAD_LIVES)
        return await self._changed(
            self.cache.set(key, encode_head(head), ttl_s=ttl_s, when=when, within_s=self._within_s)
        )

    async def put_answer(self, key: bytes, answer: Answer, cas: int) -> bool:
        """Whether the answer was put in the place of the state, or under the lease, of that number.

        Of one that the cache finds too large it has that there is more than is kept.
        """
        value = encode_answer(answer)
        try:
            return await self._changed(
                self.cache.set(key, value, ttl_s=self.ttl_s, when=Unchanged(cas), within_s=self._within_s)
            )
        except TooLarge:
            if answer.rows is None:
                raise self._failed() from None
            return await self.put_answer(key, Answer(answer.nonce, answer.asked_us), cas)

    async def drop(self, key: bytes, cas: int) -> None:
        """The value, or the lease, of that number is gone."""
        await self._changed(self.cache.delete(key, cas=cas, within_s=self._within_s))

    async def lease(self, key: bytes) -> Lease:
        """The right to fill an answer, or none."""
        lease = await self._asked(self.cache.lease(key, LEASE_S, within_s=self._within_s))
        self._heard(lease.found)
        return lease

    @property
    def _within_s(self) -> float:
        return self.knobs.within / NS_PER_S

    async def _changed(self, change: Coroutine[Any, Any, R]) -> R:
        done = await self._asked(change)
        self._heard()
        return done

    async def _asked(self, call: Coroutine[Any, Any, R]) -> R:
        if self._failures >= FAILURES_MAX:
            now_ns = self.environment.monotonic_ns()
            if now_ns < self._rests_until_ns:
                call.close()
                raise Away
            # One goes and sees; the others are told at once until it is back.
            self._rests_until_ns = now_ns + REST_NS
        try:
            return await call
        except TooLarge:
            raise
        except SoundstageError:
            raise self._failed() from None

    def _heard(self, *found: Found) -> None:
        if any(each.outcome is Outcome.UNAVAILABLE for each in found):
            raise self._failed()
        self._failures = 0

    def _failed(self) -> Away:
        self.counts["failures"] += 1
        self._failures += 1
        if self._failures >= FAILURES_MAX:
            self._rests_until_ns = self.environment.monotonic_ns() + REST_NS
        return Away()


def _head(found: Found) -> Head | None:
    return decode_head(found.value) if found.hit else None
