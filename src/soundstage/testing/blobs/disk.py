"""A disk that refuses, or takes its time, in the middle of what an engine of this process does with it."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Literal, TypeVar

import pytest

T = TypeVar("T")

Step = Literal["open", "fsync", "rename", "unlink"]

STEPS: tuple[Step, ...] = ("open", "fsync", "rename", "unlink")

_HELD_MAX_S = 20.0


@contextmanager
def refusing(step: Step, nth: int, *, after: bool) -> Generator[None]:
    """Within the block the disk refuses `step` from its `nth` time on; what was asked is done when `after`."""
    times = 0
    real = getattr(os, step)

    def refuse(*args: Any, **kwargs: Any) -> Any:
        nonlocal times
        times += 1
        if times < nth:
            return real(*args, **kwargs)
        if after:
            done = real(*args, **kwargs)
            if step == "open":
                os.close(done)
        raise OSError(5, "Input/output error")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, step, refuse)
        yield


class Held:
    """Threads that wait behind a step of the disk, which is done, until they may go on."""

    def __init__(self) -> None:
        self.reached: asyncio.Event = asyncio.Event()
        self._go_on = threading.Event()
        self._loop = asyncio.get_running_loop()
        self._at_home = threading.get_ident()

    def release(self) -> None:
        """Whoever waits goes on, and nobody waits any more."""
        self._go_on.set()

    def wait(self) -> None:
        """Waits, unless everything else would have to wait too."""
        if threading.get_ident() != self._at_home:
            self._loop.call_soon_threadsafe(self.reached.set)
            self._go_on.wait(_HELD_MAX_S)


@contextmanager
def holding(step: Step, nth: int) -> Generator[Held]:
    """Within the block whoever has done `step`, from its `nth` time on, waits for `release`."""
    held, times = Held(), 0
    real = getattr(os, step)

    def hold(*args: Any, **kwargs: Any) -> Any:
        nonlocal times
        times += 1
        done = real(*args, **kwargs)
        if times >= nth:
            held.wait()
        return done

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, step, hold)
        try:
            yield held
        finally:
            held.release()


def diskless(suite: type[T]) -> type[T]:
    """A suite without what it does to this machine's disk, for engines that keep nothing there."""
    for name in dir(suite):
        if name.startswith("test_") and "disk" in name:
            setattr(suite, name, None)
    return suite
