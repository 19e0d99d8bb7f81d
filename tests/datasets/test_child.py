from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from soundstage.core.environment import Environment, SystemEnvironment, VirtualEnvironment
from soundstage.core.errors import DeadlineExceeded, Unavailable
from soundstage.datasets.child import OUTPUT_BYTES_MAX, Ended, run_child

# Says its own number and its child's, then both wait to be killed.
PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
open("pids", "w").write(f"{child.pid} {__import__('os').getpid()} ")
child.wait()
"""


def run(
    folder: Path,
    *command: str,
    tick: Callable[[], None] = lambda: None,
    environment: Environment | None = None,
    variables: dict[str, str] | None = None,
) -> Ended:
    return run_child(
        command,
        folder=folder,
        log=folder / "output.log",
        time_limit_s=60,
        environment=environment or SystemEnvironment(),
        variables=variables or {},
        tick=tick,
    )


def python(folder: Path, code: str) -> Ended:
    return run(folder, sys.executable, "-c", code)


class Family:
    """Waits, tick by tick, until parent and child have told their numbers; then does `then`."""

    def __init__(self, folder: Path, then: Callable[[], None]) -> None:
        self.path = folder / "pids"
        self.then = then
        self.watched: list[int] = []

    def __call__(self) -> None:
        if self.path.exists() and (told := self.path.read_text("utf-8")).endswith(" "):
            self.watched = self.watched or [os.pidfd_open(int(pid)) for pid in told.split()]
            self.then()

    def ended(self) -> int:
        """How many have ended; waits 30 s for those that were killed but are not yet gone."""
        ended = [bool(select.select([watched], [], [], 30)[0]) for watched in self.watched]
        for watched in self.watched:
            os.close(watched)
        return sum(ended)


class Cancelled(Exception):
    pass


def cancel() -> None:
    raise Cancelled


def test_status_and_both_outputs_are_returned(tmp_path: Path) -> None:
    ended = python(tmp_path, "import sys; print('out', flush=True); print('err', file=sys.stderr); sys.exit(3)")
    assert (ended.status, ended.output) == (3, "out\nerr\n")


def test_only_the_end_of_a_long_output_is_kept(tmp_path: Path) -> None:
    ended = python(tmp_path, "print('x' * 1_000_000 + 'end')")
    assert len(ended.output) == OUTPUT_BYTES_MAX
    assert ended.output.endswith("end\n")


def test_arguments_reach_the_child_as_they_are(tmp_path: Path) -> None:
    ended = run(tmp_path, sys.executable, "-c", "import sys; print(sys.argv[1])", "$HOME; touch x `id` 'q")
    assert ended.output == "$HOME; touch x `id` 'q\n"


def test_variables_are_added_to_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEPT", "1")
    code = "import os; print(os.environ['KEPT'], os.environ['ADDED'])"
    assert run(tmp_path, sys.executable, "-c", code, variables={"ADDED": "2"}).output == "1 2\n"


def test_the_child_runs_in_the_folder_and_reads_nothing(tmp_path: Path) -> None:
    ended = python(tmp_path, "import os, sys; print(os.getcwd(), repr(sys.stdin.read()))")
    assert ended.output == f"{tmp_path} ''\n"


def test_cancelling_kills_the_child_and_its_children(tmp_path: Path) -> None:
    family = Family(tmp_path, cancel)
    with pytest.raises(Cancelled):
        run(tmp_path, sys.executable, "-c", PARENT, tick=family)
    assert family.ended() == 2


def test_the_time_limit_kills_the_child_and_its_children(tmp_path: Path) -> None:
    environment = VirtualEnvironment()
    family = Family(tmp_path, lambda: environment.advance(61))
    with pytest.raises(DeadlineExceeded, match="within 60 s"):
        run(tmp_path, sys.executable, "-c", PARENT, tick=family, environment=environment)
    assert family.ended() == 2


def test_a_child_killed_from_outside_has_a_negative_status(tmp_path: Path) -> None:
    assert python(tmp_path, "import os; os.kill(os.getpid(), 9)").status == -9


def test_an_absent_command_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot start") as caught:
        run(tmp_path, str(tmp_path / "absent"))
    assert not caught.value.retryable


def test_a_command_that_may_not_run_is_unavailable(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("no program", "utf-8")
    plain.chmod(0o644)
    with pytest.raises(Unavailable, match="cannot start"):
        run(tmp_path, str(plain))


def test_the_reason_is_in_the_first_lines_that_speak_of_errors() -> None:
    ended = Ended(1, "looking\nnpm error code E404\n\n npm error not found \nnpm error see the log\nbye\n")
    assert ended.reason(lines=2) == "npm error code E404; npm error not found"


def test_without_errors_the_reason_is_in_the_last_lines() -> None:
    assert Ended(1, "looking\nnot there\nbye\n").reason(lines=2) == "not there; bye"


def test_the_reason_keeps_credentials_to_itself() -> None:
    ended = Ended(1, "ERROR: 403 from https://me:secret@mirror/simple\n")
    assert ended.reason() == "ERROR: 403 from https://***@mirror/simple"


def test_a_silent_failure_gives_the_status_as_reason() -> None:
    assert Ended(7, "").reason() == "exit status 7"


def test_nothing_is_left_open(tmp_path: Path) -> None:
    before = set(os.listdir("/proc/self/fd"))
    python(tmp_path, "pass")
    assert set(os.listdir("/proc/self/fd")) == before
