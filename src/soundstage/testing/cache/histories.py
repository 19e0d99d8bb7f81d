"""Random histories of one caller, and what an engine answers to them, in a form that two engines can be compared by."""

from __future__ import annotations

import random
from typing import Any, Literal, NamedTuple, TypeAlias

from soundstage.core.errors import SoundstageError
from soundstage.engines.cache.port import ABSENT, ALWAYS, Cache, Found, Newer, Unchanged, When

Act: TypeAlias = Literal["get", "set", "absent", "unchanged", "newer", "delete", "delete that", "touch", "add", "lease"]
ACTS: tuple[Act, ...] = (
    "get",
    "set",
    "absent",
    "unchanged",
    "newer",
    "delete",
    "delete that",
    "touch",
    "add",
    "lease",
)
KEYS = 2
STEPS = 60
NEVER = 1 << 62
"""A number that no value has."""


class Step(NamedTuple):
    """One call: on one of a few keys, with a number that makes its value, version or delta."""

    act: Act
    key: int
    number: int


def history(seed: int) -> list[Step]:
    """Calls on few keys, so that they meet; the same for the same seed."""
    chance = random.Random(seed)
    return [Step(chance.choice(ACTS), chance.randrange(KEYS), chance.randint(-4, 6)) for _ in range(STEPS)]


async def play(cache: Cache, history: list[Step], prefix: bytes) -> list[object]:
    """What the engine answered to each call, its numbers of changes replaced by the order they were first seen in."""
    seen: dict[bytes, int] = {}
    answers: list[object] = []
    for step in history:
        key = b"%s:%d" % (prefix, step.key)
        try:
            answers.append(await _answer(cache, step, key, seen))
        except SoundstageError as error:
            answers.append(type(error).__name__)
    return answers


async def _answer(cache: Cache, step: Step, key: bytes, seen: dict[bytes, int]) -> Any:
    """The answer; `seen` has the number that the caller last saw of each key, of a value or of a lease it won."""
    value = b"v%d" % step.number
    match step.act:
        case "get":
            (found,) = await cache.get([key])
            return _noted(found, key, seen)
        case "lease":
            lease = await cache.lease(key, 60)
            if lease.won:
                seen[key] = lease.cas
            return lease.won, _noted(lease.found, key, seen)
        case "delete":
            return await cache.delete(key)
        case "delete that":
            return await cache.delete(key, cas=seen.get(key, NEVER))
        case "touch":
            return await cache.touch(key, 600)
        case "add":
            return await cache.add(key, step.number)
        case _:
            return await cache.set(key, value, when=_condition(step, seen.get(key, NEVER)))


def _condition(step: Step, cas: int) -> When:
    match step.act:
        case "absent":
            return ABSENT
        case "unchanged":
            return Unchanged(cas)
        case "newer":
            return Newer(abs(step.number))
        case _:
            return ALWAYS


def _noted(found: Found, key: bytes, seen: dict[bytes, int]) -> tuple[object, ...]:
    if found.hit:
        changed = seen.get(key) != found.cas
        seen[key] = found.cas
        return found.value, found.version, changed
    return (found.outcome,)
