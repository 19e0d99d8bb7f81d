"""Who changes the same thing waits for each other, and nobody else does."""

from __future__ import annotations

import asyncio

import pytest

from soundstage.core.turns import Turns


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
