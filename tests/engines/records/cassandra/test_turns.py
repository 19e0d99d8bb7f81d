"""Who waits for a turn, for how long, and who has it when somebody leaves."""

from __future__ import annotations

import asyncio

import pytest

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import DeadlineExceeded, Unavailable
from soundstage.engines.records.cassandra.turns import Line, Turns

PLACE, OTHER = (1, b"record"), (1, b"other")


def within(environment: VirtualEnvironment, seconds: float) -> int:
    return environment.monotonic_ns() + round(seconds * 1e9)


async def test_so_many_go_at_once_and_the_others_in_their_order(environment: VirtualEnvironment) -> None:
    line, went = Line(1, environment), list[int]()

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


async def test_who_has_no_more_time_stops_waiting(environment: VirtualEnvironment) -> None:
    line = Line(0, environment)
    with pytest.raises(DeadlineExceeded) as refused:
        await line.take(within(environment, 0.01))
    assert (refused.value.outcome, line.waiting, line.free) == ("not_applied", 0, 0)


async def test_who_is_late_already_does_not_wait(environment: VirtualEnvironment) -> None:
    environment.advance(1)
    with pytest.raises(DeadlineExceeded):
        await Line(0, environment).take(0)


async def test_a_turn_that_came_in_time_is_taken(environment: VirtualEnvironment) -> None:
    line = Line(1, environment)
    await line.take(environment.monotonic_ns())
    assert line.free == 0


async def test_who_is_cancelled_leaves_its_turn_to_the_next(environment: VirtualEnvironment) -> None:
    line = Line(1, environment)
    await line.take()
    first, second = (asyncio.ensure_future(line.take()) for _ in range(2))
    await asyncio.sleep(0)
    line.give()
    first.cancel()
    await asyncio.wait((first, second))
    assert (first.cancelled(), second.exception(), line.free) == (True, None, 0)


async def test_who_was_cancelled_while_it_waited_is_passed_over(environment: VirtualEnvironment) -> None:
    line = Line(1, environment)
    await line.take()
    waiting = asyncio.ensure_future(line.take())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait((waiting,))
    line.give()
    assert (line.waiting, line.free) == (0, 1)


async def test_whoever_waits_is_told_when_there_are_no_more_turns(environment: VirtualEnvironment) -> None:
    line = Line(0, environment)
    calls = [asyncio.ensure_future(line.take(deadline_ns)) for deadline_ns in (None, None)]
    await asyncio.sleep(0)
    line.close()
    ended = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(each) for each in ended] == [Unavailable, Unavailable]


async def test_writers_of_one_partition_take_turns_and_those_of_others_go_on(environment: VirtualEnvironment) -> None:
    turns = Turns(environment)
    await turns.take(PLACE)
    await turns.take(OTHER)
    second = asyncio.ensure_future(turns.take(PLACE))
    await asyncio.sleep(0)
    waited = not second.done()
    turns.give(PLACE)
    await second
    assert waited


async def test_a_writer_gives_up_behind_one_that_does_not_end(environment: VirtualEnvironment) -> None:
    turns = Turns(environment)
    await turns.take(PLACE)
    with pytest.raises(DeadlineExceeded):
        await turns.take(PLACE, within(environment, 0.01))
    turns.give(PLACE)
    await turns.take(PLACE)


async def test_nothing_is_kept_of_a_partition_that_nobody_writes(environment: VirtualEnvironment) -> None:
    turns = Turns(environment)
    for place in (PLACE, OTHER):
        await turns.take(place)
        turns.give(place)
    with pytest.raises(KeyError):
        turns.give(PLACE)
