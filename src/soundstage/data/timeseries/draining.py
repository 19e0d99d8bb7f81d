"""Empties the buffers of namespaces into their stores, at the pace of each, and at once when the process stops."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from math import inf

from soundstage.core.environment import Environment
from soundstage.core.errors import DeadlineExceeded, Exhausted, NotFound, SoundstageError, Unavailable
from soundstage.core.time import NS_PER_S
from soundstage.data.timeseries.buffer import Buffer, Queued
from soundstage.data.timeseries.namespace import ServedNamespace
from soundstage.data.timeseries.writes import store

log: logging.Logger = logging.getLogger("soundstage.timeseries")

WRITE_S = 30.0
"""What one try of one batch may take."""

PAUSE_S = 0.1
PAUSE_MAX_S = 5.0

STOP_S = 10.0
"""What stopping waits for a store, for each namespace."""

STOP_TRIES = 5
"""One after the other, ever later: a store that is well may have no room for a moment."""

PASSING = (Unavailable, DeadlineExceeded, Exhausted)
"""After which a batch is tried again, whether some of it was stored or not: it is the same events."""


class Drains:
    """The tasks that empty buffers, one for each namespace that has something to store. `serve` finds it by name."""

    def __init__(self, serve: Callable[[str], ServedNamespace], environment: Environment) -> None:
        self._serve = serve
        self._environment = environment
        self._tasks: dict[Buffer, tuple[asyncio.Task[None], str]] = {}

    def wake(self, served: ServedNamespace) -> None:
        """What the namespace's buffer has is going to be stored, a turn from now or sooner."""
        served.buffer.turn_ns = int(served.config.queue_buffering.coalesce)
        if served.buffer not in self._tasks:
            task = asyncio.ensure_future(self._run(served.name, served.buffer))
            self._tasks[served.buffer] = task, served.name

    async def stop(self) -> None:
        """Nothing waits any more: it is stored, or dropped where a store would not take it."""
        tasks = dict(self._tasks)
        for task, _ in tasks.values():
            task.cancel()
        await asyncio.gather(*(task for task, _ in tasks.values()), return_exceptions=True)
        await asyncio.gather(*(self._finish(name, buffer) for buffer, (_, name) in tasks.items()))

    async def _run(self, name: str, buffer: Buffer) -> None:
        try:
            await self._drain(name, buffer)
        finally:
            del self._tasks[buffer]

    async def _drain(self, name: str, buffer: Buffer) -> None:
        """Turn by turn, until nothing is left."""
        turn_ns, failures = self._environment.monotonic_ns(), 0
        while buffer.is_waiting:
            pause_s = min(PAUSE_MAX_S, PAUSE_S * 2**failures) if failures else 0.0
            turn_ns += max(buffer.turn_ns, round(pause_s * NS_PER_S))
            await self._environment.sleep(max(0.0, (turn_ns - self._environment.monotonic_ns()) / NS_PER_S))
            turn_ns = max(turn_ns, self._environment.monotonic_ns())
            failures = 0 if await self._turn(name, buffer) else min(failures + 1, 16)

    async def _turn(self, name: str, buffer: Buffer) -> bool:
        """As much as the pace allows was written; False: a store failed."""
        try:
            served = self._served(name, buffer)
        except SoundstageError:
            return False
        if served is None:
            return True
        knobs, now_ns = served.config.queue_buffering, self._environment.monotonic_ns()
        per_second = buffer.pace.per_second(knobs.drain_per_second, now_ns)
        left = buffer.pace.pay(per_second, knobs.coalesce / NS_PER_S, now_ns)
        while left >= 1 and (batch := buffer.take(left)):
            left -= len(batch)
            buffer.pace.spend(len(batch))
            deadline_ns = self._environment.monotonic_ns() + round(WRITE_S * NS_PER_S)
            if not await self._store(served, buffer, batch, deadline_ns):
                return False
        return True

    async def _finish(self, name: str, buffer: Buffer) -> None:
        """Nothing is left, whatever the pace."""
        deadline_ns, failures = self._environment.monotonic_ns() + round(STOP_S * NS_PER_S), 0
        while buffer.is_waiting and failures < STOP_TRIES and self._environment.monotonic_ns() < deadline_ns:
            try:
                served = self._served(name, buffer)
            except SoundstageError:
                break
            if served is None or await self._store(served, buffer, buffer.take(inf), deadline_ns):
                failures = 0
                continue
            await self._environment.sleep(PAUSE_S * 2**failures)
            failures += 1
        _drop(name, buffer, "the process stops")

    async def _store(self, served: ServedNamespace, buffer: Buffer, batch: Sequence[Queued], deadline_ns: int) -> bool:
        """Whether all of the batch is stored that ever can be; else some of it has been put back."""
        try:
            await store(served, [each.record for each in batch], deadline_ns)
        except asyncio.CancelledError:
            buffer.put_back(batch)
            raise
        except Exception as error:
            if _passes(error):
                buffer.put_back(batch)
                reason = {"namespace": served.name, "reason": str(error)}
                log.warning("queued events wait for their store", extra=reason)
                return False
            if len(batch) == 1:
                buffer.done(batch, stored=False)
                log.exception("an event was dropped", extra={"namespace": served.name, "reason": str(error)})
                return True
            return await self._store_by_halves(served, buffer, batch, deadline_ns)
        buffer.done(batch, stored=True)
        return True

    async def _store_by_halves(
        self, served: ServedNamespace, buffer: Buffer, batch: Sequence[Queued], deadline_ns: int
    ) -> bool:
        """`_store`, until what cannot be stored is alone."""
        half = len(batch) // 2
        try:
            stored = await self._store(served, buffer, batch[:half], deadline_ns)
        except asyncio.CancelledError:
            buffer.put_back(batch[half:])
            raise
        return await self._store(served, buffer, batch[half:], deadline_ns) and stored

    def _served(self, name: str, buffer: Buffer) -> ServedNamespace | None:
        """The namespace that the buffer is of; None: it is gone, and what was in the buffer with it."""
        try:
            served = self._serve(name)
        except NotFound:
            served = None
        if served is not None and served.buffer is buffer:
            return served
        _drop(name, buffer, "the namespace was deleted")
        return None


def _passes(error: Exception) -> bool:
    """Whether the same batch may be stored later: not where it asks for more slices than there may be."""
    return isinstance(error, PASSING) and (not isinstance(error, Exhausted) or error.retryable)


def _drop(name: str, buffer: Buffer, reason: str) -> None:
    """What is left will never be stored."""
    while batch := buffer.take(inf):
        buffer.done(batch, stored=False)
        log.warning("events were dropped", extra={"namespace": name, "events": len(batch), "reason": reason})
