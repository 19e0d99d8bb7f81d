"""When to try again, and when to ask twice.

Pure rules and two small drivers over an `Environment`, used alike by in-process and remote clients. Both
are budgeted, so that a struggling server is not buried under repetitions of what it could not do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from soundstage.core.environment import Environment
from soundstage.core.errors import DeadlineExceeded, SoundstageError

T = TypeVar("T")


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Exponential backoff with full jitter: a random wait below `first_ms * 2**n`, at most `longest_ms`."""

    retries: int = 3
    first_ms: float = 20.0
    longest_ms: float = 2_000.0

    def delay_s(self, retry: int, environment: Environment, retry_after_ms: int | None = None) -> float:
        """Seconds to wait before repetition number `retry` (0 is the first).

        Never less than what the server asked for; what it asked for is spread by a tenth, so that those
        it turned away together do not come back together.
        """
        ceiling_ms = min(self.longest_ms, self.first_ms * 2.0 ** min(retry, 60))
        wait_ms = environment.random.uniform(0.0, ceiling_ms)
        if retry_after_ms is not None:
            wait_ms = max(wait_ms, retry_after_ms * environment.random.uniform(1.0, 1.1))
        return wait_ms / 1_000.0


class ExtraBudget:
    """Allows extra calls as a share of ordinary ones: `share` of a token is earned by each, one is spent.

    `burst` tokens may be saved up, and are there at the start.
    """

    __slots__ = ("_burst", "_share", "tokens")

    def __init__(self, share: float, burst: float = 10.0) -> None:
        self._share = share
        self._burst = burst
        self.tokens = burst

    def earn(self) -> None:
        """An ordinary call was made."""
        self.tokens = min(self._burst, self.tokens + self._share)

    def spend(self) -> bool:
        """Whether an extra call may be made now; if so it is counted."""
        if self.tokens < 1.0:
            return False
        self.tokens -= 1.0
        return True


class HedgePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """A second, equal call is sent when the first has not answered within `after_s`; None: never."""

    after_s: float | None = None


async def retry(
    attempt: Callable[[], Awaitable[T]],
    *,
    policy: RetryPolicy,
    budget: ExtraBudget,
    environment: Environment,
    deadline_ns: int | None = None,
) -> T:
    """The first success of `attempt`, repeated while its errors are retryable and the budgets last.

    Only for calls that are safe to repeat. Ends with the last error; a wait that would pass
    `deadline_ns` (monotonic) is not begun.
    """
    budget.earn()
    tried = 0
    while True:
        try:
            return await attempt()
        except SoundstageError as error:
            if not error.retryable or tried >= policy.retries or not budget.spend():
                raise
            wait_s = policy.delay_s(tried, environment, error.retry_after_ms)
            if deadline_ns is not None and environment.monotonic_ns() + wait_s * 1e9 >= deadline_ns:
                raise
        tried += 1
        await environment.sleep(wait_s)


async def hedge(
    attempt: Callable[[], Awaitable[T]],
    *,
    policy: HedgePolicy,
    budget: ExtraBudget,
    environment: Environment,
) -> T:
    """The first answer of at most two equal calls, the second sent late and within `budget`.

    An error of one waits for the other; the slower is cancelled. Only for calls safe to repeat.
    """
    budget.earn()
    if policy.after_s is None:
        return await attempt()
    first = asyncio.ensure_future(attempt())
    timer = asyncio.ensure_future(environment.sleep(policy.after_s))
    running: set[asyncio.Future[T]] = {first}
    try:
        await asyncio.wait({first, timer}, return_when=asyncio.FIRST_COMPLETED)
        if not first.done() and budget.spend():
            running.add(asyncio.ensure_future(attempt()))
        return await _first_success(running)
    finally:
        for task in (*running, timer):
            task.cancel()


async def _first_success(running: set[asyncio.Future[T]]) -> T:
    pending = set(running)
    while True:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        failures = [task for task in done if task.exception() is not None]
        for task in done:
            if task not in failures:
                return task.result()
        if not pending:
            return failures[0].result()


def remaining_s(deadline_ns: int | None, environment: Environment) -> float | None:
    """Seconds left until `deadline_ns` (monotonic); raises `DeadlineExceeded` once it has passed."""
    if deadline_ns is None:
        return None
    left_ns = deadline_ns - environment.monotonic_ns()
    if left_ns <= 0:
        raise DeadlineExceeded(
            "the deadline passed before the call was made",
            hint="allow more time, or call again",
            outcome="not_applied",
        )
    return left_ns / 1e9
