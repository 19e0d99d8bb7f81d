from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from tests.runtime import labour as work

from soundstage.core.environment import SystemEnvironment, VirtualEnvironment
from soundstage.core.errors import Exhausted, Unavailable
from soundstage.runtime.compute import Compute, works_on
from soundstage.runtime.config import ComputeConfig
from soundstage.runtime.stage import Stage


@pytest.fixture
async def compute() -> AsyncIterator[Compute]:
    made = Compute(ComputeConfig(threads=2, processes=1, queued=1), SystemEnvironment())
    yield made
    await made.stop()


async def eventually(true: Callable[[], bool]) -> None:
    """Returns once it is true; a test that waits for longer has failed."""
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110 - what is waited for is outside of the loop
            await asyncio.sleep(0.005)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        # Not there, or gone while it was read.
        return False
    return state != "Z"


async def test_a_thread_returns_what_the_function_returns(compute: Compute) -> None:
    assert await compute.thread(work.double, 4, add=1) == 9
    assert await compute.thread(threading.get_ident) != threading.get_ident()


async def test_a_thread_raises_what_the_function_raises(compute: Compute) -> None:
    with pytest.raises(LookupError, match="no"):
        await compute.thread(work.fail, "no")


async def test_the_loop_goes_on_meanwhile(compute: Compute) -> None:
    gate = threading.Event()
    running = asyncio.ensure_future(compute.thread(gate.wait, 20))
    await asyncio.sleep(0)
    gate.set()
    assert await running


async def test_over_the_queue_work_is_refused(compute: Compute) -> None:
    gate = threading.Event()
    running = [asyncio.ensure_future(compute.thread(gate.wait, 20)) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(Exhausted) as refused:
        await compute.thread(work.double, 1)
    gate.set()
    await asyncio.gather(*running)
    assert (refused.value.retry_after_ms, compute.threads.refused) == (100, 1)
    await eventually(lambda: compute.threads.load == 0)


async def test_waiting_work_that_is_cancelled_is_never_done(compute: Compute) -> None:
    gate, touched = threading.Event(), threading.Event()
    running = [asyncio.ensure_future(compute.thread(gate.wait, 20)) for _ in range(2)]
    waiting = asyncio.ensure_future(compute.thread(touched.set))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    gate.set()
    await asyncio.gather(*running)
    await eventually(lambda: compute.threads.load == 0)
    assert not touched.is_set()


async def test_work_that_nobody_waits_for_keeps_its_place_until_it_ends(compute: Compute) -> None:
    gate, begun = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        gate.wait(20)

    running = asyncio.ensure_future(compute.thread(wait))
    await eventually(begun.is_set)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert compute.threads.load == 1
    gate.set()
    await eventually(lambda: compute.threads.load == 0)


@pytest.mark.slow
async def test_a_process_returns_what_the_function_returns(compute: Compute) -> None:
    assert await compute.process(work.double, 4, add=1) == 9
    assert await compute.process(work.own_pid) != os.getpid()


@pytest.mark.slow
async def test_a_process_raises_what_the_function_raises(compute: Compute) -> None:
    with pytest.raises(LookupError, match="no"):
        await compute.process(work.fail, "no")


@pytest.mark.slow
async def test_a_process_that_dies_is_told_and_replaced(compute: Compute) -> None:
    with pytest.raises(Unavailable, match="exit code 3"):
        await compute.process(work.die, 3)
    assert await compute.process(work.double, 1) == 2


@pytest.mark.slow
async def test_who_is_cancelled_kills_the_process(compute: Compute, tmp_path: Path) -> None:
    running = asyncio.ensure_future(compute.process(work.mark_and_linger, str(tmp_path)))
    await eventually((tmp_path / "pid").exists)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    pid = int((tmp_path / "pid").read_text())
    await eventually(lambda: not is_alive(pid))
    assert await compute.process(work.double, 1) == 2


@pytest.mark.slow
async def test_stopping_kills_processes_and_tells_who_waits(compute: Compute, tmp_path: Path) -> None:
    running = asyncio.ensure_future(compute.process(work.mark_and_linger, str(tmp_path)))
    await eventually((tmp_path / "pid").exists)
    await compute.stop()
    with pytest.raises(Unavailable, match="stopped"):
        await running
    assert not is_alive(int((tmp_path / "pid").read_text()))


@pytest.mark.slow
async def test_processes_die_with_the_stage(tmp_path: Path) -> None:
    code = (
        "import asyncio, sys\n"
        "from soundstage.core.environment import SystemEnvironment\n"
        "from soundstage.runtime.compute import Compute\n"
        "from soundstage.runtime.config import ComputeConfig\n"
        "from tests.runtime.labour import mark_and_linger\n"
        "if __name__ == '__main__':\n"
        "    compute = Compute(ComputeConfig(processes=1), SystemEnvironment())\n"
        "    asyncio.run(compute.process(mark_and_linger, sys.argv[1]))\n"
    )
    script = tmp_path / "stage.py"
    script.write_text(code)
    root = str(Path(work.__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root}
    stage = await asyncio.create_subprocess_exec(sys.executable, str(script), str(tmp_path), env=environment)
    try:
        await eventually((tmp_path / "pid").exists)
        pid = int((tmp_path / "pid").read_text())
        assert is_alive(pid)
        stage.kill()
        await eventually(lambda: not is_alive(pid))
    finally:
        with contextlib.suppress(ProcessLookupError):
            stage.kill()
        await stage.wait()


async def test_a_stop_does_not_wait_for_ever_for_work_that_nobody_hears(caplog: pytest.LogCaptureFixture) -> None:
    compute = Compute(ComputeConfig(threads=1), SystemEnvironment(), stop_wait_s=0.01)
    gate, begun = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        gate.wait(20)

    running = asyncio.ensure_future(compute.thread(wait))
    await eventually(begun.is_set)
    running.cancel()
    await compute.stop()
    assert (compute.threads.load, gate.is_set()) == (1, False)
    assert "goes on after the stop" in caplog.text
    assert works_on()
    gate.set()
    await eventually(lambda: compute.threads.load == 0)


async def test_after_a_stop_no_thread_works_on(compute: Compute) -> None:
    assert await compute.thread(max, 1, 2) == 2
    assert works_on()
    await compute.stop()
    await eventually(lambda: not works_on())


async def test_who_is_cancelled_while_it_stops_hears_of_that_alone() -> None:
    compute = Compute(ComputeConfig(threads=1), SystemEnvironment(), stop_wait_s=20)
    gate, begun = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        gate.wait(20)

    running = asyncio.ensure_future(compute.thread(wait))
    await eventually(begun.is_set)
    stopping = asyncio.ensure_future(compute.stop())
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    gate.set()
    await stopping


async def test_who_waits_for_a_turn_is_told_of_the_stop() -> None:
    compute = Compute(ComputeConfig(threads=1), SystemEnvironment(), stop_wait_s=20)
    gate, begun = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        gate.wait(20)

    running = asyncio.ensure_future(compute.thread(wait))
    await eventually(begun.is_set)
    waiting = asyncio.ensure_future(compute.thread(wait))
    await asyncio.sleep(0)
    stopping = asyncio.ensure_future(compute.stop())
    with pytest.raises(Unavailable, match="stopped"):
        await waiting
    gate.set()
    await asyncio.gather(running, stopping)


async def test_a_stop_waits_for_work_that_ends_soon(compute: Compute) -> None:
    gate, begun = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        gate.wait(20)

    running = asyncio.ensure_future(compute.thread(wait))
    await eventually(begun.is_set)
    stopping = asyncio.ensure_future(compute.stop())
    await asyncio.sleep(0)
    assert not stopping.done()
    gate.set()
    await stopping
    assert (await running, compute.threads.load) == (None, 0)


@pytest.mark.slow
async def test_processes_that_take_no_work_any_more_are_replaced(compute: Compute) -> None:
    assert await compute.process(work.double, 1) == 2
    compute._process_pool.stop()  # type: ignore[union-attr]  # pyright: ignore[reportPrivateUsage, reportOptionalMemberAccess]
    with pytest.raises(Unavailable) as refused:
        await compute.process(work.double, 1)
    assert (refused.value.outcome, compute.processes.load) == ("not_applied", 0)
    assert await compute.process(work.double, 1) == 2


async def test_once_stopped_no_work_is_taken(compute: Compute) -> None:
    await compute.stop()
    await compute.stop()
    with pytest.raises(Unavailable):
        await compute.thread(work.double, 1)
    with pytest.raises(Unavailable):
        await compute.process(work.double, 1)


async def test_in_a_simulation_work_is_done_here_and_at_once() -> None:
    compute = Compute(ComputeConfig(), VirtualEnvironment())
    assert await compute.thread(threading.get_ident) == threading.get_ident()
    assert await compute.process(work.own_pid) == os.getpid()
    with pytest.raises(LookupError):
        await compute.process(work.fail, "no")
    assert (compute.threads.load, compute.processes.load, compute.processes.done) == (0, 0, 2)


async def test_without_a_number_there_is_a_worker_per_processor() -> None:
    compute = Compute(ComputeConfig(), SystemEnvironment())
    assert compute.threads.workers == compute.processes.workers == os.cpu_count()


async def test_a_stage_has_it_and_stops_it(open_stage: Callable[..., Stage]) -> None:
    async with open_stage() as stage:
        assert await stage.compute.thread(work.double, 2) == 4
        assert b'soundstage_compute_done_total{kind="threads"} 1.0' in stage.metrics_text()
    with pytest.raises(Unavailable):
        await stage.compute.thread(work.double, 2)
