"""Random histories of one caller, and what an engine answers to them beside the specification."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from soundstage.core.environment import VirtualEnvironment
from soundstage.engines.search.memory import MemorySearch
from soundstage.engines.search.port import Absent, Action, Delete, IndexSpec, Put, Search, Unchanged
from soundstage.engines.search.queries import Range, Term
from soundstage.testing.search.bench import ids_of
from soundstage.testing.search.films import PLAIN

HISTORIES = 8
STEPS = 12
IDS = 4


class _Player:
    """Makes the calls of a history on one engine, with the revisions that this engine has given."""

    def __init__(self, search: Search, index: str, prefix: str) -> None:
        self._search = search
        self._index = index
        self._prefix = prefix
        self._seen: dict[str, str] = {}

    async def take(self, step: Sequence[tuple[str, int, int]]) -> list[Any]:
        """What came of a call of several actions, and what is there afterwards."""
        outcomes = await self._search.bulk(self._index, [self._action(*each) for each in step])
        for (_, key, _), outcome in zip(step, outcomes, strict=True):
            if outcome.revision:
                self._seen[self._id(key)] = outcome.revision
        found = await self._search.get(self._index, [self._id(key) for key in range(IDS)])
        kept = [each and (each.fields, each.revision == self._seen.get(each.id)) for each in found]
        return [[each.status for each in outcomes], kept]

    async def visible(self) -> set[str]:
        """What a search finds after a refresh."""
        await self._search.refresh(self._index)
        found = await ids_of(self._search, self._index, Range(field="year", at_least=0))
        return {id.removeprefix(self._prefix) for id in found if id.startswith(self._prefix)}

    async def clear(self, number: int) -> int:
        """How many documents were deleted for what they hold."""
        return await self._search.delete_where(self._index, Term("year", number))

    def _id(self, key: int) -> str:
        return f"{self._prefix}{key}"

    def _action(self, act: str, key: int, number: int) -> Action:
        id = self._id(key)
        unchanged = Unchanged(self._seen.get(id, "0"))
        match act:
            case "put":
                return Put(id, {"year": number})
            case "absent":
                return Put(id, {"year": number}, Absent())
            case "unchanged":
                return Put(id, {"year": number}, unchanged)
            case "delete that":
                return Delete(id, unchanged)
            case _:
                return Delete(id)


ACTS = ("put", "absent", "unchanged", "delete", "delete that")


async def compare_history(search: Search, index: str, seed: int) -> None:
    """Engine and specification answer every call of a history alike; the same history for the same seed."""
    chance = random.Random(seed)
    model = MemorySearch(VirtualEnvironment())
    await model.start()
    await model.create_index(IndexSpec(name=index, fields=PLAIN))
    prefix = f"{seed}:"
    players = [_Player(search, index, prefix), _Player(model, index, prefix)]
    for _ in range(STEPS):
        step = [(chance.choice(ACTS), chance.randrange(IDS), chance.randrange(3)) for _ in range(chance.randint(1, 4))]
        engine, specification = [await player.take(step) for player in players]
        assert (seed, step, engine) == (seed, step, specification)
    engine, specification = [await player.visible() for player in players]
    assert (seed, engine) == (seed, specification)
    number = chance.randrange(3)
    engine, specification = [await player.clear(number) for player in players]
    assert (seed, engine) == (seed, specification)
    for player in players:
        for each in range(3):
            await player.clear(each)
