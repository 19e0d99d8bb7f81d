from __future__ import annotations

import pytest
from tests.testing.simulation.theatre import simulated

from soundstage.testing.simulation.environment import START_NS, SimulatedEnvironment
from soundstage.testing.simulation.loop import SimulationLoop
from soundstage.testing.simulation.turn import Turn, directly, taking


def test_both_clocks_go_on_with_the_loop() -> None:
    async def main(loop: SimulationLoop) -> tuple[int, int]:
        environment = SimulatedEnvironment(loop, 1)
        await environment.sleep(1.5)
        return environment.now_ns() - START_NS, environment.monotonic_ns()

    assert simulated(main) == (1_500_000_000, 1_500_000_000)


def test_microseconds_are_floored() -> None:
    async def main(loop: SimulationLoop) -> int:
        environment = SimulatedEnvironment(loop, 1)
        await environment.sleep(0.000_001_999)
        return environment.now_us() - START_NS // 1_000

    assert simulated(main) == 1


@pytest.mark.parametrize("seconds", [-3.0, 0.25])
def test_a_skewed_wall_clock_is_off_and_the_monotonic_one_is_not(seconds: float) -> None:
    async def main(loop: SimulationLoop) -> tuple[int, int, int]:
        environment = SimulatedEnvironment(loop, 1)
        environment.skew_s = seconds
        return environment.now_ns() - START_NS, environment.monotonic_ns(), environment.clock_steps

    assert simulated(main) == (seconds * 1e9, 0, 1)


def test_processes_share_the_loop_s_time_and_not_their_skew() -> None:
    async def main(loop: SimulationLoop) -> int:
        one, other = SimulatedEnvironment(loop, 1), SimulatedEnvironment(loop, 2)
        one.skew_s = 1.0
        await one.sleep(5.0)
        return one.now_ns() - other.now_ns()

    assert simulated(main) == 1_000_000_000


def test_one_seed_is_one_sequence_of_chances_and_secrets() -> None:
    async def main(loop: SimulationLoop) -> list[tuple[float, bytes]]:
        made = [SimulatedEnvironment(loop, seed) for seed in (1, 1, 2)]
        return [(environment.random.random(), environment.secret(8)) for environment in made]

    first, same, other = simulated(main)
    assert first == same != other


def test_a_busy_machine_spends_time_between_two_looks_at_the_clock() -> None:
    async def main(loop: SimulationLoop) -> list[int]:
        environment = SimulatedEnvironment(loop, 1)
        environment.busy_s = 0.001
        return [environment.monotonic_ns() for _ in range(100)]

    looks = simulated(main)
    assert looks == sorted(looks)
    assert 0 < looks[-1] <= 100_000_000


def test_an_idle_machine_spends_none() -> None:
    async def main(loop: SimulationLoop) -> set[int]:
        environment = SimulatedEnvironment(loop, 1)
        return {environment.now_ns() for _ in range(10)}

    assert simulated(main) == {START_NS}


def test_what_is_done_directly_takes_no_time_on_a_busy_machine() -> None:
    async def main(loop: SimulationLoop) -> int:
        environment = SimulatedEnvironment(loop, 1)
        environment.busy_s = 1.0
        with taking(Turn(environment.random)), directly():
            return environment.monotonic_ns()

    assert simulated(main) == 0


def test_work_holds_everybody_up() -> None:
    async def main(loop: SimulationLoop) -> int:
        SimulatedEnvironment(loop, 1).work(2.0)
        return SimulatedEnvironment(loop, 2).monotonic_ns()

    assert simulated(main) == 2_000_000_000
