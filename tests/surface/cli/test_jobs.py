from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from tests.runtime.cluster import ERRANDS
from tests.runtime.errands.api import Count, ErrandsCalls

from soundstage.catalogue import SYSTEMS
from soundstage.client.connection import Connection
from soundstage.core.loop_thread import LoopThread
from soundstage.runtime.config import HttpConfig
from soundstage.runtime.jobs.api import Jobs
from soundstage.runtime.stage import Stage
from soundstage.surface.cli.failure import CommandFailure
from soundstage.surface.cli.jobs import carry_out
from soundstage.surface.cli.options import Target
from soundstage.surface.http.server import Server

FOR_EVER = Count(to=100_000)


class Served(NamedTuple):
    """A stage with jobs that count, served on a thread of its own."""

    stage: Stage
    thread: LoopThread
    url: str

    def carry_out(self, request: Count, *, detach: bool = False) -> int:
        return carry_out(ErrandsCalls.resuming, request, Target(url=self.url), "json", detach)

    def states(self) -> list[str]:
        found: Any = self.thread.run(self.stage.client(Jobs).list())
        return [job.state for job in found.jobs]

    def once_running(self, act: Any) -> None:
        """`act` on another thread, as soon as a job runs."""

        def wait() -> None:
            for _ in range(100_000):
                if "running" in self.states():
                    return act()
            return None

        threading.Thread(target=wait, daemon=True).start()


@pytest.fixture
def served() -> Iterator[Served]:
    thread = LoopThread("served")
    stage = Stage.open(data="memory:", systems=(*SYSTEMS, ERRANDS), config={"control": {"drain_timeout": "1ms"}})
    thread.run(stage.start())
    server = Server(stage, HttpConfig(port=0))
    try:
        yield Served(stage, thread, thread.run(server.start()))
    finally:
        thread.run(server.stop())
        thread.run(stage.stop())
        thread.close()


@pytest.fixture
def keyboard(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """What is written here is typed at a terminal that standard input reads."""
    master, slave = os.openpty()
    with os.fdopen(slave) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield master
    os.close(master)


class Terminal(io.StringIO):
    """Standard error of a command, and whether the question has been put there."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: threading.Event = threading.Event()

    def write(self, text: str, /) -> int:
        if "cancel the job" in text:
            self.asked.set()
        return super().write(text)


def press_ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_the_result_of_a_job_is_printed(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    assert served.carry_out(Count(to=0)) == 0
    assert json.loads(capsys.readouterr().out)["numbers"] == []


def test_a_job_that_is_not_waited_for_goes_on(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    assert served.carry_out(FOR_EVER, detach=True) == 0
    assert list(json.loads(capsys.readouterr().out)) == ["job_id"]
    assert served.states()[0] in {"queued", "running"}


def test_a_job_that_is_refused_fails_the_command(served: Served) -> None:
    with pytest.raises(CommandFailure) as refused:
        served.carry_out(Count(to=-1))
    assert (refused.value.exit_code, refused.value.error.code) == (1, "invalid_argument")


@pytest.mark.slow
def test_a_job_that_fails_fails_the_command(served: Served) -> None:
    with pytest.raises(CommandFailure, match="no such number") as refused:
        served.carry_out(Count(to=1, how="refuse", at=0))
    assert (refused.value.exit_code, refused.value.error.code) == (1, "not_found")


def test_where_nobody_answers_no_job_is_started() -> None:
    with pytest.raises(CommandFailure) as refused:
        carry_out(ErrandsCalls.resuming, FOR_EVER, Target(url="http://127.0.0.1:1"), "json", False)
    assert refused.value.exit_code == 3


@pytest.mark.slow
def test_ctrl_c_cancels_where_nobody_can_be_asked(served: Served) -> None:
    served.once_running(press_ctrl_c)
    with pytest.raises(CommandFailure) as ended:
        served.carry_out(FOR_EVER)
    assert ended.value.exit_code == 1
    assert served.states() == ["cancelled"]


@pytest.mark.slow
def test_ctrl_c_while_a_job_is_being_started_means_that_job(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    start = Connection.start_job

    async def start_job(self: Connection, *given: Any) -> Any:
        job = await start(self, *given)
        press_ctrl_c()
        # Where nobody takes the signal for the job's, this is cancelled.
        await asyncio.sleep(0)
        return job

    monkeypatch.setattr(Connection, "start_job", start_job)
    with pytest.raises(CommandFailure) as ended:
        served.carry_out(FOR_EVER)
    assert ended.value.exit_code == 1
    assert served.states() == ["cancelled"]


@pytest.mark.slow
def test_who_says_yes_cancels(served: Served, keyboard: int, capsys: pytest.CaptureFixture[str]) -> None:
    os.write(keyboard, b"y\n")
    served.once_running(press_ctrl_c)
    with pytest.raises(CommandFailure):
        served.carry_out(FOR_EVER)
    assert served.states() == ["cancelled"]
    assert "cancel the job" in capsys.readouterr().err


@pytest.mark.slow
def test_who_says_no_leaves_the_job_to_itself(
    served: Served, keyboard: int, capsys: pytest.CaptureFixture[str]
) -> None:
    os.write(keyboard, b"\n")
    served.once_running(press_ctrl_c)
    assert served.carry_out(FOR_EVER) == 130
    assert served.states() == ["running"]
    assert "see soundstage jobs get --job-id" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.usefixtures("keyboard")
def test_a_second_ctrl_c_waits_for_no_answer(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    # What pytest captures loses what is written while another thread reads it.
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)

    def twice() -> None:
        press_ctrl_c()
        terminal.asked.wait()
        press_ctrl_c()

    served.once_running(twice)
    assert served.carry_out(FOR_EVER) == 130
    assert served.states() == ["running"]
