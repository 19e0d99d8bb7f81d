from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from soundstage.testing.crash.process import StageProcess


def program(code: str) -> tuple[str, ...]:
    """Stands for Soundstage: it gets the same words, and does what a test says."""
    return (sys.executable, "-u", "-c", f"import os, sys, time, signal\n{code}")


SERVES = "print('ready http://127.0.0.1:1234')\nsignal.pause()"


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_it_is_there_once_it_says_that_it_is_ready(tmp_path: Path) -> None:
    with StageProcess(tmp_path, program=program(SERVES)) as server:
        assert server.url == "http://127.0.0.1:1234"
        assert alive(server.pid)


@pytest.mark.parametrize(
    "lines",
    [
        """print('{"event":"starting"}'); print('{"event":"ready","url":"http://x:1"}')""",
        """print('data in /tmp'); print('ready http://x:1')""",
        """print('{not json'); print('ready http://x:1')""",
    ],
)
def test_both_forms_of_the_ready_line_are_understood(tmp_path: Path, lines: str) -> None:
    with StageProcess(tmp_path, program=program(f"{lines}\nsignal.pause()")) as server:
        assert server.url == "http://x:1"


def test_it_is_told_its_folder_and_stage_file_and_to_pick_a_port(tmp_path: Path) -> None:
    code = f"print(*sys.argv[1:], file=sys.stderr)\n{SERVES}"
    with StageProcess(tmp_path, stage_file=tmp_path / "stage.toml", program=program(code)) as server:
        server.terminate()
    words = server.errors().split()
    assert words == [
        *("up", "--port", "0", "--data", str(tmp_path), "--output", "jsonl"),
        *("--stage", str(tmp_path / "stage.toml")),
    ]


def test_killed_it_is_gone_without_a_chance_to_write_anything(tmp_path: Path) -> None:
    code = f"signal.signal(signal.SIGTERM, lambda *_: print('drained', file=sys.stderr))\n{SERVES}"
    with StageProcess(tmp_path, program=program(code)) as server:
        server.kill()
        assert not alive(server.pid)
    assert server.errors() == ""


def test_terminated_it_may_drain_and_tells_its_status(tmp_path: Path) -> None:
    code = f"signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n{SERVES}"
    with StageProcess(tmp_path, program=program(code)) as server:
        assert server.terminate() == 7


def test_leaving_it_kills_it(tmp_path: Path) -> None:
    with StageProcess(tmp_path, program=program(SERVES)) as server:
        pass
    assert not alive(server.pid)


def test_one_that_does_not_become_ready_is_an_error_with_what_it_said(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="did not become ready: the folder is held"):
        StageProcess(tmp_path, program=program("sys.exit('the folder is held')"))


def test_the_environment_is_that_of_the_test_without_soundstages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOUNDSTAGE_URL", "http://elsewhere")
    monkeypatch.setenv("KEPT", "yes")
    code = (
        f"print(os.environ.get('SOUNDSTAGE_URL'), os.environ['KEPT'], os.environ['ADDED'], file=sys.stderr)\n{SERVES}"
    )
    with StageProcess(tmp_path, variables={"ADDED": "too"}, program=program(code)) as server:
        server.terminate()
    assert server.errors() == "None yes too\n"
