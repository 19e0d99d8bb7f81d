"""The environments: clocks, randomness, secrets, sleep."""

from __future__ import annotations

import asyncio
import time

import pytest

from soundstage.core.environment import Environment, SystemEnvironment, VirtualEnvironment


@pytest.fixture(params=[SystemEnvironment, VirtualEnvironment])
def any_environment(request: pytest.FixtureRequest) -> Environment:
    return request.param()


def test_microseconds_are_nanoseconds_floored(any_environment: Environment) -> None:
    before = any_environment.now_ns() // 1_000
    assert before <= any_environment.now_us() <= any_environment.now_ns() // 1_000


def test_the_monotonic_clock_never_goes_back(any_environment: Environment) -> None:
    readings = [any_environment.monotonic_ns() for _ in range(100)]
    assert readings == sorted(readings)


def test_a_secret_has_the_size_asked_for(any_environment: Environment) -> None:
    assert len(any_environment.secret(32)) == 32


def test_two_secrets_differ(any_environment: Environment) -> None:
    assert any_environment.secret(16) != any_environment.secret(16)


async def test_sleeping_lets_the_clock_go_on(any_environment: Environment) -> None:
    before = any_environment.monotonic_ns()
    await any_environment.sleep(0.001)
    assert any_environment.monotonic_ns() - before >= 1_000_000


def test_the_system_clock_is_the_machines() -> None:
    before = time.time_ns()
    assert before <= SystemEnvironment().now_ns() <= time.time_ns()


def test_two_system_environments_draw_different_numbers() -> None:
    assert SystemEnvironment().random.getrandbits(128) != SystemEnvironment().random.getrandbits(128)


def test_the_state_of_the_random_source_does_not_betray_a_system_secret() -> None:
    environment = SystemEnvironment()
    state = environment.random.getstate()
    first = environment.secret(16)
    environment.random.setstate(state)
    assert environment.secret(16) != first


def test_one_seed_gives_one_history() -> None:
    def history(environment: VirtualEnvironment) -> tuple[float, bytes]:
        return environment.random.random(), environment.secret(8)

    assert history(VirtualEnvironment(3)) == history(VirtualEnvironment(3))


def test_another_seed_gives_another_history() -> None:
    assert VirtualEnvironment(3).secret(8) != VirtualEnvironment(4).secret(8)


def test_virtual_time_stands_still_between_two_looks() -> None:
    environment = VirtualEnvironment()
    assert environment.now_ns() == environment.now_ns()


def test_advancing_moves_both_clocks() -> None:
    environment = VirtualEnvironment(start_ns=1_000)
    environment.advance(2.5)
    assert (environment.now_ns(), environment.monotonic_ns()) == (2_500_001_000, 2_500_000_000)


def test_virtual_time_does_not_go_back() -> None:
    with pytest.raises(ValueError, match="skew"):
        VirtualEnvironment().advance(-1)


def test_a_skew_steps_the_wall_clock_alone() -> None:
    environment = VirtualEnvironment(start_ns=10_000_000_000)
    environment.skew(-3)
    assert (environment.now_ns(), environment.monotonic_ns()) == (7_000_000_000, 0)


async def test_virtual_sleep_advances_by_exactly_what_was_asked() -> None:
    environment = VirtualEnvironment()
    await environment.sleep(3_600)
    assert environment.monotonic_ns() == 3_600 * 10**9


async def test_virtual_sleep_lets_others_run() -> None:
    environment = VirtualEnvironment()
    ran: list[str] = []

    async def other() -> None:
        ran.append("other")

    task = asyncio.create_task(other())
    await environment.sleep(0)
    assert ran == ["other"]
    await task
