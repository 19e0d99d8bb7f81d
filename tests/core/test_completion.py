from __future__ import annotations

import asyncio
import gc

import pytest

from soundstage.core.completion import ended, to_the_end


class Work:
    """Goes on until it is told to end."""

    def __init__(self, error: Exception | None = None) -> None:
        self.goes_on: asyncio.Event = asyncio.Event()
        self.done: bool = False
        self._error = error

    async def do(self) -> str:
        await self.goes_on.wait()
        self.done = True
        if self._error is not None:
            raise self._error
        return "done"


async def turns() -> None:
    """Whatever can go on has gone on."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_who_waits_hears_what_came_of_it() -> None:
    work = Work()
    work.goes_on.set()
    assert await to_the_end(work.do()) == "done"


async def test_who_waits_hears_what_it_failed_by() -> None:
    work = Work(ValueError("no"))
    work.goes_on.set()
    with pytest.raises(ValueError, match="no"):
        await to_the_end(work.do())


@pytest.mark.parametrize("times", [1, 3])
async def test_who_is_cancelled_leaves_when_it_has_ended(times: int) -> None:
    work = Work()
    waiting = asyncio.ensure_future(to_the_end(work.do()))
    for _ in range(times):
        await turns()
        waiting.cancel()
    await turns()
    assert not waiting.done()
    work.goes_on.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert work.done


async def test_nobody_complains_of_a_failure_that_nobody_waits_for() -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context))
    work = Work(ValueError("no"))
    waiting = asyncio.ensure_future(to_the_end(work.do()))
    await turns()
    waiting.cancel()
    work.goes_on.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    del waiting
    gc.collect()
    assert complaints == []


async def test_what_was_cancelled_has_ended() -> None:
    running = asyncio.ensure_future(Work().do())
    running.cancel()
    await ended(running)
    assert running.cancelled()
