"""The search engine of a run: one in memory for all processes of the host, with faults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from soundstage.core.environment import Environment
from soundstage.core.errors import SoundstageError, Unavailable
from soundstage.core.time import NS_PER_S
from soundstage.engines.search.memory import MemorySearch
from soundstage.engines.search.port import Action, Document, IndexInfo, IndexSpec, Outcome
from soundstage.testing.simulation.faults import HEALTHY, FaultRates
from soundstage.testing.simulation.turn import dice, strikes

T = TypeVar("T")

Call = Callable[[], Awaitable[Any]]

LATE_SHARE = 0.1
"""Of changes, while anything fails."""

LATE_MAX_S = 120.0
"""How long after its answer was given up a change may still be made."""


class LastingSearch(MemorySearch):
    """Keeps what it has when a process ends. Its calls meet the faults of `rates`, and `counts` tells how often.

    A change is lost before it is made or after, or it is made much later, when nobody waits for it any more.
    """

    def __init__(self, environment: Environment, rates: Callable[[], FaultRates]) -> None:
        super().__init__(environment)
        self.counts: Counter[str] = Counter()
        self._clock = environment
        self._rates = rates
        self._left: list[tuple[int, Call]] = []

    async def stop(self) -> None:
        """The next process finds it open."""

    async def catch_up(self, by_ns: int | None = None) -> None:
        """What is to be made late, up to that time, is made; None: all of it."""
        due = [each for each in self._left if by_ns is None or each[0] <= by_ns]
        self._left = [each for each in self._left if each not in due]
        for _, change in due:
            with suppress(SoundstageError):
                await change()

    async def create_index(self, spec: IndexSpec) -> None:
        await self._change(lambda: MemorySearch.create_index(self, spec))

    async def drop_index(self, name: str) -> None:
        await self._change(lambda: MemorySearch.drop_index(self, name))

    async def point(self, alias: str, index: str | None) -> None:
        await self._change(lambda: MemorySearch.point(self, alias, index))

    async def bulk(self, index: str, actions: Sequence[Action], *, deadline_ns: int | None = None) -> list[Outcome]:
        return await self._change(lambda: MemorySearch.bulk(self, index, actions))

    async def indexes(self) -> list[IndexInfo]:
        await self._ask()
        return await super().indexes()

    async def get(self, index: str, ids: Sequence[str], *, deadline_ns: int | None = None) -> list[Document | None]:
        await self._ask()
        return await super().get(index, ids, deadline_ns=deadline_ns)

    async def _ask(self) -> None:
        await self._clock.sleep(0)
        await self.catch_up(self._clock.monotonic_ns())
        if strikes(self._rates().lost_before):
            self.counts["search_lost_before"] += 1
            raise Unavailable("the question was lost on its way", outcome="not_applied")

    async def _change(self, change: Callable[[], Awaitable[T]]) -> T:
        await self._ask()
        if self._rates() is not HEALTHY and strikes(LATE_SHARE):
            self.counts["search_late"] += 1
            due_ns = self._clock.monotonic_ns() + round(dice().uniform(0, LATE_MAX_S) * NS_PER_S)
            self._left.append((due_ns, change))
            raise Unavailable("no answer came in time", outcome="unknown")
        answer = await change()
        if strikes(self._rates().lost_after):
            self.counts["search_lost_after"] += 1
            raise Unavailable("the answer was lost on its way", outcome="unknown")
        return answer
