"""Writes that come while a commit is under way wait, and share the next one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, TypeAlias

from soundstage.core.completion import ended
from soundstage.core.environment import Environment
from soundstage.core.errors import Exhausted, SoundstageError
from soundstage.engines.search import refusals
from soundstage.engines.search.documents import Prepared
from soundstage.engines.search.port import Outcome

GROUP_MAX_BYTES = 16 << 20
WAITING_MAX_BYTES = 64 << 20
ACTION_BYTES = 200

Apply: TypeAlias = Callable[[Sequence[Sequence[Prepared]]], Awaitable[list[list[Outcome]]]]


class _Waiting(NamedTuple):
    actions: Sequence[Prepared]
    size: int
    deadline_ns: int | None
    outcome: asyncio.Future[list[Outcome]]


class Groups:
    """The writes of one index, one group after the other, in the order they came."""

    def __init__(self, apply: Apply, environment: Environment) -> None:
        self._apply = apply
        self._environment = environment
        self._waiting: list[_Waiting] = []
        self._waiting_bytes = 0
        self._running: asyncio.Task[None] | None = None
        self._stopped = False

    async def apply(self, actions: Sequence[Prepared], deadline_ns: int | None) -> list[Outcome]:
        """What became of the actions. Who is cancelled meanwhile does not learn it. Raises `Exhausted`."""
        if self._stopped:
            raise refusals.stopped()
        size = sum(len(action.body) + ACTION_BYTES for action in actions)
        if self._waiting_bytes + size > WAITING_MAX_BYTES:
            raise Exhausted(
                "the disk does not keep up with the writes",
                hint="write more slowly",
                retry_after_ms=200,
                outcome="not_applied",
            )
        outcome = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(actions, size, deadline_ns, outcome))
        self._waiting_bytes += size
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        return await outcome

    async def stop(self) -> None:
        """The group that was under way has ended; those that waited are refused."""
        self._stopped = True
        for each in self._taken(WAITING_MAX_BYTES):
            _fail(each, refusals.stopped())
        if self._running is not None:
            await ended(self._running)

    async def _run(self) -> None:
        try:
            while group := self._due(self._taken(GROUP_MAX_BYTES)):
                try:
                    outcomes = await self._apply([each.actions for each in group])
                except SoundstageError as error:
                    for each in group:
                        _fail(each, error)
                else:
                    for each, outcome in zip(group, outcomes, strict=True):
                        if not each.outcome.done():
                            each.outcome.set_result(outcome)
        finally:
            self._running = None

    def _taken(self, most: int) -> list[_Waiting]:
        """The first of those that wait, one at least."""
        taken: list[_Waiting] = []
        size = 0
        while self._waiting and (not taken or size + self._waiting[0].size <= most):
            taken.append(self._waiting.pop(0))
            size += taken[-1].size
        self._waiting_bytes -= size
        return taken

    def _due(self, group: list[_Waiting]) -> list[_Waiting]:
        """Those that somebody still waits for; whose deadline has passed is told so. Of the next group if none is."""
        while group:
            now_ns = self._environment.monotonic_ns()
            due = [each for each in group if not each.outcome.done()]
            late = [each for each in due if each.deadline_ns is not None and now_ns >= each.deadline_ns]
            for each in late:
                _fail(each, refusals.deadline_passed())
            if len(due) > len(late):
                return [each for each in due if not each.outcome.done()]
            group = self._taken(GROUP_MAX_BYTES)
        return []


def _fail(waiting: _Waiting, error: SoundstageError) -> None:
    if not waiting.outcome.done():
        waiting.outcome.set_exception(error)
