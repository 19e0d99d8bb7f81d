from __future__ import annotations

import asyncio
import threading
import time
from contextvars import copy_context

import pytest
from tests.testing.simulation.theatre import simulated

from soundstage.testing.simulation.loop import (
    PROCESS,
    Deadlock,
    OutsideTheSimulation,
    SimulationLoop,
    run,
    running_loop,
)

WEEK_S = 7 * 86_400.0


def test_a_week_passes_in_less_than_a_second() -> None:
    async def main(loop: SimulationLoop) -> float:
        await asyncio.sleep(WEEK_S)
        return loop.time()

    began = time.perf_counter()
    assert simulated(main) == WEEK_S
    assert time.perf_counter() - began < 1.0


def test_timers_end_in_the_order_of_their_times() -> None:
    async def main(loop: SimulationLoop) -> list[int]:
        ended: list[int] = []

        async def sleeper(seconds: int) -> None:
            await asyncio.sleep(seconds)
            ended.append(seconds)

        await asyncio.gather(*map(sleeper, (3, 1, 2)))
        return ended

    assert simulated(main) == [1, 2, 3]


def test_a_timer_ends_at_its_nanosecond() -> None:
    async def main(loop: SimulationLoop) -> int:
        await asyncio.sleep(100_000.0)
        await asyncio.sleep(0.000_000_017)
        return loop.virtual_ns

    assert simulated(main) == 100_000_000_000_017


def test_time_outs_are_in_virtual_time() -> None:
    async def main(loop: SimulationLoop) -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3_600):
                await asyncio.sleep(7_200)
        return loop.time()

    assert simulated(main) == 3_600


def test_who_waits_for_each_other_is_told_of_a_deadlock() -> None:
    async def main(loop: SimulationLoop) -> None:
        await loop.create_future()

    with pytest.raises(Deadlock, match="every task waits"):
        simulated(main)


def test_after_a_deadlock_the_next_loop_runs() -> None:
    async def stuck(loop: SimulationLoop) -> None:
        await loop.create_future()

    async def fine(loop: SimulationLoop) -> str:
        return "fine"

    with pytest.raises(Deadlock):
        simulated(stuck)
    assert simulated(fine) == "fine"


async def order(loop: SimulationLoop) -> list[int]:
    seen: list[int] = []

    async def racer(number: int) -> None:
        for _ in range(3):
            await asyncio.sleep(0)
            seen.append(number)

    await asyncio.gather(*map(racer, range(6)))
    return seen


def test_one_seed_is_one_order_of_what_is_ready_together() -> None:
    assert simulated(order, "a") == simulated(order, "a")


def test_other_seeds_are_other_orders() -> None:
    assert len({tuple(simulated(order, seed)) for seed in range(10)}) > 5


async def test_an_executor_runs_its_work_in_the_loop_s_own_thread() -> None:
    thread = threading.get_ident()

    def work() -> int:
        return threading.get_ident()

    async def main(loop: SimulationLoop) -> int:
        return await loop.run_in_executor(None, work)

    ran_in = await asyncio.to_thread(lambda: (threading.get_ident(), simulated(main)))
    assert ran_in[0] == ran_in[1] != thread


def test_work_of_an_executor_is_done_at_once_by_default() -> None:
    done: list[int] = []

    async def main(loop: SimulationLoop) -> list[int]:
        loop.run_in_executor(None, done.append, 1)
        return list(done)

    assert simulated(main) == [1]


def test_slow_executors_leave_time_before_the_work_and_after() -> None:
    async def main(loop: SimulationLoop) -> tuple[float, float]:
        loop.executor_s = 2.0
        worked: list[float] = []
        await loop.run_in_executor(None, lambda: worked.append(loop.time()))
        return worked[0], loop.time()

    worked_s, answered_s = simulated(main)
    assert 0 < worked_s < 1
    assert worked_s < answered_s <= 2


@pytest.mark.parametrize("executor_s", [0.0, 0.5])
def test_what_the_work_of_an_executor_raises_is_raised_where_it_is_awaited(executor_s: float) -> None:
    def work() -> None:
        raise ZeroDivisionError

    async def main(loop: SimulationLoop) -> None:
        loop.executor_s = executor_s
        await loop.run_in_executor(None, work)

    with pytest.raises(ZeroDivisionError):
        simulated(main)


def test_an_answer_that_nobody_waits_for_any_more_is_dropped() -> None:
    async def main(loop: SimulationLoop) -> bool:
        loop.executor_s = 1.0
        future = loop.run_in_executor(None, lambda: 1)
        future.cancel()
        await asyncio.sleep(2)
        return future.cancelled()

    assert simulated(main)


def test_calls_from_other_threads_are_refused() -> None:
    refused: list[BaseException] = []

    async def main(loop: SimulationLoop) -> None:
        def intrude() -> None:
            try:
                loop.call_soon_threadsafe(lambda: None)
            except OutsideTheSimulation as error:
                refused.append(error)

        thread = threading.Thread(target=intrude, name="driver")
        thread.start()
        thread.join()

    simulated(main)
    assert "the thread driver" in str(refused[0])


def test_calls_from_the_loop_s_own_thread_are_let_in() -> None:
    async def main(loop: SimulationLoop) -> bool:
        called = asyncio.Event()
        loop.call_soon_threadsafe(called.set)
        await called.wait()
        return True

    assert simulated(main)


async def open_socket(loop: SimulationLoop) -> None:
    await asyncio.open_connection("127.0.0.1", 9)


async def serve(loop: SimulationLoop) -> None:
    await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)


async def start_program(loop: SimulationLoop) -> None:
    await asyncio.create_subprocess_exec("true")


async def watch_descriptor(loop: SimulationLoop) -> None:
    loop.add_reader(0, lambda: None)


@pytest.mark.parametrize("body", [open_socket, serve, start_program, watch_descriptor])
def test_what_ties_a_run_to_the_machine_is_refused(body: object) -> None:
    with pytest.raises(OutsideTheSimulation, match="no sockets and no child processes"):
        simulated(body)  # type: ignore[arg-type]


def test_tasks_left_behind_are_cancelled() -> None:
    cancelled: list[bool] = []

    async def left() -> None:
        try:
            await asyncio.sleep(WEEK_S)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async def main(loop: SimulationLoop) -> None:
        loop.left = asyncio.ensure_future(left())  # type: ignore[attr-defined]
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    simulated(main)
    assert cancelled == [True]


def test_run_returns_what_its_coroutine_returns() -> None:
    async def main() -> str:
        return f"at {running_loop().time()}"

    assert run(main, 1) == "at 0.0"


async def test_another_loop_is_none_of_a_simulation() -> None:
    with pytest.raises(RuntimeError, match="in a simulation only"):
        running_loop()


async def counting(told: list[int]) -> None:
    for number in range(1_000):
        told.append(number)
        await asyncio.sleep(1)


def in_process(loop: SimulationLoop, process: object, told: list[int]) -> None:
    context = copy_context()
    context.run(PROCESS.set, process)
    loop.create_task(counting(told), context=context)


def test_what_is_held_waits_until_it_is_let_go() -> None:
    async def main() -> tuple[int, int, int]:
        loop, held, free = running_loop(), list[int](), list[int]()
        in_process(loop, "held", held)
        in_process(loop, "free", free)
        await asyncio.sleep(4.5)
        loop.hold("held")
        loop.hold("held")
        await asyncio.sleep(5)
        during = len(held)
        assert loop.is_held("held")
        assert not loop.is_held("free")
        loop.let_go("held")
        await asyncio.sleep(0.1)
        return during, len(held), len(free)

    assert run(main, 1) == (5, 6, 10)


def test_everything_that_is_held_can_be_let_go() -> None:
    async def main() -> bool:
        loop = running_loop()
        loop.hold("one")
        loop.hold("other")
        loop.let_all_go()
        return loop.is_held("one") or loop.is_held("other")

    assert run(main, 1) is False


def test_a_loop_ends_with_what_it_holds() -> None:
    async def main() -> int:
        loop, told = running_loop(), list[int]()
        in_process(loop, "held", told)
        await asyncio.sleep(1.5)
        loop.hold("held")
        await asyncio.sleep(5)
        return len(told)

    assert run(main, 1) == 2
