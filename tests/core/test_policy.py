from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
from tests.runtime.notes.api import CALLS, Disturb, ReadNote, WriteNote

from soundstage.core.call import DEFAULT_OPTIONS, CallOptions
from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import InvalidArgument, NotFound, SoundstageError, Unavailable
from soundstage.core.hlc import TokenClock
from soundstage.core.policy import (
    Budget,
    HedgePolicy,
    Resumption,
    RetryPolicy,
    backoff_s,
    hedge_budget,
    hedged,
    repeatable,
    retry_budget,
    retrying,
    with_token,
)

POLICY = RetryPolicy(retries=3, base_s=0.1, cap_s=1.0)


class Attempts:
    """Gives these outcomes in turn, errors raised, and remembers when it was asked."""

    def __init__(self, environment: VirtualEnvironment, *outcomes: Any) -> None:
        self.outcomes = list(outcomes)
        self.times: list[float] = []
        self._environment = environment

    async def __call__(self) -> Any:
        self.times.append(self._environment.monotonic_ns() / 1e9)
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


@pytest.fixture
def environment() -> VirtualEnvironment:
    return VirtualEnvironment(seed=11)


def down(**options: Any) -> Unavailable:
    return Unavailable("down", **options)


async def test_a_success_is_returned_at_once(environment: VirtualEnvironment) -> None:
    attempts = Attempts(environment, 1)
    assert await retrying(attempts, POLICY, retry_budget(), environment) == 1
    assert len(attempts.times) == 1


async def test_retryable_failures_are_tried_again(environment: VirtualEnvironment) -> None:
    attempts = Attempts(environment, down(), down(), 7)
    assert await retrying(attempts, POLICY, retry_budget(), environment) == 7


async def test_the_last_error_is_raised_when_retries_are_used_up(environment: VirtualEnvironment) -> None:
    errors = [down() for _ in range(4)]
    attempts = Attempts(environment, *errors)
    with pytest.raises(Unavailable) as caught:
        await retrying(attempts, POLICY, retry_budget(), environment)
    assert caught.value is errors[-1]
    assert len(attempts.times) == 4


@pytest.mark.parametrize(
    ("outcomes", "told"),
    [
        (("not_applied", "not_applied"), "not_applied"),
        (("unknown", "not_applied"), "unknown"),
        (("not_applied", "unknown"), "unknown"),
        (("unknown", "not_applied", "not_applied"), "unknown"),
        ((None, "not_applied"), "not_applied"),
        (("unknown", None), None),
    ],
)
async def test_the_outcome_told_is_that_of_all_tries(
    environment: VirtualEnvironment, outcomes: Sequence[Any], told: str | None
) -> None:
    attempts = Attempts(environment, *(down(outcome=outcome) for outcome in outcomes))
    policy = RetryPolicy(retries=len(outcomes) - 1, base_s=0.1)
    with pytest.raises(Unavailable) as caught:
        await retrying(attempts, policy, retry_budget(), environment)
    assert caught.value.outcome == told


@pytest.mark.parametrize("error", [InvalidArgument("no"), down(retryable=False)])
async def test_what_no_retry_can_mend_is_not_retried(environment: VirtualEnvironment, error: SoundstageError) -> None:
    attempts = Attempts(environment, error)
    with pytest.raises(type(error)):
        await retrying(attempts, POLICY, retry_budget(), environment)
    assert len(attempts.times) == 1


async def test_a_defect_is_not_retried(environment: VirtualEnvironment) -> None:
    with pytest.raises(KeyError):
        await retrying(Attempts(environment, KeyError("x")), POLICY, retry_budget(), environment)


async def test_a_wait_that_would_outlast_the_deadline_is_not_begun(environment: VirtualEnvironment) -> None:
    attempts = Attempts(environment, down(retry_after_ms=500), 1)
    with pytest.raises(Unavailable):
        await retrying(attempts, POLICY, retry_budget(), environment, deadline_ns=400_000_000)
    assert environment.monotonic_ns() == 0


async def test_retries_stop_when_the_budget_is_used_up(environment: VirtualEnvironment) -> None:
    budget = Budget(0.1, reserve=2)
    total = 0
    for _ in range(50):
        attempts = Attempts(environment, *(down() for _ in range(4)))
        with pytest.raises(Unavailable):
            await retrying(attempts, POLICY, budget, environment)
        total += len(attempts.times) - 1
    assert total <= 2 + 50 * 0.1


def waits(tried: int, error: SoundstageError) -> Sequence[float]:
    random = Random(5)
    return [backoff_s(POLICY, tried, random, error) for _ in range(2_000)]


@pytest.mark.parametrize(("tried", "ceiling"), [(1, 0.1), (2, 0.2), (3, 0.4), (4, 0.8), (5, 1.0), (400, 1.0)])
def test_waits_are_spread_evenly_up_to_a_ceiling_that_doubles(tried: int, ceiling: float) -> None:
    found = waits(tried, down())
    assert 0 <= min(found) < 0.02 * ceiling
    assert 0.98 * ceiling < max(found) <= ceiling
    assert abs(sum(found) / len(found) - ceiling / 2) < 0.05 * ceiling


def test_the_servers_wait_is_the_least() -> None:
    found = waits(1, down(retry_after_ms=300))
    assert min(found) >= 0.3
    assert max(found) <= 0.4 + 1e-9


def test_a_budget_allows_its_share_and_its_reserve() -> None:
    budget = Budget(0.05, reserve=10)
    allowed = 0
    for _ in range(10_000):
        budget.deposit()
        allowed += budget.withdraw()
    assert 500 <= allowed <= 510


def test_a_quiet_time_saves_no_more_than_the_reserve() -> None:
    budget = Budget(0.1, reserve=3)
    for _ in range(1_000):
        budget.deposit()
    assert [budget.withdraw() for _ in range(5)] == [True, True, True, False, False]


def test_the_shares_are_a_tenth_and_a_twentieth() -> None:
    assert (retry_budget().share, hedge_budget().share) == (0.1, 0.05)


@pytest.mark.parametrize(
    ("operation", "request_", "options", "expected"),
    [
        (CALLS.read, ReadNote(name=""), DEFAULT_OPTIONS, True),
        (CALLS.write, WriteNote(name="", text=""), DEFAULT_OPTIONS, False),
        (CALLS.disturb, Disturb(how=""), DEFAULT_OPTIONS, False),
        (CALLS.disturb, Disturb(how=""), CallOptions(idempotency_key="k"), True),
    ],
)
def test_what_may_be_repeated(operation: Any, request_: Any, options: CallOptions, expected: bool) -> None:
    assert repeatable(operation, request_, options) is expected


def test_a_token_makes_a_write_repeatable(environment: VirtualEnvironment) -> None:
    clock = TokenClock(environment)
    request = with_token(CALLS.write, WriteNote(name="", text=""), clock)
    assert repeatable(CALLS.write, request, DEFAULT_OPTIONS)
    assert with_token(CALLS.write, request, clock) is request


def test_requests_without_tokens_stay_as_they_are(environment: VirtualEnvironment) -> None:
    request = ReadNote(name="")
    assert with_token(CALLS.read, request, TokenClock(environment)) is request


class Race:
    """Attempts that end when told; each outcome is a future."""

    def __init__(self) -> None:
        self.attempts: list[asyncio.Future[Any]] = []

    async def __call__(self) -> Any:
        self.attempts.append(asyncio.get_running_loop().create_future())
        return await self.attempts[-1]

    async def begun(self, count: int) -> None:
        for _ in range(50):
            if len(self.attempts) == count:
                return
            await asyncio.sleep(0)
        raise AssertionError(f"{len(self.attempts)} attempts, not {count}")


HEDGE = HedgePolicy(after_s=0.01)


class Slow(VirtualEnvironment):
    """A clock whose sleeps never end: the first try is always in time."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.Event().wait()


async def test_a_first_try_in_time_is_alone() -> None:
    race = Race()
    call = asyncio.ensure_future(hedged(race, HEDGE, Budget(0.05), Slow()))
    await race.begun(1)
    race.attempts[0].set_result(1)
    assert await call == 1
    assert len(race.attempts) == 1


@pytest.mark.parametrize(("winner", "loser"), [(0, 1), (1, 0)])
async def test_the_first_to_succeed_wins_and_the_other_is_cancelled(
    environment: VirtualEnvironment, winner: int, loser: int
) -> None:
    race = Race()
    call = asyncio.ensure_future(hedged(race, HEDGE, Budget(0.05), environment))
    await race.begun(2)
    race.attempts[winner].set_result(winner)
    assert await call == winner
    assert race.attempts[loser].cancelled()


@pytest.mark.parametrize(("failed", "other"), [(0, 1), (1, 0)])
async def test_one_failure_waits_for_the_other_try(environment: VirtualEnvironment, failed: int, other: int) -> None:
    race = Race()
    call = asyncio.ensure_future(hedged(race, HEDGE, Budget(0.05), environment))
    await race.begun(2)
    race.attempts[failed].set_exception(down())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not call.done()
    race.attempts[other].set_result("late")
    assert await call == "late"


async def test_when_both_fail_the_first_error_is_raised(environment: VirtualEnvironment) -> None:
    race = Race()
    call = asyncio.ensure_future(hedged(race, HEDGE, Budget(0.05), environment))
    await race.begun(2)
    first = down()
    race.attempts[1].set_exception(InvalidArgument("second"))
    race.attempts[0].set_exception(first)
    with pytest.raises(Unavailable) as caught:
        await call
    assert caught.value is first


@pytest.mark.parametrize(("second", "told"), [("unknown", "unknown"), ("not_applied", "not_applied")])
async def test_when_both_fail_the_outcome_told_is_that_of_both(
    environment: VirtualEnvironment, second: Any, told: str
) -> None:
    race = Race()
    call = asyncio.ensure_future(hedged(race, HEDGE, Budget(0.05), environment))
    await race.begun(2)
    race.attempts[0].set_exception(down(outcome="not_applied"))
    race.attempts[1].set_exception(down(outcome=second))
    with pytest.raises(Unavailable) as caught:
        await call
    assert caught.value.outcome == told


async def test_without_budget_there_is_no_second_try(environment: VirtualEnvironment) -> None:
    race = Race()
    call = asyncio.ensure_future(hedged(race, HEDGE, Budget(0.0, reserve=0.0), environment))
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(race.attempts) == 1
    race.attempts[0].set_result(1)
    assert await call == 1


async def test_a_caller_who_gives_up_ends_both(environment: VirtualEnvironment) -> None:
    race = Race()
    call = asyncio.ensure_future(hedged(race, HEDGE, Budget(0.05), environment))
    await race.begun(2)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert all(attempt.cancelled() for attempt in race.attempts)


async def test_a_resumption_counts_its_tries_anew_after_each_success() -> None:
    environment = VirtualEnvironment()
    resumption = Resumption(RetryPolicy(retries=2), environment)
    for _ in range(5):
        await resumption.wait(Unavailable("away"))
        await resumption.wait(Unavailable("away"))
        resumption.went_on()
    await resumption.wait(Unavailable("away"))
    await resumption.wait(Unavailable("away"))
    with pytest.raises(Unavailable, match="for good"):
        await resumption.wait(Unavailable("for good"))


async def test_a_resumption_does_not_wait_for_what_waiting_does_not_mend() -> None:
    environment = VirtualEnvironment()
    with pytest.raises(NotFound):
        await Resumption(RetryPolicy(), environment).wait(NotFound("nothing"))
    assert environment.monotonic_ns() == 0
