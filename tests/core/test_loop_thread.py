"""An event loop on a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Iterator

import pytest

from soundstage.core.errors import Unavailable
from soundstage.core.loop_thread import LoopThread


@pytest.fixture
def thread() -> Iterator[LoopThread]:
    made = LoopThread("test")
    yield made
    made.close()


async def name_of_thread() -> str:
    return threading.current_thread().name


async def fail() -> None:
    raise LookupError("no")


async def forever(started: threading.Event, ended: threading.Event) -> None:
    started.set()
    try:
        await asyncio.Event().wait()
    finally:
        ended.set()


def test_a_coroutine_runs_on_the_thread(thread: LoopThread) -> None:
    assert thread.run(name_of_thread()) == "test"


def test_its_error_is_raised_here(thread: LoopThread) -> None:
    with pytest.raises(LookupError):
        thread.run(fail())


def test_several_threads_may_run_at_once(thread: LoopThread) -> None:
    gate = asyncio.Event()

    async def opens() -> None:
        gate.set()

    waiting = threading.Thread(target=lambda: thread.run(gate.wait()))
    waiting.start()
    thread.run(opens())
    waiting.join(10)
    assert not waiting.is_alive()


def test_on_the_loop_itself_it_refuses_instead_of_waiting_for_ever(thread: LoopThread) -> None:
    async def within() -> None:
        thread.run(name_of_thread())

    with pytest.raises(RuntimeError, match="asynchronous one"):
        thread.run(within())


def test_closing_cancels_what_runs() -> None:
    thread, started, ended = LoopThread("test"), threading.Event(), threading.Event()

    def run() -> None:
        with pytest.raises((asyncio.CancelledError, BaseException)):
            thread.run(forever(started, ended))

    waiting = threading.Thread(target=run)
    waiting.start()
    started.wait(10)
    thread.close()
    waiting.join(10)
    assert ended.is_set()


def test_a_closed_one_refuses(thread: LoopThread) -> None:
    thread.close()
    with pytest.raises(Unavailable, match="closed"):
        thread.run(name_of_thread())


def test_closing_twice_changes_nothing(thread: LoopThread) -> None:
    thread.close()
    thread.close()
    with pytest.raises(Unavailable, match="closed"):
        thread.run(name_of_thread())


async def numbers(closed: threading.Event) -> AsyncGenerator[int]:
    try:
        for number in range(3):
            await asyncio.sleep(0)
            yield number
    finally:
        closed.set()


def test_an_asynchronous_generator_is_iterated(thread: LoopThread) -> None:
    closed = threading.Event()
    assert list(thread.iterate(numbers(closed))) == [0, 1, 2]
    assert closed.is_set()


def test_leaving_the_iteration_closes_the_generator(thread: LoopThread) -> None:
    closed = threading.Event()
    iterating = thread.iterate(numbers(closed))
    assert next(iterating) == 0
    iterating.close()
    assert closed.is_set()


def test_an_error_of_the_generator_is_raised(thread: LoopThread) -> None:
    async def failing() -> AsyncGenerator[int]:
        yield 1
        raise LookupError

    iterating = thread.iterate(failing())
    next(iterating)
    with pytest.raises(LookupError):
        next(iterating)
