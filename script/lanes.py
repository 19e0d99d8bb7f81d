"""Suites beside each other, so that one computes while another waits.

There are two lanes, and only where the machine has a processor for each. A suite begins when a lane is free, in the
order of the list, which therefore has the long ones first. Two that start large servers do not run at once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from suite_run import Suite, none_outlive

T = TypeVar("T")

LANES_MAX = 2

SIGNALS_SEEN_S = 1.0

SMALL_SERVERS = frozenset({"memcached", "postgresql", "redis", "s3", "temporal"})
"""Servers that take some tens of megabytes, or little more; all others take a gigabyte each."""


def lanes() -> int:
    """How many suites run at once on this machine."""
    return max(1, min(LANES_MAX, len(os.sched_getaffinity(0))))


def may_run(suite: Suite, beside: Iterable[Suite], servers: Callable[[Suite], Sequence[str]]) -> bool:
    """Whether `suite` may run while those run."""
    return not is_large(suite, servers) or not any(is_large(other, servers) for other in beside)


def is_large(suite: Suite, servers: Callable[[Suite], Sequence[str]]) -> bool:
    return not SMALL_SERVERS.issuperset(servers(suite))


def run_in_lanes(
    suites: Sequence[Suite], count: int, servers: Callable[[Suite], Sequence[str]], run: Callable[[Suite], T]
) -> Iterator[tuple[Suite, T]]:
    """Each suite with what `run` made of it, in the order in which they end. Nothing runs on when the block is left."""
    waiting, running = list(suites), dict[Future[T], Suite]()
    pool = ThreadPoolExecutor(count)
    # Not by what is in `running`: a signal may come when a suite has begun and its future is not in there yet.
    with none_outlive(pool):
        while waiting or running:
            for suite in list(waiting):
                if len(running) < count and may_run(suite, running.values(), servers):
                    waiting.remove(suite)
                    running[pool.submit(run, suite)] = suite
            # A signal that comes right before the process goes to sleep is seen when it wakes up.
            for future in wait(running, timeout=SIGNALS_SEEN_S, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()
