"""When a call is sent again: after a failure (retry), or beside a slow first try (hedge).

Both repeat the very same request, with the same idempotency token, and only where a repetition changes
nothing. Both are bounded by a budget that grows with the calls that needed no help, so that a store in
trouble is not asked more often than a healthy one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from random import Random
from typing import Any, TypeVar

import msgspec

from soundstage.core.call import CallOptions
from soundstage.core.environment import Environment
from soundstage.core.errors import SoundstageError
from soundstage.core.hlc import TokenClock
from soundstage.core.operation import Operation

T = TypeVar("T")


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Up to `retries` repetitions, each after a random wait of at most `base_s` doubled per try, up to `cap_s`.

    A server's `retry_after_ms` is the least wait.
    """

    retries: int = 3
    base_s: float = 0.05
    cap_s: float = 2.0


class HedgePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """A second try when the first has not answered after `after_s`; at most one per call."""

    after_s: float


class Budget:
    """Allows extra tries up to a share of all calls, with a small reserve to start from.

    Every call deposits `share`; an extra try takes 1. The balance never exceeds `reserve`, and begins there unless
    told otherwise: with a `balance` of 0 the extra tries are never more than `share` of the calls made. `calls`
    and `taken` count both.
    """

    __slots__ = ("balance", "calls", "reserve", "share", "taken")

    def __init__(self, share: float, reserve: float = 10.0, balance: float | None = None) -> None:
        self.share: float = share
        self.reserve: float = reserve
        self.balance: float = reserve if balance is None else balance
        self.calls: int = 0
        self.taken: int = 0

    def deposit(self) -> None:
        self.calls += 1
        self.balance = min(self.reserve, self.balance + self.share)

    def withdraw(self) -> bool:
        """Whether an extra try is allowed; it is then paid for."""
        if self.balance < 1:
            return False
        self.balance -= 1
        self.taken += 1
        return True


def retry_budget() -> Budget:
    """Retries may add a tenth to the calls made."""
    return Budget(0.1)


HEDGE_SHARE_MAX = 0.05


def hedge_budget(share: float = HEDGE_SHARE_MAX) -> Budget:
    """Hedges add up to a twentieth to the calls made, from the first call on."""
    return Budget(min(share, HEDGE_SHARE_MAX), balance=0.0)


def repeatable(operation: Operation[..., Any], request: Any, options: CallOptions) -> bool:
    """Whether sending `request` twice has the effect of sending it once."""
    if options.idempotency_key is not None:
        return True
    return operation.idempotent and (not operation.tokened or request.idempotency_token is not None)


def with_token(operation: Operation[..., Any], request: Any, clock: TokenClock) -> Any:
    """`request` carrying an idempotency token, so that it may be repeated; it keeps one that it has."""
    if not operation.tokened or request.idempotency_token is not None:
        return request
    reserve = 1 if operation.ticks is None else operation.ticks(request)
    return msgspec.structs.replace(request, idempotency_token=clock.token(reserve))


def policy_of(policy: RetryPolicy, options: CallOptions) -> RetryPolicy:
    """`policy`, with as many retries as the call asks for."""
    return policy if options.retries is None else msgspec.structs.replace(policy, retries=options.retries)


def backoff_s(policy: RetryPolicy, tried: int, random: Random, error: SoundstageError) -> float:
    """Seconds to wait before try number `tried` + 1, counted from 1."""
    ceiling = min(policy.cap_s, policy.base_s * 2 ** min(tried - 1, 32))
    # Full jitter: callers that failed together do not come back together.
    return random.uniform(0.0, ceiling) + (error.retry_after_ms or 0) / 1_000


def is_retryable(error: SoundstageError) -> bool:
    """What an error says of itself."""
    return error.retryable


async def retrying(
    attempt: Callable[[], Awaitable[T]],
    policy: RetryPolicy,
    budget: Budget,
    environment: Environment,
    deadline_ns: int | None = None,
    allowed: Callable[[SoundstageError], bool] = is_retryable,
) -> T:
    """What `attempt` returns, tried again while its error is `allowed` to be: by default, while it is retryable.

    The caller has made sure that the call is repeatable after such an error. The last error is raised when the
    retries or the budget are used up, or when the next wait would not end before `deadline_ns` (monotonic clock).
    Its outcome is that of all tries: unknown, if any of them may have been applied.
    """
    budget.deposit()
    tried, unknown = 0, False
    while True:
        try:
            return await attempt()
        except SoundstageError as error:
            tried += 1
            unknown = unknown or error.outcome == "unknown"
            _set_outcome(error, unknown=unknown)
            if not allowed(error) or tried > policy.retries:
                raise
            wait_s = backoff_s(policy, tried, environment.random, error)
            if deadline_ns is not None and environment.monotonic_ns() + wait_s * 1e9 >= deadline_ns:
                raise
            if not budget.withdraw():
                raise
            await environment.sleep(wait_s)


class Resumption:
    """Tries of what is taken up where it broke off, such as a stream: counted anew whenever it went on."""

    __slots__ = ("_environment", "_policy", "_tried")

    def __init__(self, policy: RetryPolicy, environment: Environment) -> None:
        self._policy = policy
        self._environment = environment
        self._tried = 0

    def went_on(self) -> None:
        """Something came since the last failure."""
        self._tried = 0

    async def wait(self, error: SoundstageError) -> None:
        """Returns when it is time for another try; raises `error` when there is to be none."""
        self._tried += 1
        if not error.retryable or self._tried > self._policy.retries:
            raise error
        await self._environment.sleep(backoff_s(self._policy, self._tried, self._environment.random, error))


async def hedged(
    attempt: Callable[[], Coroutine[Any, Any, T]], policy: HedgePolicy, budget: Budget, environment: Environment
) -> T:
    """What the first `attempt` to succeed returns; a second starts when the first is late.

    The other is cancelled. When both fail, the error of the first is raised, with the outcome of both.
    """
    budget.deposit()
    first = asyncio.ensure_future(attempt())
    timer = asyncio.ensure_future(environment.sleep(policy.after_s))
    # In order, so that one seed is one history.
    tasks: list[asyncio.Future[Any]] = [first, timer]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if first.done() or not budget.withdraw():
            return await first
        second = asyncio.ensure_future(attempt())
        tasks.append(second)
        return await _first_success(first, second)
    finally:
        for task in tasks:
            task.cancel()
        # Losers end before the caller goes on, so that nothing of this call outlives it.
        await asyncio.gather(*tasks, return_exceptions=True)


async def _first_success(first: asyncio.Future[T], second: asyncio.Future[T]) -> T:
    done, _ = await asyncio.wait({first, second}, return_when=asyncio.FIRST_COMPLETED)
    for winner, other in ((first, second), (second, first)):
        if winner in done:
            if winner.exception() is None:
                return winner.result()
            await asyncio.wait({other})
            return other.result() if other.exception() is None else _failure(first, second)
    raise AssertionError("wait returned without a finished task")


def _failure(first: asyncio.Future[T], second: asyncio.Future[T]) -> T:
    """The error of the first, which knows what may have become of the second."""
    error, other = first.exception(), second.exception()
    if isinstance(error, SoundstageError) and isinstance(other, SoundstageError):
        _set_outcome(error, unknown=other.outcome == "unknown")
    return first.result()


def _set_outcome(error: SoundstageError, *, unknown: bool) -> None:
    """What was certainly not applied this time may have been by another try."""
    if unknown and error.outcome == "not_applied":
        error.outcome = "unknown"
