"""Answers cross from the driver's thread to the loop, many by one wake-up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest
from tests.engines.records.cassandra.scripted import Response

from soundstage.core.errors import Unavailable
from soundstage.engines.records.cassandra.bridge import Bridge
from soundstage.engines.records.cassandra.failures import Failed


def under_way() -> Response:
    return Response(None, 1.0)


async def test_rows_arrive() -> None:
    request = under_way()
    answer = Bridge().answer(request)
    request.answer([(1,)])
    assert await answer == [(1,)]


async def test_an_exception_of_the_driver_arrives_wrapped() -> None:
    request, cause = under_way(), OSError("reset")
    answer = Bridge().answer(request)
    request.answer(cause)
    with pytest.raises(Failed) as failed:
        await answer
    assert failed.value.cause is cause


async def test_answers_arrive_from_another_thread() -> None:
    bridge, requests = Bridge(), [under_way() for _ in range(200)]
    answers = [bridge.answer(request) for request in requests]
    thread = threading.Thread(target=lambda: [each.answer([number]) for number, each in enumerate(requests)])
    thread.start()
    assert await asyncio.gather(*answers) == [[number] for number in range(200)]
    thread.join()


async def test_many_answers_need_one_wake_up(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, wakes = asyncio.get_running_loop(), list[object]()
    wake = loop.call_soon_threadsafe

    def count(deliver: Callable[[], None]) -> None:
        wakes.append(deliver)
        wake(deliver)

    monkeypatch.setattr(loop, "call_soon_threadsafe", count)
    bridge, requests = Bridge(), [under_way() for _ in range(50)]
    answers = [bridge.answer(request) for request in requests]
    for request in requests:
        request.answer([])
    await asyncio.gather(*answers)
    assert len(wakes) == 1


async def test_an_answer_after_the_first_ones_wakes_the_loop_again() -> None:
    bridge = Bridge()
    for number in range(3):
        request = under_way()
        answer = bridge.answer(request)
        request.answer([number])
        assert await answer == [number]


async def test_who_gave_up_waiting_is_not_told() -> None:
    bridge, request, other = Bridge(), under_way(), under_way()
    answer, second = bridge.answer(request), bridge.answer(other)
    answer.cancel()
    request.answer([1])
    other.answer([2])
    assert await second == [2]


async def test_when_it_is_closed_whoever_waits_is_told() -> None:
    bridge, request = Bridge(), under_way()
    answer = bridge.answer(request)
    bridge.close()
    request.answer([1])
    with pytest.raises(Unavailable):
        await answer


async def test_a_closed_bridge_takes_no_request() -> None:
    bridge = Bridge()
    bridge.close()
    with pytest.raises(Unavailable):
        await bridge.answer(under_way())


def test_an_answer_after_the_loop_has_gone_harms_nobody() -> None:
    request = under_way()

    async def ask() -> None:
        Bridge().answer(request)

    asyncio.run(ask())
    request.answer([1])
    request.answer([2])
