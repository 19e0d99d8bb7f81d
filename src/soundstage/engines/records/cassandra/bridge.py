"""Answers of the driver, which come in its own thread, brought to the event loop: one wake-up for many."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, TypeAlias

from soundstage.engines.records import refusals
from soundstage.engines.records.cassandra.failures import Failed

Answer: TypeAlias = "asyncio.Future[Any]"


class Bridge:
    """Between one event loop and the driver's thread. Waiting for an answer needs no thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._arrived: deque[tuple[Answer, Any, Exception | None]] = deque()
        self._waiting: set[Answer] = set()
        self._woken = False
        self._closed = False

    def answer(self, request: Any) -> Answer:
        """What the driver will answer to `request`: rows or None; `Failed` with its exception."""
        answer: Answer = self._loop.create_future()
        if self._closed:
            answer.set_exception(refusals.stopped())
            return answer
        self._waiting.add(answer)
        request.add_callbacks(self._answered, self._failed, callback_args=(answer,), errback_args=(answer,))
        return answer

    def close(self) -> None:
        """Whoever waits is told that the engine is stopped, whatever becomes of it; what arrives later is dropped."""
        self._closed = True
        for answer in self._waiting:
            if not answer.done():
                stopped = refusals.stopped()
                stopped.outcome = "unknown"
                answer.set_exception(stopped)
        self._waiting.clear()

    def _answered(self, rows: Any, answer: Answer) -> None:
        self._arrived.append((answer, rows, None))
        self._wake()

    def _failed(self, error: Exception, answer: Answer) -> None:
        self._arrived.append((answer, None, error))
        self._wake()

    def _wake(self) -> None:
        if self._woken or self._closed:
            return
        self._woken = True
        try:
            self._loop.call_soon_threadsafe(self._deliver)
        except RuntimeError:
            # The loop has gone, and with it everybody who waited.
            self._closed = True

    def _deliver(self) -> None:
        # Before the first is taken: what arrives from here on wakes the loop again.
        self._woken = False
        while self._arrived:
            answer, rows, error = self._arrived.popleft()
            self._waiting.discard(answer)
            if answer.done():
                continue
            if error is None:
                answer.set_result(rows)
            else:
                answer.set_exception(Failed(error))
