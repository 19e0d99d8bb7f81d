"""A coroutine that begins without a task ends as it would have in one."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Any

import pytest

from soundstage.core.steps import Begun, begin

WHO: ContextVar[str] = ContextVar("who", default="nobody")


async def waits(future: asyncio.Future[int], times: int = 1) -> int:
    found = 0
    for _ in range(times):
        found += await future
        await asyncio.sleep(0)
    return found


async def gone_on(coroutine: Any) -> Any:
    ended, begun = begin(coroutine)
    assert not ended

    async def rest() -> Any:
        return await begun

    return asyncio.ensure_future(rest())


async def test_what_need_not_wait_is_done_with_its_first_step() -> None:
    async def at_once() -> int:
        return 7

    assert begin(at_once()) == (True, 7)


async def test_what_it_raises_at_once_goes_through() -> None:
    async def fails() -> None:
        raise KeyError("now")

    with pytest.raises(KeyError, match="now"):
        begin(fails())


async def test_what_waits_goes_on_in_a_task() -> None:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    task = await gone_on(waits(future, 3))
    future.set_result(2)
    assert await task == 6


async def test_what_only_gives_way_goes_on_too() -> None:
    async def gives_way() -> str:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return "done"

    assert await (await gone_on(gives_way())) == "done"


async def test_the_failure_of_what_is_waited_for_arrives() -> None:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    task = await gone_on(waits(future))
    future.set_exception(KeyError("later"))
    with pytest.raises(KeyError, match="later"):
        await task


async def test_cancelling_reaches_the_coroutine_which_may_clean_up() -> None:
    cleaned = asyncio.Event()

    async def careful() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.set()

    task = await gone_on(careful())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleaned.is_set()


async def test_cancelling_may_be_swallowed_as_in_a_task() -> None:
    async def stubborn() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "kept on"
        return ""

    task = await gone_on(stubborn())
    await asyncio.sleep(0)
    task.cancel()
    assert await task == "kept on"


async def test_one_that_goes_no_further_is_closed() -> None:
    closed: list[bool] = []

    async def waits_for_ever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            closed.append(True)

    _, begun = begin(waits_for_ever())
    assert isinstance(begun, Begun)
    begun.close()
    assert closed == [True]


async def test_several_may_wait_for_one_future() -> None:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    tasks = [await gone_on(waits(future)) for _ in range(3)]
    await asyncio.sleep(0)
    future.set_result(2)
    assert await asyncio.gather(*tasks) == [2, 2, 2]


async def test_the_rest_may_be_a_task() -> None:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    _, begun = begin(waits(future))
    task = asyncio.ensure_future(begun.ended())
    future.set_result(3)
    assert await task == 3


def outcome(coroutine: Any) -> tuple[Begun, asyncio.Future[Any]]:
    """A coroutine that goes on without a task, and what it comes to."""
    found: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    ended, begun = begin(coroutine)
    assert not ended

    def then(result: Any, error: BaseException | None) -> None:
        found.set_result(result if error is None else error)

    begun.then(then)
    return begun, found


async def test_it_can_go_on_without_a_task() -> None:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    _, found = outcome(waits(future, 3))
    future.set_result(2)
    assert await found == 6


async def test_without_a_task_it_learns_what_failed() -> None:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def hopes() -> str:
        try:
            await future
        except KeyError:
            return "told"
        return "not told"

    _, found = outcome(hopes())
    future.set_exception(KeyError("late"))
    assert await found == "told"


async def test_what_it_raises_in_the_end_is_handed_on() -> None:
    async def fails() -> None:
        await asyncio.sleep(0)
        raise KeyError("late")

    _, found = outcome(fails())
    assert isinstance(await found, KeyError)


async def test_without_a_task_it_can_be_cancelled_while_it_waits() -> None:
    begun, found = outcome(waits(asyncio.get_running_loop().create_future()))
    begun.cancel()
    assert isinstance(await found, asyncio.CancelledError)


async def test_one_that_only_gives_way_can_too() -> None:
    async def gives_way() -> str:
        await asyncio.sleep(0)
        return "done"

    begun, found = outcome(gives_way())
    begun.cancel()
    assert isinstance(await found, asyncio.CancelledError)


async def test_one_whose_wait_is_over_can_before_it_goes_on() -> None:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    begun, found = outcome(waits(future))
    future.set_result(1)
    begun.cancel()
    assert isinstance(await found, asyncio.CancelledError)


async def test_what_it_does_on_its_way_out_is_not_cancelled() -> None:
    cleaned: list[bool] = []

    async def careful() -> None:
        try:
            await asyncio.sleep(0)
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)

    begun, found = outcome(careful())
    begun.cancel()
    assert (isinstance(await found, asyncio.CancelledError), cleaned) == (True, [True])


async def test_two_may_wait_for_the_same() -> None:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    outcomes = [outcome(waits(future))[1] for _ in range(2)]
    future.set_result(1)
    assert await asyncio.gather(*outcomes) == [1, 1]


async def named(name: str) -> str:
    """What the coroutine finds of what it said before it waited; raises where that cannot be taken back."""
    token = WHO.set(name)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    found = WHO.get()
    WHO.reset(token)
    return found


async def test_what_is_set_at_once_is_for_nobody_else() -> None:
    async def at_once() -> None:
        WHO.set("ada")

    begin(at_once())
    assert WHO.get() == "nobody"


async def test_without_a_task_it_finds_what_it_set_and_nobody_else_does() -> None:
    outcomes = [outcome(named(name))[1] for name in ("ada", "bob")]
    assert WHO.get() == "nobody"
    assert await asyncio.gather(*outcomes) == ["ada", "bob"]


async def test_within_a_task_too() -> None:
    tasks = [await gone_on(named(name)) for name in ("ada", "bob")]
    assert WHO.get() == "nobody"
    assert await asyncio.gather(*tasks) == ["ada", "bob"]
