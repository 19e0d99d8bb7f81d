from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from soundstage.servers.child import Child
from soundstage.servers.family import started_at

WAITS = ("/bin/sh", "-c", "echo begins; sleep 60 & wait")

APART = (
    "import os, time; os.setsid(); open('mine', 'w').write(f'{os.getpid()}');"
    " os.rename('mine', 'apart'); time.sleep(60)"
)
FAMILY = ("/bin/sh", "-c", f'"{sys.executable}" -c "{APART}" & wait')
"""Starts one that has a group of its own, as the sessions of PostgreSQL do."""

PARENT = """
import os, signal, sys, time
from pathlib import Path
from soundstage.servers.child import Child
folder, *command = sys.argv[1:]
folder = Path(folder)
child = Child(command, folder=folder, log=folder / "log", variables={})
print(child.pid, flush=True)
"""


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Child]:
    started = Child(WAITS, folder=tmp_path, log=tmp_path / "log", variables={})
    yield started
    started.reap()


def wait_until(condition: str) -> None:
    """The shell finds `condition` true."""
    subprocess.run(("sh", "-c", f"until {condition}; do sleep 0.01; done"), check=True, timeout=30)


def wait_for(path: Path) -> None:
    """The file has a line."""
    wait_until(f"[ -s '{path}' ]")


def wait_for_state(pid: int, states: str) -> None:
    """The kernel gives the process one of the `states`: R and S run, T stands still."""
    wait_until(f"grep -q ') [{states}] ' /proc/{pid}/stat")


def test_it_runs_in_a_group_of_its_own(child: Child) -> None:
    assert child.running
    assert os.getpgid(child.pid) == child.pid != os.getpgrp()


def test_once_it_is_paused_no_thread_of_it_goes_on(tmp_path: Path) -> None:
    program = "import threading; [threading.Thread(target=lambda: [None for _ in iter(int, 1)]).start() for _ in '123']"
    child = Child((sys.executable, "-c", program), folder=tmp_path, log=tmp_path / "log", variables={})
    try:
        wait_until(f"[ $(ls /proc/{child.pid}/task | wc -l) -gt 3 ]")
        child.pause()
        stats = [path.read_text() for path in Path(f"/proc/{child.pid}/task").glob("*/stat")]
        assert {stat.rpartition(") ")[2][0] for stat in stats} == {"T"}
        child.signal(signal.SIGCONT)
        wait_for_state(child.pid, "RS")
    finally:
        child.reap()


def test_one_that_has_ended_is_not_waited_for_to_stand_still(tmp_path: Path) -> None:
    child = Child(("true",), folder=tmp_path, log=tmp_path / "log", variables={})
    assert child.ends(30)
    child.pause()
    assert child.reap() == 0


def test_what_it_prints_is_appended_to_its_log(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("before\n")
    child = Child(("echo", "printed"), folder=tmp_path, log=tmp_path / "log", variables={})
    assert child.ends(30)
    child.reap()
    assert (tmp_path / "log").read_text() == "before\nprinted\n"


def test_it_gets_its_variables_and_its_folder(tmp_path: Path) -> None:
    child = Child(
        ("sh", "-c", 'echo "$COLOUR" >said'), folder=tmp_path, log=tmp_path / "log", variables={"COLOUR": "red"}
    )
    assert child.ends(30)
    child.reap()
    assert (tmp_path / "said").read_text() == "red\n"


def test_it_has_no_input_to_wait_for(tmp_path: Path) -> None:
    child = Child(("cat",), folder=tmp_path, log=tmp_path / "log", variables={})
    assert child.ends(30)
    assert child.reap() == 0


def test_its_exit_status_is_kept_until_it_is_reaped(tmp_path: Path) -> None:
    child = Child(("sh", "-c", "exit 7"), folder=tmp_path, log=tmp_path / "log", variables={})
    assert child.ends(30)
    assert not child.running
    assert child.reap() == 7


@pytest.mark.slow
def test_a_child_that_is_reaped_is_killed_with_all_that_it_started(child: Child, tmp_path: Path) -> None:
    wait_for(tmp_path / "log")
    group = child.pid
    assert child.reap() == -signal.SIGKILL
    wait_until(f"! kill -s 0 -- -{group} 2>/dev/null")


def test_reaping_twice_is_the_same(child: Child) -> None:
    assert child.reap() == child.reap()


def test_a_signal_after_the_end_reaches_nobody(child: Child) -> None:
    child.reap()
    child.signal(signal.SIGKILL)
    assert not child.running


def test_one_that_does_not_end_is_not_waited_for_longer_than_asked(child: Child) -> None:
    assert not child.ends(0)


def test_a_paused_child_is_running_and_can_be_killed(child: Child) -> None:
    child.signal(signal.SIGSTOP)
    assert child.running
    assert child.reap() == -signal.SIGKILL


def test_a_command_that_does_not_exist_says_so_in_the_log(tmp_path: Path) -> None:
    child = Child(("no-such-server",), folder=tmp_path, log=tmp_path / "log", variables={})
    assert child.ends(30)
    assert child.reap() == 127
    assert "no-such-server" in (tmp_path / "log").read_text()


def parent_of(command: Sequence[str], folder: Path, then: str = "") -> subprocess.CompletedProcess[str]:
    """A process that starts a child, and does something more, has been killed."""
    program = f"{PARENT}{then}\nos.kill(os.getpid(), signal.SIGKILL)"
    asked = (sys.executable, "-c", program, str(folder), *command)
    return subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False)


def test_it_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    run = parent_of(("/bin/sh", "-c", "echo $$ >pid; sleep 60"), tmp_path)
    assert run.returncode == -signal.SIGKILL
    pid = int(run.stdout)
    wait_until(f"! kill -s 0 {pid} 2>/dev/null || grep -q ') Z ' /proc/{pid}/stat")
    assert started_at(pid) == 0


@pytest.mark.parametrize("paused", ["", "child.pause()"])
def test_whoever_left_its_group_dies_with_a_parent_that_is_killed(tmp_path: Path, paused: str) -> None:
    run = parent_of(FAMILY, tmp_path, f"\nwhile not (folder / 'apart').exists(): time.sleep(0.01)\n{paused}")
    assert run.returncode == -signal.SIGKILL
    apart = int((tmp_path / "apart").read_text())
    wait_until(f"! kill -s 0 {apart} 2>/dev/null || grep -q ') Z ' /proc/{apart}/stat")
    assert started_at(apart) == 0


@pytest.fixture
def family(tmp_path: Path) -> Iterator[tuple[Child, int]]:
    """A server, and one that it started and that left its group."""
    started = Child(FAMILY, folder=tmp_path, log=tmp_path / "log", variables={})
    wait_for(tmp_path / "apart")
    yield started, int((tmp_path / "apart").read_text())
    started.reap()


def test_whoever_left_its_group_is_killed_with_it(family: tuple[Child, int]) -> None:
    child, apart = family
    child.reap()
    assert subprocess.run(("sh", "-c", f"! grep -q ') [RSD] ' /proc/{apart}/stat"), check=False).returncode == 0


def test_whoever_left_its_group_stands_still_with_it_and_goes_on_with_it(family: tuple[Child, int]) -> None:
    child, apart = family
    child.pause()
    wait_for_state(apart, "T")
    child.resume()
    wait_for_state(apart, "S")
