"""What arrives in the driver's threads, brought to the event loop: one wake-up for many."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from soundstage.engines.log import refusals

END_S = 20.0
"""So long the end of an engine waits for a thread of its own: where a broker hangs the driver may, too."""


class Bridge:
    """Between one event loop and the driver's threads. Waiting for an answer needs no thread of its own."""

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self._arrived: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._waiting: set[asyncio.Future[Any]] = set()
        self._woken = False
        self._closed = False

    def tell(self, heard: Callable[..., None], *values: Any) -> None:
        """`heard` is called with `values` in the event loop, soon, in the order of these calls. From any thread."""
        self._arrived.append((heard, values))
        if self._woken or self._closed:
            return
        self._woken = True
        try:
            self.loop.call_soon_threadsafe(self._deliver)
        except RuntimeError:
            # The loop has gone, and with it everybody who waited.
            self._closed = True

    def promise(self) -> asyncio.Future[Any]:
        """A future that ends with `Unavailable` when the engine stops."""
        promised: asyncio.Future[Any] = self.loop.create_future()
        if self._closed:
            promised.set_exception(refusals.stopped())
            return promised
        self._waiting.add(promised)
        promised.add_done_callback(self._kept)
        return promised

    def answer(self, asked: Future[Any]) -> asyncio.Future[Any]:
        """What the driver will have answered."""
        promised = self.promise()
        if not promised.done():
            asked.add_done_callback(lambda done: self.tell(keep, promised, done))
        return promised

    def check_open(self) -> None:
        """Raises `Unavailable` once the engine stops."""
        if self._closed:
            raise refusals.stopped()

    async def pause(self, seconds: float) -> None:
        """So much real time has passed: brokers have no other."""
        over: asyncio.Future[None] = self.loop.create_future()
        timer = self.loop.call_later(seconds, _end, over)
        try:
            await over
        finally:
            timer.cancel()

    async def ended(self, thread: threading.Thread, within_s: float | None = None) -> None:
        """`thread` has ended, or is left to itself after so long: `END_S`, if not said."""
        await self.loop.run_in_executor(None, thread.join, END_S if within_s is None else within_s)

    async def finish(self, work: Callable[[], None], name: str) -> None:
        """`work`, which raises nothing and may hang in the driver, is done in a thread called `name`; see `ended`."""
        thread = threading.Thread(target=work, name=name, daemon=True)
        thread.start()
        await self.ended(thread)

    def close(self) -> None:
        """Whoever waits is told that the engine is stopped, whatever becomes of it; what arrives later is dropped."""
        self._closed = True
        for promised in list(self._waiting):
            if not promised.done():
                stopped = refusals.stopped()
                stopped.outcome = "unknown"
                promised.set_exception(stopped)
        self._arrived.clear()

    def _kept(self, promised: asyncio.Future[Any]) -> None:
        self._waiting.discard(promised)
        if not promised.cancelled():
            # Who was to hear of it may have left; asyncio would complain that nobody looked.
            promised.exception()

    def _deliver(self) -> None:
        # Before the first is taken: what arrives from here on wakes the loop again.
        self._woken = False
        while self._arrived:
            heard, values = self._arrived.popleft()
            heard(*values)


def _end(pause: asyncio.Future[None]) -> None:
    if not pause.done():
        pause.set_result(None)


def keep(promised: asyncio.Future[Any], done: Future[Any]) -> None:
    """`promised` has what `done` came to, if anybody still waits for it."""
    if promised.done() or done.cancelled():
        return
    error = done.exception()
    if error is None:
        promised.set_result(done.result())
    else:
        promised.set_exception(error)
