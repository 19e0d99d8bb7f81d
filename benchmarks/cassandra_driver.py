"""The driver of Cassandra, used as its own documentation says: the next request goes out when one is answered."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any

QUORUM = 4
WITHIN_S = 120.0


def driven(session: Any, calls: Iterable[Sequence[Any]], at_once: int) -> float:
    """Seconds until all calls are answered, each of one request after the other, so many `at_once`."""
    return _Drive(session, calls, at_once).seconds()


class _Drive:
    def __init__(self, session: Any, calls: Iterable[Sequence[Any]], at_once: int) -> None:
        self._session = session
        self._calls = iter(calls)
        self._running = at_once
        self._callers = at_once
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._failed: list[BaseException] = []

    def seconds(self) -> float:
        began = time.perf_counter()
        for _ in range(self._callers):
            self._next()
        if not self._over.wait(WITHIN_S):
            raise TimeoutError("the driver did not answer within two minutes")
        if self._failed:
            raise self._failed[0]
        return time.perf_counter() - began

    def _next(self) -> None:
        """The next call begins; once there is none, this caller is done, and with the last one all."""
        with self._lock:
            requests = next(self._calls, None)
            self._running -= requests is None
            over = not self._running
        if requests is not None:
            self._send(requests)
        elif over:
            self._over.set()

    def _send(self, requests: Sequence[Any]) -> None:
        requests[0].consistency_level = QUORUM
        self._session.execute_async(requests[0]).add_callbacks(self._answered, self._fail, (requests[1:],))

    def _answered(self, _: Any, rest: Sequence[Any]) -> None:
        if rest:
            self._send(rest)
        else:
            self._next()

    def _fail(self, error: BaseException) -> None:
        self._failed.append(error)
        self._over.set()
