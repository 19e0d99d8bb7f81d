"""Caches with one mistake each, and what of the suite sees it: each goes through it in a run of pytest of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.testing.examination import Examination

from soundstage.core.environment import VirtualEnvironment
from soundstage.engines.cache.memory import MemoryCache
from soundstage.engines.cache.port import ABSENT, ALWAYS, MISS, Absent, Found, Lease, Newer, Outcome, Unchanged, When

SUBJECT = Path(__file__).with_name("subject.py")


class Forgetful(MemoryCache):
    """Stores nothing under keys that are not plain."""

    async def set(self, key: bytes, value: bytes, **more: Any) -> bool:
        return await super().set(key, value, **more) if key.isascii() and b"\0" not in key else True


class Cutting(MemoryCache):
    """Takes the end off values that end with spaces."""

    async def get(self, keys: Sequence[bytes], **more: Any) -> list[Found]:
        return [found._replace(value=found.value.rstrip(b" ")) for found in await super().get(keys, **more)]


class Truncating(MemoryCache):
    """Knows the first 250 bytes of a key."""

    async def get(self, keys: Sequence[bytes], **more: Any) -> list[Found]:
        return await super().get([key[:250] for key in keys], **more)

    async def set(self, key: bytes, value: bytes, **more: Any) -> bool:
        return await super().set(key[:250], value, **more)


class Sorting(MemoryCache):
    """Answers in the order of keys."""

    async def get(self, keys: Sequence[bytes], **more: Any) -> list[Found]:
        return await super().get(sorted(keys), **more)


class Overwriting(MemoryCache):
    """Sets whatever the condition."""

    async def set(self, key: bytes, value: bytes, *, when: When = ALWAYS, **more: Any) -> bool:
        return await super().set(key, value, when=ALWAYS if when == ABSENT else when, **more)


class Careless(MemoryCache):
    """Sets what was changed meanwhile, if there is something."""

    async def set(self, key: bytes, value: bytes, *, when: When = ALWAYS, **more: Any) -> bool:
        if isinstance(when, Unchanged):
            (found,) = await self.get([key])
            when = Unchanged(found.cas) if found.hit else when
        return await super().set(key, value, when=when, **more)


class Reviving(MemoryCache):
    """Sets what is gone, though only that very state was to be changed."""

    async def set(self, key: bytes, value: bytes, *, when: When = ALWAYS, **more: Any) -> bool:
        if isinstance(when, Unchanged) and self._live(key) is None:
            when = ALWAYS
        return await super().set(key, value, when=when, **more)


class Equal(MemoryCache):
    """Takes an equal version for a newer one."""

    async def set(self, key: bytes, value: bytes, *, when: When = ALWAYS, **more: Any) -> bool:
        if isinstance(when, Newer):
            (found,) = await self.get([key])
            if found.hit and found.version == when.version:
                await self.delete(key)
        return await super().set(key, value, when=when, **more)


class Unversioned(MemoryCache):
    """Does not tell versions."""

    async def get(self, keys: Sequence[bytes], **more: Any) -> list[Found]:
        return [found._replace(version=0) for found in await super().get(keys, **more)]


class Numberless(MemoryCache):
    """Gives every value the same number."""

    def _next(self) -> int:
        return 1


class Undying(MemoryCache):
    """Keeps what has expired."""

    def _expiry(self, ttl_s: int) -> int:
        return 0


class Untouched(MemoryCache):
    """Says that it touched, and did not."""

    async def touch(self, key: bytes, ttl_s: int, **more: Any) -> bool:
        (found,) = await self.get([key])
        return await super().touch(key, ttl_s, **more) and found.hit and self._age(key)

    def _age(self, key: bytes) -> bool:
        entry = self._live(key)
        if entry is not None:
            self._put(key, entry._replace(expires_ns=1_000_000_000))
        return True


class Negative(MemoryCache):
    """Begins counters with what is taken from them."""

    async def add(self, key: bytes, delta: int, **more: Any) -> int:
        return await super().add(key, abs(delta) if self._live(key) is None else delta, **more)


class Counting(MemoryCache):
    """Counts on values that have digits."""

    async def add(self, key: bytes, delta: int, **more: Any) -> int:
        entry = self._live(key)
        if entry is not None and entry.kind == "value" and entry.value.isdigit():
            self._put(key, entry._replace(kind="counter"))
        return await super().add(key, delta, **more)


class Generous(MemoryCache):
    """Gives a lease to everybody who misses."""

    async def lease(self, key: bytes, ttl_s: int, **more: Any) -> Lease:
        lease = await super().lease(key, ttl_s, **more)
        entry = self._live(key)
        return Lease(MISS, won=True, cas=entry.cas) if entry is not None and entry.kind == "lease" else lease


class Showing(MemoryCache):
    """Shows a lease as an empty value."""

    async def get(self, keys: Sequence[bytes], **more: Any) -> list[Found]:
        found = await super().get(keys, **more)
        held = [self._live(key) for key in keys]
        return [
            Found(Outcome.HIT, b"", entry.cas) if entry is not None and entry.kind == "lease" else each
            for entry, each in zip(held, found, strict=True)
        ]


class Clinging(MemoryCache):
    """Leaves a lease when the key is deleted."""

    async def delete(self, key: bytes, **more: Any) -> bool:
        entry = self._live(key)
        return False if entry is not None and entry.kind == "lease" else await super().delete(key, **more)


class Blunt(MemoryCache):
    """Deletes whatever state there is."""

    async def delete(self, key: bytes, *, cas: int | None = None, **more: Any) -> bool:
        return await super().delete(key, **more)


class Silent(MemoryCache):
    """Counts nothing."""

    def _counted(self, found: Found) -> Found:
        return found


class Unbounded(MemoryCache):
    """Answers after it was stopped."""

    def _check_open(self) -> None:
        pass


class Wild(MemoryCache):
    """Takes any condition that speaks of absence for none."""

    async def set(self, key: bytes, value: bytes, *, when: When = ALWAYS, **more: Any) -> bool:
        entry = self._live(key)
        leased = entry is not None and entry.kind == "lease"
        return await super().set(key, value, when=ALWAYS if leased and isinstance(when, Absent) else when, **more)


class Mutant(NamedTuple):
    """A mistake, and a word in the name of the tests that must see it."""

    engine: type[MemoryCache]
    seen_by: str


MUTANTS = (
    Mutant(Forgetful, "any_bytes"),
    Mutant(Cutting, "value_may_be_any_bytes"),
    Mutant(Truncating, "alike"),
    Mutant(Sorting, "asked_for_twice"),
    Mutant(Overwriting, "absent"),
    Mutant(Careless, "unchanged"),
    Mutant(Reviving, "unchanged"),
    Mutant(Equal, "newer"),
    Mutant(Unversioned, "version"),
    Mutant(Numberless, "number"),
    Mutant(Undying, "time_to_live"),
    Mutant(Untouched, "touched"),
    Mutant(Negative, "below_nothing"),
    Mutant(Counting, "no_counter"),
    Mutant(Generous, "lease"),
    Mutant(Showing, "leased_is_a_miss"),
    Mutant(Clinging, "lease"),
    Mutant(Blunt, "delete_of_one_state"),
    Mutant(Silent, "counted_by"),
    Mutant(Unbounded, "stopped"),
    Mutant(Wild, "leased_is_a_miss"),
)

HISTORY = (Overwriting, Careless, Reviving, Equal, Unversioned, Numberless, Negative, Generous, Clinging, Blunt, Wild)
"""The mistakes that random histories must see by themselves."""


class Run(Examination):
    """A run of the suite over one engine."""

    def __init__(self, engine: Callable[[VirtualEnvironment], MemoryCache]) -> None:
        super().__init__()
        self._engine = engine

    @pytest.fixture
    def made(self, environment: VirtualEnvironment) -> MemoryCache:
        return self._engine(environment)


def failures(engine: type[MemoryCache], part: str) -> Run:
    """The tests whose names have `part`, run over the engine."""
    run = Run(engine)
    run.run(SUBJECT, "-k", part)
    return run
