from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.servers.sample import Sample, SampleKit
from tests.servers.test_child import wait_for, wait_for_state

from soundstage.core.errors import PreconditionFailed
from soundstage.servers.kind import Node
from soundstage.servers.server import Server, tail


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    node = Node(0, tmp_path, "127.0.0.1", {"first": 1}, {"works": "yes"})
    made = Server(node, (node,), SampleKit(), Sample())
    yield made
    made.kill()


def test_one_that_was_not_started_does_not_run(server: Server) -> None:
    assert not server.running
    assert server.pid is None


def test_a_started_one_runs_and_prints_to_its_log(server: Server) -> None:
    server.start()
    wait_for(server.log)
    assert server.running
    assert server.logs() == "node 0 begins"


def test_starting_twice_starts_one_process(server: Server) -> None:
    server.start()
    pid = server.pid
    server.start()
    assert server.pid == pid


def test_a_killed_one_can_be_started_again(server: Server) -> None:
    server.start()
    first = server.pid
    server.kill()
    assert not server.running
    server.start()
    assert server.running
    assert server.pid != first


def test_a_paused_one_stands_still_until_it_is_resumed(server: Server) -> None:
    server.start()
    pid = server.pid or 0
    server.pause()
    wait_for_state(pid, "T")
    server.resume()
    wait_for_state(pid, "RS")


def test_a_paused_one_can_be_stopped(server: Server) -> None:
    server.start()
    server.pause()
    server.stop()
    assert not server.running


@pytest.mark.parametrize("act", ["pause", "resume"])
def test_signals_need_a_process(server: Server, act: str) -> None:
    with pytest.raises(PreconditionFailed, match="node 0 is not running"):
        getattr(server, act)()


@pytest.mark.parametrize("act", ["kill", "stop", "ask_to_end"])
def test_ending_what_does_not_run_does_nothing(server: Server, act: str) -> None:
    getattr(server, act)()
    assert not server.running


def test_one_that_ignores_the_signal_to_end_is_killed(tmp_path: Path) -> None:
    class Stubborn(Sample):
        stop_signal: signal.Signals = signal.SIGCONT
        stop_within_s: float = 0.01

    node = Node(0, tmp_path, "127.0.0.1", {"first": 1}, {"works": "yes"})
    server = Server(node, (node,), SampleKit(), Stubborn())
    server.start()
    server.stop()
    assert not server.running


def test_the_last_lines_are_shown(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("a\nb\nc\n")
    assert tail(tmp_path / "log", 2) == "b\nc"
    assert tail(tmp_path / "log", 9) == "a\nb\nc"
    assert tail(tmp_path / "log", 0) == ""


def test_a_log_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert tail(tmp_path / "none", 5) == ""
