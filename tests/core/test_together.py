"""Calls side by side end together, whatever becomes of one of them."""

from __future__ import annotations

import asyncio

import pytest

from soundstage.core.errors import Unavailable
from soundstage.core.together import all_or_none, together


async def after(turns: int, ended: list[int]) -> int:
    for _ in range(turns):
        await asyncio.sleep(0)
    ended.append(turns)
    return turns


async def failing() -> int:
    raise Unavailable("no node is up")


async def test_answers_are_in_the_order_of_the_calls() -> None:
    assert await together(after(turns, []) for turns in (3, 1, 2)) == [3, 1, 2]


async def test_of_no_calls_there_are_no_answers() -> None:
    assert await together([]) == []


async def test_a_call_that_fails_leaves_none_under_way() -> None:
    ended: list[int] = []
    with pytest.raises(Unavailable):
        await together([after(5, ended), failing(), after(9, ended)])
    assert ended == [5, 9]


async def test_who_is_cancelled_leaves_none_under_way() -> None:
    ended: list[int] = []
    waiting = asyncio.ensure_future(together([after(1_000, ended), after(2_000, ended)]))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait((waiting,))
    assert (waiting.cancelled(), ended) == (True, [])


async def test_when_one_fails_the_others_are_called_off() -> None:
    ended: list[str] = []

    async def waits() -> int:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append("called off")
        return 0

    async def fails() -> int:
        await asyncio.sleep(0)
        return await failing()

    with pytest.raises(Unavailable):
        await all_or_none([waits(), fails(), waits()])
    assert ended == ["called off", "called off"]


@pytest.mark.parametrize("turns", [[], [2], [3, 1, 2]])
async def test_when_none_fails_all_answer_in_their_order(turns: list[int]) -> None:
    assert await all_or_none([after(each, []) for each in turns]) == turns
