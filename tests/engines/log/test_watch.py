"""Waiters are woken by what they wait for, and leave nothing behind."""

from __future__ import annotations

import asyncio

import pytest

from soundstage.core.environment import VirtualEnvironment
from soundstage.engines.log.watch import Watch


@pytest.fixture
def environment() -> VirtualEnvironment:
    return VirtualEnvironment()


@pytest.fixture
def watch(environment: VirtualEnvironment) -> Watch:
    return Watch(environment)


async def begun(watch: Watch, *keys: str) -> asyncio.Future[bool]:
    waiting = asyncio.ensure_future(watch.until(keys, None))
    await asyncio.sleep(0)
    return waiting


async def test_what_is_told_wakes_who_waits_for_it(watch: Watch) -> None:
    one, other = await begun(watch, "a", "b"), await begun(watch, "c")
    watch.tell("b")
    assert await one
    assert not other.done()
    other.cancel()


async def test_everybody_can_be_told(watch: Watch) -> None:
    waiting = [await begun(watch, key) for key in "abc"]
    watch.tell_all()
    assert await asyncio.gather(*waiting) == [True] * 3


async def test_a_deadline_ends_the_wait(watch: Watch, environment: VirtualEnvironment) -> None:
    assert not await watch.until(["a"], environment.monotonic_ns() + 1_000_000_000)
    assert environment.monotonic_ns() == 1_000_000_000


async def test_a_deadline_that_has_passed_is_not_waited_for(watch: Watch) -> None:
    assert not await watch.until(["a"], 0)


async def test_who_has_waited_leaves_nothing_behind(watch: Watch, environment: VirtualEnvironment) -> None:
    cancelled, woken = await begun(watch, "a", "b"), await begun(watch, "a", "c")
    cancelled.cancel()
    await asyncio.gather(cancelled, return_exceptions=True)
    watch.tell("a")
    await woken
    await watch.until(["d"], environment.monotonic_ns() + 1)
    assert watch._waiting == {}


async def test_telling_what_nobody_waits_for_is_no_error(watch: Watch) -> None:
    watch.tell("a")
    watch.tell_all()
