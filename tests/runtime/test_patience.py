from __future__ import annotations

import asyncio

import pytest

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import NotFound
from soundstage.runtime.patience import within


async def answer(value: int) -> int:
    return value


async def fail() -> None:
    raise NotFound("no")


async def test_what_ends_in_time_is_heard(environment: VirtualEnvironment) -> None:
    assert await within(environment, 10, answer(5)) == 5


async def test_what_fails_in_time_fails(environment: VirtualEnvironment) -> None:
    with pytest.raises(NotFound):
        await within(environment, 10, fail())


async def test_what_takes_longer_is_cancelled_and_has_ended(environment: VirtualEnvironment) -> None:
    ended = list[str]()

    async def linger() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append("lingering")

    assert await within(environment, 10, linger()) is None
    assert ended == ["lingering"]


async def test_who_is_cancelled_takes_the_work_along(environment: VirtualEnvironment) -> None:
    ended = asyncio.Event()

    async def linger() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    class Endless(VirtualEnvironment):
        async def sleep(self, seconds: float) -> None:
            await asyncio.Event().wait()

    waiting = asyncio.ensure_future(within(Endless(), 10, linger()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert ended.is_set()
