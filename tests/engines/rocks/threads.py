"""Threads and disks that do what a test says, when it says so."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from threading import Event
from typing import Any

from rocksdict import Rdict, WriteBatch

from soundstage.engines.rocks.disk import Disk, Stalled


class HeldExecutor(Executor):
    """Keeps what it is given until `run`."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[Future[Any], Callable[[], Any]]] = deque()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.waiting.append((future, lambda: fn(*args, **kwargs)))
        return future

    def run(self) -> None:
        """The first of what waits is done."""
        future, work = self.waiting.popleft()
        try:
            future.set_result(work())
        except Exception as error:  # noqa: BLE001 - a future carries whatever its work raised
            future.set_exception(error)


class ClosedExecutor(Executor):
    """Takes no work any more."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        raise RuntimeError("cannot schedule new futures after shutdown")


class FaultyDisk(Disk):
    """Stalls `stalls` writes, fails writes and flushes with the errors it is given, and has `free` bytes left.

    Flushes wait for `goes`, which is set: clear it only where they have a thread of their own.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stalls = 0
        self.goes = Event()
        self.goes.set()
        self.write_error: Exception | None = None
        self.flush_error: Exception | None = None
        self.free: int | OSError = 1 << 40
        self.writes = 0
        self.flushes = 0

    def write(self, db: Rdict, batch: WriteBatch) -> None:
        if self.stalls:
            self.stalls -= 1
            raise Stalled("Result incomplete: Write stall")
        if self.write_error is not None:
            raise self.write_error
        self.writes += 1
        super().write(db, batch)

    def flush(self, db: Rdict) -> None:
        self.goes.wait()
        if self.flush_error is not None:
            raise self.flush_error
        self.flushes += 1
        super().flush(db)

    def free_bytes(self, folder: str) -> int:
        if isinstance(self.free, OSError):
            raise self.free
        return self.free


NO_SPACE = Exception("IO error: No space left on device: While appending to file: 000004.log")
"""As the driver says it."""
