"""A test fails when one callback of its event loops used the processor for more than 50 ms.

What is measured is the processor's time of the loop's thread, so that a busy machine makes no test fail by having
others run in between. Time in the garbage collector is taken off: it depends on what earlier tests left. So is a
callback during which a module was loaded, which happens once in a process. Asyncio's own debug mode measures the
wall clock and makes every task remember where it was made, which costs many times more.

A test whose own body is at work for longer, as one that fills a store without a pause, is marked `holds_the_loop`.
Tests that are marked slow, and those below `LONG_BODIES`, are told of at the end of the run and do not fail: they hold
engines and whole stages to thousands of items in one go.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
from collections.abc import Generator
from typing import Any

import pytest

LIMIT_MS = 50.0

MARGIN = 5.0
"""So much the processor's time of the same work differs on busy machines, where caches and clock rates are shared."""


class Watch:
    """Wraps how an event loop runs a callback; `slowest` is of the current test."""

    def __init__(self) -> None:
        self.slowest_ms = 0.0
        self.culprit = ""
        self.told: list[tuple[float, str]] = []
        self._run: Any = asyncio.events.Handle._run
        self._collector = threading.local()

    def start(self) -> None:
        watch, run = self, self._run
        clock = time.thread_time_ns

        def measured(handle: Any) -> None:
            modules, collected, began = len(sys.modules), watch.collected_ns, clock()
            run(handle)
            took_ns = clock() - began
            if took_ns > _LOOK_NS and len(sys.modules) == modules:
                watch.note(handle, (took_ns - (watch.collected_ns - collected)) / 1e6)

        asyncio.events.Handle._run = measured  # type: ignore[method-assign]
        gc.callbacks.append(self._collecting)

    def stop(self) -> None:
        asyncio.events.Handle._run = self._run  # type: ignore[method-assign]
        gc.callbacks.remove(self._collecting)

    @property
    def collected_ns(self) -> int:
        """The time that this thread has spent in the garbage collector."""
        return getattr(self._collector, "ns", 0)

    def note(self, handle: Any, took_ms: float) -> None:
        if took_ms > self.slowest_ms:
            self.slowest_ms, self.culprit = took_ms, repr(handle)

    def _collecting(self, phase: str, _: Any) -> None:
        if phase == "start":
            self._collector.began = time.thread_time_ns()
        else:
            spent = time.thread_time_ns() - getattr(self._collector, "began", time.thread_time_ns())
            self._collector.ns = self.collected_ns + spent


LONG_BODIES = ("tests/engines/records/", "tests/engines/rocks/", "tests/testing/", "tests/demo/", "tests/datasets/")

TOLD_MAX = 20

_LOOK_NS = round(LIMIT_MS * 1e6)
_WATCH = pytest.StashKey[Watch]()


def pytest_configure(config: pytest.Config) -> None:
    """Every callback of an event loop in this process is measured from now on."""
    config.addinivalue_line("markers", "holds_the_loop: the body of the test itself works for long without a pause")
    watch = config.stash[_WATCH] = Watch()
    watch.start()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Nothing is measured any more."""
    config.stash[_WATCH].stop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """The test fails if it passed and one of its callbacks held a loop for too long."""
    watch = item.config.stash[_WATCH]
    watch.slowest_ms = 0.0
    result = yield
    if watch.slowest_ms <= LIMIT_MS * MARGIN or item.get_closest_marker("holds_the_loop") is not None:
        return result
    if item.get_closest_marker("slow") is not None or item.nodeid.startswith(LONG_BODIES):
        watch.told.append((watch.slowest_ms, item.nodeid))
        return result
    pytest.fail(f"a callback held the event loop for {watch.slowest_ms:.0f} ms: {watch.culprit}", pytrace=False)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Those tests are told of in which a callback held a loop for long, and which did not fail for it."""
    for took_ms, name in sorted(config.stash[_WATCH].told, reverse=True)[:TOLD_MAX]:
        terminalreporter.write_line(f"held the event loop for {took_ms:.0f} ms: {name}")
