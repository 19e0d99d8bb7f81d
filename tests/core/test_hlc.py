"""The clock of idempotency tokens."""

from __future__ import annotations

import threading
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.hlc import DRIFT_FUTURE_US, TokenClock

SECOND_US = 1_000_000


@pytest.fixture
def clock(environment: VirtualEnvironment) -> TokenClock:
    return TokenClock(environment)


def test_the_first_time_is_now(clock: TokenClock, environment: VirtualEnvironment) -> None:
    assert clock.next_us() == environment.now_us()


def test_times_increase_while_the_wall_clock_stands_still(clock: TokenClock) -> None:
    first = clock.next_us()
    assert [clock.next_us() for _ in range(3)] == [first + 1, first + 2, first + 3]


def test_times_increase_while_the_wall_clock_steps_back(clock: TokenClock, environment: VirtualEnvironment) -> None:
    first = clock.next_us()
    environment.skew(-5)
    assert clock.next_us() == first + 1


def test_the_wall_clock_leads_again_once_it_is_ahead(clock: TokenClock, environment: VirtualEnvironment) -> None:
    clock.next_us()
    environment.advance(1)
    assert clock.next_us() == environment.now_us()


def test_the_next_time_goes_past_what_was_read(clock: TokenClock, environment: VirtualEnvironment) -> None:
    seen = environment.now_us() + SECOND_US
    clock.observe(seen)
    assert clock.next_us() == seen + 1


def test_an_older_time_changes_nothing(clock: TokenClock, environment: VirtualEnvironment) -> None:
    clock.observe(environment.now_us() + 10)
    clock.observe(environment.now_us() + 5)
    assert clock.next_us() == environment.now_us() + 11


@pytest.mark.parametrize(("beyond_us", "believed"), [(0, True), (1, False)])
def test_times_are_believed_up_to_the_drift_allowed(
    clock: TokenClock, environment: VirtualEnvironment, beyond_us: int, believed: bool
) -> None:
    seen = environment.now_us() + DRIFT_FUTURE_US + beyond_us
    clock.observe(seen)
    assert (clock.next_us() > seen) is believed


def test_the_drift_allowed_can_be_set(environment: VirtualEnvironment) -> None:
    clock = TokenClock(environment, drift_future_us=0)
    clock.observe(environment.now_us() + 1)
    assert clock.next_us() == environment.now_us()


def test_reserved_times_are_given_to_nobody_else(clock: TokenClock) -> None:
    first = clock.next_us(reserve=1_000)
    assert clock.next_us() == first + 1_000


def test_a_token_carries_the_clocks_time(clock: TokenClock, environment: VirtualEnvironment) -> None:
    assert clock.token().generation_time == environment.now_us() * 1_000


def test_a_token_reserves_times_too(clock: TokenClock) -> None:
    first = clock.token(reserve=10)
    assert clock.token().generation_time.us == first.generation_time.us + 10


def test_a_tokens_text_is_a_uuid(clock: TokenClock) -> None:
    assert uuid.UUID(clock.token().token).version == 4


def test_a_seed_repeats_its_tokens() -> None:
    assert TokenClock(VirtualEnvironment(1)).token() == TokenClock(VirtualEnvironment(1)).token()


def test_threads_never_share_a_time(clock: TokenClock) -> None:
    given_out: list[int] = []

    def draw() -> None:
        given_out.extend([clock.next_us() for _ in range(2_000)])

    threads = [threading.Thread(target=draw) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(given_out)) == len(given_out) == 8_000


steps = st.one_of(
    st.tuples(st.just("draw"), st.integers(1, 5)),
    st.tuples(st.just("advance"), st.integers(0, 3_000_000)),
    st.tuples(st.just("skew"), st.integers(-3_000_000, 3_000_000)),
    st.tuples(st.just("observe"), st.integers(-3_000_000, 3_000_000)),
)


@given(st.lists(steps, max_size=30))
def test_whatever_the_clocks_do_a_write_beats_all_that_was_drawn_and_believed(history: list[tuple[str, int]]) -> None:
    environment = VirtualEnvironment()
    clock, greatest = TokenClock(environment), 0
    for step, amount in history:
        if step == "draw":
            drawn = clock.next_us(amount)
            assert drawn > greatest
            assert drawn >= environment.now_us()
            greatest = drawn + amount - 1
        elif step == "observe":
            seen = environment.now_us() + amount
            clock.observe(seen)
            greatest = max(greatest, seen) if amount <= DRIFT_FUTURE_US else greatest
        elif step == "advance":
            environment.advance(amount / 1e6)
        else:
            environment.skew(amount / 1e6)
