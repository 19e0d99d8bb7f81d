from __future__ import annotations

import asyncio

import pytest

from soundstage.core.environment import VirtualEnvironment
from soundstage.runtime.deadlines import COMPACT_AT, Deadlines

S = 1_000_000_000


async def waits(deadlines: Deadlines, deadline_ns: int) -> str:
    """A call that never ends by itself."""
    watched = deadlines.watch(deadline_ns)
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        if deadlines.was_late(watched):
            return "late"
        raise
    finally:
        deadlines.release(watched)
    return "ended"


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_an_overdue_call_is_told_that_it_is_late(environment: VirtualEnvironment) -> None:
    deadlines = Deadlines(environment)
    call = asyncio.ensure_future(waits(deadlines, S))
    await settle()
    environment.advance(1)
    deadlines.expire()
    assert await call == "late"
    assert call.cancelling() == 0


async def test_a_call_in_time_is_left_alone(environment: VirtualEnvironment) -> None:
    deadlines = Deadlines(environment)
    call = asyncio.ensure_future(waits(deadlines, S))
    await settle()
    environment.advance(0.999)
    deadlines.expire()
    await settle()
    assert not call.done()
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)


async def test_only_the_overdue_ones_end(environment: VirtualEnvironment) -> None:
    deadlines = Deadlines(environment)
    calls = [asyncio.ensure_future(waits(deadlines, second * S)) for second in (3, 1, 2)]
    await settle()
    environment.advance(2)
    deadlines.expire()
    await settle()
    assert [call.done() for call in calls] == [False, True, True]
    calls[0].cancel()
    await asyncio.gather(*calls, return_exceptions=True)


async def test_a_cancellation_from_elsewhere_stays_one(environment: VirtualEnvironment) -> None:
    deadlines = Deadlines(environment)
    call = asyncio.ensure_future(waits(deadlines, S))
    await settle()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_cancelled_and_overdue_at_once_counts_as_cancelled(environment: VirtualEnvironment) -> None:
    deadlines = Deadlines(environment)
    call = asyncio.ensure_future(waits(deadlines, S))
    await settle()
    environment.advance(1)
    call.cancel()
    deadlines.expire()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_a_call_that_ends_though_cancelled_leaves_its_task_whole(environment: VirtualEnvironment) -> None:
    deadlines = Deadlines(environment)

    async def stubborn() -> int:
        watched = deadlines.watch(S)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            pass
        finally:
            deadlines.release(watched)
        await asyncio.sleep(0)
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling()

    call = asyncio.ensure_future(stubborn())
    await settle()
    environment.advance(1)
    deadlines.expire()
    assert await call == 0


async def test_the_role_cancels_by_itself(environment: VirtualEnvironment) -> None:
    deadlines = Deadlines(environment)
    role = asyncio.ensure_future(deadlines.run())
    assert await waits(deadlines, S) == "late"
    role.cancel()


async def test_ended_calls_do_not_pile_up_behind_a_long_one(environment: VirtualEnvironment) -> None:
    deadlines = Deadlines(environment)
    deadlines.watch(S)
    for _ in range(20 * COMPACT_AT):
        deadlines.release(deadlines.watch(2 * S))
    assert len(deadlines._heap) <= 2 * COMPACT_AT + 2


async def test_outside_of_a_task_there_is_nothing_to_cancel(environment: VirtualEnvironment) -> None:
    deadlines = Deadlines(environment)
    failed: list[str] = []

    def callback() -> None:
        try:
            deadlines.watch(S)
        except RuntimeError as error:
            failed.append(str(error))

    asyncio.get_running_loop().call_soon(callback)
    await asyncio.sleep(0)
    assert failed == ["a call with a deadline runs in a task"]
