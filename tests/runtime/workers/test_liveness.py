"""Whether a process still answers."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import Any

import pytest
from tests.runtime.workers.test_supervisor import worker

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import Unavailable
from soundstage.runtime.workers.liveness import ASK_EVERY_S, SILENT_MAX, falls_silent


class Process:
    """Answers each question with what `answers` says next: at once, never, or by being gone."""

    def __init__(self, *answers: str) -> None:
        self._answers = iter(answers)
        self.heard: list[bool] = []
        self.asked = 0

    async def ask(self, kind: str) -> bytes:
        assert kind == "alive"
        self.asked += 1
        answer = next(self._answers, "gone")
        if answer == "silent":
            await asyncio.Event().wait()
        if answer == "gone":
            raise Unavailable("gone")
        return b""


async def watched(process: Process, environment: VirtualEnvironment) -> bool:
    return await falls_silent(process.ask, environment, process.heard.append)


async def test_a_process_that_never_answers_falls_silent(environment: VirtualEnvironment) -> None:
    process = Process(*["silent"] * SILENT_MAX)
    began_ns = environment.monotonic_ns()
    assert await watched(process, environment)
    assert process.heard == [False] * SILENT_MAX
    assert environment.monotonic_ns() - began_ns == SILENT_MAX * ASK_EVERY_S * 1e9


async def test_one_answer_makes_up_for_silence(environment: VirtualEnvironment) -> None:
    silent = ["silent"] * (SILENT_MAX - 1)
    process = Process(*silent, "answer", *silent, "answer")
    assert not await watched(process, environment)
    assert process.heard.count(True) == 2


async def test_a_process_that_is_gone_is_not_silent(environment: VirtualEnvironment) -> None:
    process = Process("answer")
    assert not await watched(process, environment)
    assert process.heard == [True]


async def test_a_process_is_asked_no_more_than_every_few_seconds(environment: VirtualEnvironment) -> None:
    process = Process(*["answer"] * 10)
    began_ns = environment.monotonic_ns()
    await watched(process, environment)
    assert environment.monotonic_ns() - began_ns == process.asked * ASK_EVERY_S * 1e9


async def test_who_stops_watching_leaves_no_question(environment: VirtualEnvironment) -> None:
    process = Process("silent")
    watching = asyncio.ensure_future(watched(process, environment))
    await asyncio.sleep(0)
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_worker_that_does_not_answer_says_so_until_it_does(environment: VirtualEnvironment) -> None:
    one = worker(environment, "http-1", None)
    one._heard(False)
    assert one.reason == "it is starting"
    one._told("ready", b"")
    one._heard(False)
    assert one.reason == "it does not answer"
    one._heard(True)
    assert one.reason is None


async def test_a_worker_that_falls_silent_is_killed(environment: VirtualEnvironment) -> None:
    one: Any = worker(environment, "http-1", None)
    one._told("ready", b"")
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", "import signal; signal.pause()")
    await one._watch(Process(*["silent"] * SILENT_MAX), child)
    assert await child.wait() == -signal.SIGKILL


async def test_a_worker_that_is_not_ready_is_not_asked(environment: VirtualEnvironment) -> None:
    one: Any = worker(environment, "http-1", None)
    process = Process()
    watching = asyncio.ensure_future(one._watch(process, None))
    for _ in range(5):
        await asyncio.sleep(0)
    assert process.asked == 0
    watching.cancel()
