"""Two processes tell, ask and answer."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import pytest

from soundstage.core.errors import Unavailable
from soundstage.runtime.workers.channel import MESSAGE_MAX_BYTES, Channel


class End:
    """One end, which notes what it is told and echoes what it is asked."""

    def __init__(self) -> None:
        self.told: list[tuple[str, bytes]] = []
        self.news = asyncio.Event()
        self.go = asyncio.Event()
        self.go.set()
        self.channel: Channel
        self.running: asyncio.Task[None]

    async def open(self, connection: socket.socket) -> End:
        self.channel = await Channel.over(connection, self.answer, self.note)
        self.running = asyncio.ensure_future(self.channel.run())
        return self

    async def answer(self, kind: str) -> bytes:
        await self.go.wait()
        return f"{kind}?".encode()

    def note(self, kind: str, body: bytes) -> None:
        self.told.append((kind, body))
        self.news.set()

    async def close(self) -> None:
        self.channel.close()
        await self.running


@pytest.fixture
async def ends() -> AsyncIterator[tuple[End, End]]:
    left, right = socket.socketpair()
    ours, theirs = await End().open(left), await End().open(right)
    yield ours, theirs
    await ours.close()
    await theirs.close()


async def outcome(call: Awaitable[Any]) -> Any:
    try:
        return await call
    except Unavailable as error:
        return error.code


async def test_what_is_told_arrives_in_order(ends: tuple[End, End]) -> None:
    ours, theirs = ends
    ours.channel.tell("order", b"x" * 100_000)
    ours.channel.tell("stop")
    while len(theirs.told) < 2:
        await theirs.news.wait()
        theirs.news.clear()
    assert theirs.told == [("order", b"x" * 100_000), ("stop", b"")]


async def test_both_sides_ask_at_once(ends: tuple[End, End]) -> None:
    ours, theirs = ends
    asked = [side.channel.ask(f"q{number}") for number in range(20) for side in (ours, theirs)]
    assert await asyncio.gather(*asked) == [f"q{number}?".encode() for number in range(20) for _ in range(2)]


async def test_an_answer_that_is_late_holds_up_nothing(ends: tuple[End, End]) -> None:
    ours, theirs = ends
    theirs.go.clear()
    slow = asyncio.ensure_future(ours.channel.ask("slow"))
    assert await theirs.channel.ask("quick") == b"quick?"
    assert not slow.done()
    theirs.go.set()
    assert await slow == b"slow?"


async def test_who_asks_one_that_goes_away_is_told_so(ends: tuple[End, End]) -> None:
    ours, theirs = ends
    theirs.go.clear()
    asked = asyncio.ensure_future(outcome(ours.channel.ask("slow")))
    await asyncio.sleep(0)
    await theirs.close()
    assert await asked == "unavailable"
    assert await outcome(ours.channel.ask("again")) == "unavailable"


async def test_a_channel_ends_with_the_other_side(ends: tuple[End, End]) -> None:
    ours, theirs = ends
    await theirs.close()
    await ours.running
    ours.channel.tell("nobody hears")


async def test_one_that_gave_up_its_question_is_not_answered(ends: tuple[End, End]) -> None:
    ours, theirs = ends
    theirs.go.clear()
    asked = asyncio.ensure_future(ours.channel.ask("slow"))
    await asyncio.sleep(0)
    asked.cancel()
    theirs.go.set()
    assert await ours.channel.ask("next") == b"next?"


@pytest.mark.parametrize(
    "sent", [(MESSAGE_MAX_BYTES + 1).to_bytes(4, "big"), b"\0\0\0\1\xc1", b"\0\0\0\2\xff\xff", b"\0\0"]
)
async def test_nonsense_ends_the_channel(sent: bytes) -> None:
    left, right = socket.socketpair()
    end = await End().open(left)
    right.sendall(sent)
    right.shutdown(socket.SHUT_WR)
    await end.running
    right.close()


async def test_what_was_told_last_has_left_once_it_is_flushed(ends: tuple[End, End]) -> None:
    ours, theirs = ends
    ours.channel.tell("failed", b"why")
    await ours.channel.flushed()
    await ours.close()
    await theirs.running
    assert theirs.told == [("failed", b"why")]
