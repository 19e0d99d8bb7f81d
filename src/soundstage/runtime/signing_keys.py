"""The keys that sign page tokens, shared by all processes of a stage and replaced as they age.

Data on disk: table `system/keys`, partition `page-tokens`, one `Stored`. A new key is announced before it
is used: every process must be able to open what any other seals.
"""

from __future__ import annotations

import msgspec

from soundstage.core.environment import Environment
from soundstage.core.errors import PreconditionFailed
from soundstage.core.pages import KeyRing, PageTokens
from soundstage.runtime.system_table import Entry, SystemTable

_PARTITION = "page-tokens"
_KEY = "ring"

ANNOUNCED_US = 60_000_000
"""From being stored to being used: many poll intervals."""


class Stored(msgspec.Struct):
    """`ring` as in use since `since_us`; `next` is the ring to use once `ANNOUNCED_US` have passed."""

    ring: KeyRing
    since_us: int
    next: KeyRing | None = None
    next_since_us: int = 0
    schema: int = 1


class SigningKeys:
    """Keeps `page_tokens.keys` as stored. `load` once at start, then `turn` now and then."""

    def __init__(self, table: SystemTable, environment: Environment, rotation_us: int) -> None:
        self._table = table
        self._environment = environment
        self._rotation_us = rotation_us
        self._page_tokens: PageTokens | None = None

    async def load(self) -> PageTokens:
        """Page tokens by the stored keys, which the first process of a stage makes."""
        while True:
            entry = await self._table.get(_PARTITION, _KEY)
            if entry is not None:
                self._page_tokens = PageTokens(_decoded(entry).ring, self._environment)
                self._adopt(_decoded(entry))
                return self._page_tokens
            await self._store(Stored(KeyRing.generate(self._environment), self._environment.now_us()), None)

    async def turn(self) -> None:
        """Adopt what is stored, and announce or put to use the next key when it is time."""
        entry = await self._table.get(_PARTITION, _KEY)
        if entry is None:
            return
        stored = _decoded(entry)
        self._adopt(stored)
        now_us = self._environment.now_us()
        if stored.next is None and now_us - stored.since_us >= self._rotation_us:
            await self._store(
                Stored(stored.ring, stored.since_us, stored.ring.rotate(self._environment), now_us), entry
            )
        elif stored.next is not None and now_us - stored.next_since_us >= ANNOUNCED_US:
            await self._store(Stored(stored.next, now_us), entry)

    def _adopt(self, stored: Stored) -> None:
        if self._page_tokens is None:
            return
        known = stored.ring.keys
        extra = () if stored.next is None else tuple(key for key in stored.next.keys if key not in known)
        self._page_tokens.keys = KeyRing(known + extra)

    async def _store(self, stored: Stored, earlier: Entry | None) -> None:
        condition = None if earlier is None else earlier.stamp
        try:
            await self._table.write(_PARTITION, {_KEY: msgspec.msgpack.encode(stored)}, {_KEY: condition})
        except PreconditionFailed:
            return  # Another process was first; the next turn adopts its ring.
        self._adopt(stored)


def _decoded(entry: Entry) -> Stored:
    return msgspec.msgpack.decode(entry.value, type=Stored)
