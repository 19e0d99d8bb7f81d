"""What a thread does for a call, and whether anybody still waits for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

from soundstage.core.errors import InvalidArgument, NotFound, Outcome, PreconditionFailed
from soundstage.engines.tables import refusals
from soundstage.engines.tables.iceberg.failures import Overtaken

_NOT_MADE = (InvalidArgument, NotFound, PreconditionFailed)
"""Said before a change is made."""


class Work:
    """What a thread does for a call. To call it raises where nobody waits for that any more."""

    def __init__(self, is_open: Callable[[], bool]) -> None:
        self._is_open = is_open
        self._lock = threading.Lock()
        self._left = False
        self._commits = False

    def __call__(self) -> None:
        if self.is_left:
            raise refusals.stopped()

    @property
    def is_left(self) -> bool:
        """Whether the caller has gone, or the engine been stopped."""
        return self._left or not self._is_open()

    def commits(self) -> None:
        """Raises as to call it does; from here on the change may be made, whatever becomes of the caller."""
        with self._lock:
            self()
            self._commits = True

    @property
    def has_committed(self) -> bool:
        """Whether the change may be made by now."""
        return self._commits

    def leave(self) -> Outcome:
        """Nobody waits any more; what there is to say of the change."""
        with self._lock:
            self._left = True
            return "unknown" if self._commits else "not_applied"


class Tries:
    """The tries of one change, one after another."""

    def __init__(self) -> None:
        self._last: Work | None = None

    @contextmanager
    def by(self, work: Work) -> Generator[None]:
        """Within the block that work tries."""
        self._last = work
        try:
            yield
        except Overtaken:
            self._last = None
            raise

    def were_in_vain(self, error: BaseException) -> bool:
        """Whether the change is surely not made, nor will be, where `error` has ended them."""
        if isinstance(error, asyncio.CancelledError):
            return self._last is None or not self._last.has_committed
        return isinstance(error, (Overtaken, *_NOT_MADE)) or getattr(error, "outcome", None) == "not_applied"


class _Here(threading.local):
    work: Work | None = None


_here = _Here()


def work_here() -> Work | None:
    """What this thread does."""
    return _here.work


@contextmanager
def doing(work: Work) -> Generator[None]:
    """Within the block this thread does that."""
    _here.work = work
    try:
        yield
    finally:
        _here.work = None
