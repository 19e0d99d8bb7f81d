"""Steps for many namespaces, a few side by side: a large slice of one holds up no other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from soundstage.core.environment import Environment


class StepsInTurn:
    """Each name has its turn again and again, and never two steps at once; no more than `most` are under way.

    `step` says whether another is due at once.
    """

    def __init__(
        self,
        names: Callable[[], Iterable[str]],
        step: Callable[[str], Coroutine[Any, Any, bool]],
        most: int,
        pause_s: float,
        environment: Environment,
    ) -> None:
        self._names = names
        self._step = step
        self._most = most
        self._pause_s = pause_s
        self._environment = environment
        self._waiting: dict[str, None] = {}
        self._under_way: dict[str, asyncio.Task[bool]] = {}

    async def run(self) -> None:
        """Ends by being called off, or with what a step raised; no step is under way then."""
        pause: asyncio.Future[None] | None = None
        try:
            while True:
                if pause is None or pause.done():
                    self._waiting.update({name: None for name in self._names() if name not in self._under_way})
                    pause = asyncio.ensure_future(self._environment.sleep(self._pause_s))
                while self._waiting and len(self._under_way) < self._most:
                    name = next(iter(self._waiting))
                    del self._waiting[name]
                    self._under_way[name] = asyncio.ensure_future(self._step(name))
                await asyncio.wait([pause, *self._under_way.values()], return_when=asyncio.FIRST_COMPLETED)
                self._settle()
        finally:
            left: list[asyncio.Future[Any]] = [*self._under_way.values(), *([] if pause is None else [pause])]
            self._under_way.clear()
            for each in left:
                each.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    def _settle(self) -> None:
        for name, task in list(self._under_way.items()):
            if task.done():
                del self._under_way[name]
                if task.result():
                    self._waiting[name] = None
