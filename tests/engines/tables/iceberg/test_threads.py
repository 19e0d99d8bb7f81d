"""Threads that block, and calls that end all the same."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import DeadlineExceeded, Exhausted, SoundstageError, Unavailable
from soundstage.engines.tables.iceberg import threads as module
from soundstage.engines.tables.iceberg.threads import Threads
from soundstage.engines.tables.iceberg.work import Work, work_here

ENVIRONMENT = SystemEnvironment()


class Stuck:
    """Work that blocks whatever is said to it, until it may go on."""

    def __init__(self, *, commits: bool = False) -> None:
        self.begun = threading.Event()
        self.go_on = threading.Event()
        self.ended = threading.Event()
        self._commits = commits

    def __call__(self, work: Work) -> int:
        if self._commits:
            work.commits()
        self.begun.set()
        assert self.go_on.wait(30)
        self.ended.set()
        return 7


@pytest.fixture
async def threads() -> AsyncIterator[Threads]:
    made = Threads(2, ENVIRONMENT)
    made.start()
    yield made
    await made.stop()


def soon() -> int:
    """A deadline that is just ahead."""
    return ENVIRONMENT.monotonic_ns() + 50_000_000


async def refused(call: Any) -> SoundstageError:
    with pytest.raises(SoundstageError) as error:
        await call
    return error.value


async def set_(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, 30)


async def test_what_work_comes_to_is_returned(threads: Threads) -> None:
    assert await threads.run("films", lambda _: 7) == 7
    assert await threads.run("films", lambda _: 7, deadline_ns=1 << 62) == 7


async def test_a_thread_is_told_what_it_does(threads: Threads) -> None:
    assert await threads.run("films", lambda work: work_here() is work)


@pytest.mark.parametrize(("commits", "outcome"), [(False, "not_applied"), (True, "unknown")])
async def test_what_fails_before_its_commit_was_not_made(threads: Threads, commits: bool, outcome: str) -> None:
    def full(work: Work) -> None:
        if commits:
            work.commits()
        raise OSError(28, "No space left on device")

    error = await refused(threads.run("films", full))
    assert (type(error), error.retryable, error.outcome) == (Unavailable, True, outcome)


async def test_nothing_begins_when_the_deadline_has_passed(threads: Threads) -> None:
    begun: list[Work] = []
    error = await refused(threads.run("films", begun.append, deadline_ns=0))
    assert (type(error), error.outcome, begun) == (DeadlineExceeded, "not_applied", [])


@pytest.mark.parametrize(("commits", "outcome"), [(False, "not_applied"), (True, "unknown")])
async def test_a_call_ends_by_its_deadline_though_its_thread_is_stuck(
    threads: Threads, commits: bool, outcome: str
) -> None:
    stuck = Stuck(commits=commits)
    call = asyncio.ensure_future(threads.run("films", stuck))
    await set_(stuck.begun)
    call.cancel()
    late = Stuck(commits=commits)
    error = await refused(threads.run("films", late, deadline_ns=ENVIRONMENT.monotonic_ns() + 3 * 10**8))
    assert (type(error), late.ended.is_set()) == (DeadlineExceeded, False)
    assert error.outcome == outcome or not late.begun.is_set()
    stuck.go_on.set()
    late.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await threads.run("films", lambda _: 7) == 7


async def test_work_that_waits_for_stuck_threads_is_not_begun_once_its_caller_has_left(threads: Threads) -> None:
    stuck = [Stuck(), Stuck()]
    calls = [asyncio.ensure_future(threads.run("films", each)) for each in stuck]
    for each in stuck:
        await set_(each.begun)
    begun: list[Work] = []
    errors = [await refused(threads.run("films", begun.append, deadline_ns=soon())) for _ in range(3)]
    assert [(type(each), each.outcome) for each in errors] == [(DeadlineExceeded, "not_applied")] * 3
    for each in stuck:
        each.go_on.set()
    assert await asyncio.gather(*calls) == [7, 7]
    assert (await threads.run("films", lambda _: 8), begun) == (8, [])


async def test_no_more_threads_are_made_for_those_that_are_stuck(threads: Threads) -> None:
    stuck = Stuck()
    for _ in range(8):
        await refused(threads.run("films", stuck, deadline_ns=soon()))
    assert sum(each.name.startswith("tables") for each in threading.enumerate()) <= 2
    stuck.go_on.set()
    assert await threads.run("films", lambda _: 7) == 7


async def test_who_is_cancelled_leaves_when_the_thread_has_ended(threads: Threads) -> None:
    stuck = Stuck()
    call = asyncio.ensure_future(threads.run("films", stuck))
    await set_(stuck.begun)
    call.cancel()
    await asyncio.sleep(0)
    assert not call.done()
    stuck.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert stuck.ended.is_set()


async def test_who_is_cancelled_leaves_by_the_deadline(threads: Threads) -> None:
    stuck = Stuck()
    call = asyncio.ensure_future(threads.run("films", stuck, deadline_ns=ENVIRONMENT.monotonic_ns() + 300_000_000))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises((asyncio.CancelledError, DeadlineExceeded)):
        await call
    assert not stuck.ended.is_set()
    stuck.go_on.set()


async def test_what_a_job_came_to_for_who_was_cancelled_is_undone_before_that_one_leaves(threads: Threads) -> None:
    stuck, undone = Stuck(), list[int]()
    call = asyncio.ensure_future(threads.run("films", stuck, undo=undone.append))
    await set_(stuck.begun)
    call.cancel()
    stuck.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert undone == [7]


async def test_what_a_job_comes_to_after_the_deadline_is_undone_then(threads: Threads) -> None:
    stuck, undone = Stuck(), threading.Event()
    with pytest.raises(DeadlineExceeded):
        await threads.run("films", stuck, deadline_ns=soon(), undo=lambda _: undone.set())
    assert not undone.is_set()
    stuck.go_on.set()
    await set_(undone)


async def test_what_a_job_came_to_in_time_is_not_undone(threads: Threads) -> None:
    undone = list[int]()
    assert await threads.run("films", lambda _: 7, undo=undone.append) == 7
    assert undone == []


async def test_of_a_job_that_failed_nothing_is_undone(threads: Threads) -> None:
    go_on, undone = threading.Event(), list[int]()

    def fail(_: Work) -> int:
        assert go_on.wait(30)
        raise ValueError

    call = asyncio.ensure_future(threads.run("films", fail, undo=undone.append))
    await asyncio.sleep(0)
    call.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert undone == []


@pytest.mark.parametrize(("commits", "outcome"), [(False, "not_applied"), (True, "unknown")])
async def test_a_stop_leaves_a_thread_that_is_stuck(
    monkeypatch: pytest.MonkeyPatch, commits: bool, outcome: str
) -> None:
    monkeypatch.setattr(module, "STOP_WITHIN_S", 0.01)
    threads = Threads(1, ENVIRONMENT)
    threads.start()
    stuck, begun = Stuck(commits=commits), list[Work]()
    calls = [asyncio.ensure_future(refused(threads.run("films", each))) for each in (stuck, begun.append)]
    await set_(stuck.begun)
    await threads.stop()
    errors = await asyncio.gather(*calls)
    assert [(type(each), each.outcome) for each in errors] == [(Unavailable, outcome), (Unavailable, "not_applied")]
    assert type(await refused(threads.run("films", begun.append))) is Unavailable
    stuck.go_on.set()
    await set_(stuck.ended)
    assert begun == []


async def test_too_many_calls_are_refused(threads: Threads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAITING_MAX", 1)
    with threads.asked(), pytest.raises(Exhausted), threads.asked():
        pass
    with threads.asked():
        pass


async def test_what_is_done_aside_is_waited_for_until_the_deadline_and_fails_nobody(threads: Threads) -> None:
    done: list[str] = []
    await threads.aside(lambda: done.append("a"), None)
    assert done == ["a"]

    def fails() -> None:
        raise OSError("no")

    await threads.aside(fails, 1 << 62)
    stuck = Stuck()
    job: Callable[[], None] = lambda: [stuck(Work(lambda: True))].clear()  # noqa: E731
    await threads.aside(job, 0)
    await threads.aside(job, soon())
    assert not stuck.ended.is_set()
    stuck.go_on.set()
    await set_(stuck.ended)


async def test_nothing_is_done_aside_of_an_engine_that_is_stopped() -> None:
    threads = Threads(1, ENVIRONMENT)
    done: list[str] = []
    await threads.aside(lambda: done.append("a"), None)
    assert done == []
