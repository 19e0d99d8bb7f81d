"""An event loop on which time is a number.

Nothing waits: when no callback is ready, the clock jumps to the next timer. Executors run inline. The order
of callbacks that are ready together is drawn from a seed, so that one seed is one history and another seed
is another. A loop on which nothing can ever happen again raises instead of hanging.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, TypeVar, cast

T = TypeVar("T")


class Deadlock(RuntimeError):
    """No callback is ready and no timer is set: whoever still waits would wait forever."""


class SimulationLoop(asyncio.SelectorEventLoop):
    """A deterministic loop in virtual time; for one thread, without sockets or child processes."""

    def __init__(self, seed: int) -> None:
        self.virtual_s: float = 0.0
        self.order: Random = Random(seed)
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        """Seconds of virtual time since the loop was made."""
        return self.virtual_s

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        """`func` has run when this returns."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - a future carries whatever its function raised
            future.set_exception(error)
        return future

    def shuffle_ready(self) -> None:
        """Reorder what is ready; called between two rounds."""
        ready = cast("Any", self)._ready
        if len(ready) > 1:
            handles = list(ready)
            self.order.shuffle(handles)
            ready.clear()
            ready.extend(handles)


class _JumpingSelector(selectors.DefaultSelector):
    """Stands where the loop waits for sockets, and moves its clock instead."""

    def __init__(self, loop: SimulationLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Deadlock("every task waits for another one")
        if timeout > 0:
            self._loop.virtual_s += timeout
        self._loop.shuffle_ready()
        return []


def run(main: Callable[[], Coroutine[Any, Any, T]], seed: int) -> T:
    """The result of `main()` run to its end on a fresh loop; tasks it left behind are cancelled."""
    loop = SimulationLoop(seed)

    async def started() -> T:
        return await main()

    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(started())
    finally:
        try:
            _cancel_all(loop)
        finally:
            asyncio.set_event_loop(None)
            loop.close()


def _cancel_all(loop: SimulationLoop) -> None:
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_asyncgens())
