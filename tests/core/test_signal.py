from __future__ import annotations

import asyncio

from soundstage.core.signal import Signal


async def test_who_waits_is_woken_by_the_next_change() -> None:
    signal = Signal()
    waiting = [asyncio.ensure_future(signal.wait(0)) for _ in range(3)]
    await asyncio.sleep(0)
    signal.notify()
    assert await asyncio.gather(*waiting) == [1, 1, 1]


async def test_a_change_that_was_missed_is_not_waited_for() -> None:
    signal = Signal()
    signal.notify()
    signal.notify()
    assert await signal.wait(0) == 2


async def test_a_change_that_was_seen_is() -> None:
    signal = Signal()
    signal.notify()
    waiting = asyncio.ensure_future(signal.wait(1))
    await asyncio.sleep(0)
    assert not waiting.done()
    signal.notify()
    assert await waiting == 2


async def test_a_change_between_looking_and_waiting_is_not_lost() -> None:
    signal = Signal()
    seen = signal.count
    signal.notify()
    assert await asyncio.wait_for(signal.wait(seen), 1) == 1
