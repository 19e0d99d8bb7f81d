"""Who waits for a turn, for how long, and who has it when somebody leaves."""

from __future__ import annotations

import asyncio

import pytest

from soundstage.core.errors import DeadlineExceeded, Unavailable
from soundstage.core.turns import Line, Turns


async def test_at_one_place_they_follow_each_other_as_they_came() -> None:
    turns, done = Turns[str](), list[str]()

    async def work(name: str) -> None:
        async with turns.at("here"):
            done.append(f"{name} begins")
            await asyncio.sleep(0)
            done.append(f"{name} ends")

    await asyncio.gather(work("a"), work("b"), work("c"))
    assert done == ["a begins", "a ends", "b begins", "b ends", "c begins", "c ends"]


async def test_at_another_place_nobody_waits() -> None:
    turns = Turns[str]()
    async with turns.at("here"), turns.at("there"):
        assert len(turns) == 2


async def test_nothing_is_kept_of_places_where_nobody_is() -> None:
    turns = Turns[int]()
    for place in range(10):
        async with turns.at(place):
            pass
    assert len(turns) == 0


async def test_who_fails_gives_its_turn_to_the_next() -> None:
    turns = Turns[str]()
    with pytest.raises(ValueError, match="broken"):
        async with turns.at("here"):
            raise ValueError("broken")
    async with turns.at("here"):
        assert len(turns) == 1


async def test_who_is_cancelled_while_it_waits_is_forgotten_and_keeps_nobody_out() -> None:
    turns, done = Turns[str](), list[str]()

    async def work(name: str) -> None:
        async with turns.at("here"):
            done.append(name)

    async with turns.at("here"):
        leaving, staying = asyncio.ensure_future(work("leaving")), asyncio.ensure_future(work("staying"))
        await asyncio.sleep(0)
        leaving.cancel()
    await asyncio.gather(leaving, staying, return_exceptions=True)
    assert (done, len(turns)) == (["staying"], 0)


async def test_who_has_no_more_time_stops_waiting_at_a_place() -> None:
    turns = Turns[str]()
    async with turns.at("here"):
        with pytest.raises(DeadlineExceeded):
            async with turns.at("here", 0.001):
                raise AssertionError("it was not its turn")
    async with turns.at("here", 0):
        assert len(turns) == 1


async def test_so_many_go_at_once_and_the_others_in_their_order() -> None:
    line, went = Line(1), list[int]()

    async def go(number: int) -> None:
        await line.take()
        went.append(number)

    calls = [asyncio.ensure_future(go(number)) for number in range(3)]
    await asyncio.sleep(0)
    seen = (list(went), line.waiting)
    line.give()
    line.give()
    await asyncio.gather(*calls)
    assert (seen, went, line.waiting) == (([0], 2), [0, 1, 2], 0)


@pytest.mark.parametrize("within_s", [0.001, 0, -1])
async def test_who_has_no_more_time_stops_waiting(within_s: float) -> None:
    line = Line(0)
    with pytest.raises(DeadlineExceeded) as refused:
        await line.take(within_s)
    assert (refused.value.outcome, line.waiting, line.free) == ("not_applied", 0, 0)


async def test_a_turn_that_is_free_is_taken_by_who_has_no_time_to_wait() -> None:
    line = Line(1)
    await line.take(0)
    assert line.free == 0


async def test_who_is_cancelled_leaves_its_turn_to_the_next() -> None:
    line = Line(1)
    await line.take()
    first, second = (asyncio.ensure_future(line.take()) for _ in range(2))
    await asyncio.sleep(0)
    line.give()
    first.cancel()
    await asyncio.wait((first, second))
    assert (first.cancelled(), second.exception(), line.free) == (True, None, 0)


async def test_who_was_cancelled_while_it_waited_is_passed_over() -> None:
    line = Line(1)
    await line.take()
    waiting = asyncio.ensure_future(line.take())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait((waiting,))
    line.give()
    assert (line.waiting, line.free) == (0, 1)


async def test_whoever_waits_is_told_when_there_are_no_more_turns() -> None:
    line = Line(0)
    calls = [asyncio.ensure_future(line.take()) for _ in range(2)]
    await asyncio.sleep(0)
    line.close(lambda: Unavailable("the engine is stopped"))
    ended = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(each) for each in ended] == [Unavailable, Unavailable]
