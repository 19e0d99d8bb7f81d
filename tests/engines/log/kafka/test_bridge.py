"""What arrives in other threads is heard in the event loop, in order, and nobody waits for what never comes."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from typing import Any

import pytest

from soundstage.core.errors import Unavailable
from soundstage.engines.log.kafka.bridge import Bridge


async def test_an_answer_of_another_thread_is_what_it_was() -> None:
    asked: Future[Any] = Future()
    answer = Bridge().answer(asked)
    await asyncio.to_thread(asked.set_result, 7)
    assert await answer == 7


async def test_an_error_of_another_thread_is_raised() -> None:
    asked: Future[Any] = Future()
    answer = Bridge().answer(asked)
    await asyncio.to_thread(asked.set_exception, KeyError("a"))
    with pytest.raises(KeyError):
        await answer


async def test_many_things_wake_the_loop_once_and_are_heard_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    bridge = Bridge()
    heard: list[int] = []
    wakes: list[Any] = []
    call_soon = bridge.loop.call_soon_threadsafe

    def counted(*given: Any) -> Any:
        wakes.append(given)
        return call_soon(*given)

    monkeypatch.setattr(bridge.loop, "call_soon_threadsafe", counted)
    for number in range(100):
        bridge.tell(heard.append, number)
    await asyncio.sleep(0)
    assert (heard, len(wakes)) == (list(range(100)), 1)


async def test_who_waits_when_it_closes_is_told_that_it_is_stopped() -> None:
    bridge = Bridge()
    waiting = bridge.promise()
    bridge.close()
    with pytest.raises(Unavailable) as refused:
        await waiting
    assert refused.value.outcome == "unknown"
    with pytest.raises(Unavailable):
        await bridge.promise()


async def test_what_comes_for_who_has_left_is_dropped() -> None:
    bridge = Bridge()
    asked: Future[Any] = Future()
    answer = bridge.answer(asked)
    answer.cancel()
    asked.set_result(1)
    await asyncio.sleep(0)
    assert answer.cancelled()


def test_a_loop_that_has_gone_is_no_error() -> None:
    async def made() -> Bridge:
        return Bridge()

    bridge = asyncio.run(made())
    bridge.tell(print)
    bridge.tell(print)
