"""The runner of script/test counts what ran, and takes nothing for a pass that did not run and pass."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path

import pytest
import run_suites
from run_suites import BadList, chosen, closing_line, read_suites, result_line, run_all
from suite_run import Outcome, Suite
from tests.script.sample_suites import suite_of

from soundstage.servers.catalogue import KINDS


def test_a_list_is_read_line_by_line() -> None:
    assert read_suites("# comment\n\nruff  check  ruff check .\ncore  12  pytest tests/core\n") == [
        Suite("ruff", None, ("ruff", "check", ".")),
        Suite("core", 12, ("pytest", "tests/core")),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("core 12", "line 1 is not"),
        ("core many pytest tests", "line 1 is not"),
        ("core 0 pytest tests", "at least 1, not 0"),
        ("a check true\na check true", "line 2: 'a' is in the list twice"),
    ],
)
def test_a_bad_line_is_refused_with_its_number(text: str, message: str) -> None:
    with pytest.raises(BadList, match=message):
        read_suites(text)


def test_suites_are_chosen_in_the_order_of_the_list() -> None:
    suites = read_suites("a check true\nb check true\nc check true")
    assert [suite.name for suite in chosen(suites, ["c", "a"])] == ["a", "c"]


def test_an_unknown_suite_is_refused_and_the_known_are_named() -> None:
    with pytest.raises(BadList, match="no such suite: d; there are a"):
        chosen(read_suites("a check true"), ["d"])


def test_the_log_of_a_failed_suite_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_all([Suite("noisy", None, ("sh", "-c", "echo the reason; false"))], tmp_path)
    assert "    the reason\n" in capsys.readouterr().out


def test_a_line_tells_the_seconds_of_the_clock_and_of_processors() -> None:
    assert result_line(Outcome(passed=12, cpu_seconds=1.25), 2.0) == "    12 passed     2.0 s     1.2 s cpu"


def test_a_line_names_what_passed_only_at_the_second_try() -> None:
    line = result_line(Outcome(passed=12, second_try=("tests/test_a.py::test_b",)), 2.0)
    assert line.startswith("    12 passed, of which 1 at the second try: tests/test_a.py::test_b ")


FLAKY = """
from pathlib import Path

def test_a(): pass

def test_b():
    before = Path("before")
    if not before.exists():
        before.touch()
        raise ValueError("the first try")
"""


def test_what_passes_at_the_second_try_is_told_of_with_its_first_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcomes, tries = run_all([suite_of(tmp_path, FLAKY)], tmp_path, tmp_path)
    assert outcomes == [Outcome(passed=2, second_try=("test_sample.py::test_b",))]
    assert tries.passed == ["test_sample.py::test_b"]
    assert "E           ValueError: the first try" in capsys.readouterr().out


def test_suites_are_told_of_as_they_end_and_counted_in_their_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gate = tmp_path / "gate"
    waiting = Suite("first", None, ("sh", "-c", f"until test -e {gate}; do sleep 0.01; done; false"))
    # The third begins when a lane is free, and lets the first end.
    suites = [waiting, Suite("second", None, ("true",)), Suite("third", None, ("touch", str(gate)))]
    outcomes, _ = run_all(suites, tmp_path, count=2)
    assert [outcome.ok for outcome in outcomes] == [False, True, True]
    out = capsys.readouterr().out
    assert out.index("second") < out.index("first")


def test_the_logs_of_both_tries_are_shown_when_both_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_all([suite_of(tmp_path, "def test_a(): raise ValueError('always')\n")], tmp_path, tmp_path)
    out = capsys.readouterr().out
    assert "FAILED: 1 failed, at the second try too" in out
    assert out.count("    1 failed in ") == 2


def test_the_closing_line_counts_all_suites() -> None:
    assert closing_line([Outcome(passed=2), Outcome(passed=1, failed=1, reason="1 failed")]) == "3 passed, 1 failed"


def test_the_closing_line_names_what_was_skipped() -> None:
    assert closing_line([Outcome(passed=2, skipped=1, reason="1 skipped")]) == "2 passed, 0 failed, 1 skipped"


STOPPABLE = """
import signal, sys
from pathlib import Path
import run_suites
folder = Path(sys.argv[1])
run_suites.LIST, run_suites.LOGS = folder / "suites", folder / "logs"
signal.signal(signal.SIGTERM, run_suites.stopped)
sys.exit(run_suites.main(["--lanes", "1"]))
"""


def test_a_run_that_is_told_to_end_says_what_ran_and_leaves_none_of_it(tmp_path: Path) -> None:
    (tmp_path / "suites").write_text(f"quick check true\nslow check sh {tmp_path}/slow.sh\n")
    # The shell tells that it has begun, and waits for a child that would go on without it.
    os.mkfifo(tmp_path / "begun")
    (tmp_path / "slow.sh").write_text(f"sleep 600 & echo $! >{tmp_path}/begun; wait\n")
    command = (sys.executable, "-c", STOPPABLE, str(tmp_path))
    with subprocess.Popen(command, cwd=run_suites.ROOT / "script", stdout=subprocess.PIPE, text=True) as running:
        child = os.pidfd_open(int((tmp_path / "begun").read_text()))
        running.terminate()
        out, _ = running.communicate(timeout=60)
    assert (running.returncode, out.splitlines()[-1]) == (143, "stopped while these ran: slow")
    ended, _, _ = select.select([child], [], [], 60)
    os.close(child)
    assert ended, "the child of a suite runs on"


@pytest.fixture
def listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A list of suites that `main` reads in place of the project's."""
    path = tmp_path / "suites"
    monkeypatch.setattr(run_suites, "LIST", path)
    monkeypatch.setattr(run_suites, "LOGS", tmp_path / "logs")
    return path


@pytest.mark.parametrize(
    ("text", "arguments", "status"),
    [
        ("a check true\nb check true", [], 0),
        ("a check true\nb check false", [], 1),
        ("a check true\nb check false", ["a"], 0),
        ("a check true", ["b"], 2),
        ("a", [], 2),
        ("a check false", ["--list"], 0),
        ("a check true\nb check true", ["--lanes", "1"], 0),
    ],
)
def test_the_exit_status_tells_whether_all_ran_and_passed(
    listed: Path, text: str, arguments: list[str], status: int
) -> None:
    listed.write_text(text)
    assert run_suites.main(arguments) == status


def test_the_last_line_is_the_count(listed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed.write_text("a check true\nb check false")
    run_suites.main([])
    assert capsys.readouterr().out.splitlines()[-1] == "1 passed, 1 failed"


def test_a_partial_run_says_so(listed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed.write_text("a check true\nb check true")
    run_suites.main(["a"])
    assert "1 of 2 suites ran, as asked" in capsys.readouterr().out


def test_the_end_of_a_run_lists_what_passed_only_at_the_second_try(
    listed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suite = suite_of(tmp_path, FLAKY)
    place = f"env --chdir={tmp_path} {' '.join(suite.command)}"
    listed.write_text(f"sample 2 {place}")
    assert run_suites.main([]) == 0
    assert capsys.readouterr().out.splitlines()[-3:] == [
        "passed only at the second try (each is a defect: mend it):",
        "    test_sample.py::test_b",
        "2 passed, 0 failed",
    ]


def recorder(tmp_path: Path, status: int = 0) -> tuple[str, ...]:
    """An installer that writes down what it was asked for."""
    return ("sh", "-c", f'echo "$@" >>{tmp_path}/asked; exit {status}', "sh")


def test_what_suites_start_is_installed_once(tmp_path: Path) -> None:
    suites = read_suites("servers 1 pytest\ntesting 1 pytest\ncore 1 pytest")
    assert run_suites.bring_servers(suites, recorder(tmp_path)) == 0
    names = sorted({*run_suites.SERVERS["servers"], *run_suites.SERVERS["testing"]})
    assert (tmp_path / "asked").read_text().split() == names


def test_suites_that_start_nothing_install_nothing(tmp_path: Path) -> None:
    assert run_suites.bring_servers(read_suites("core 1 pytest"), recorder(tmp_path)) == 0
    assert not (tmp_path / "asked").exists()


def test_where_servers_cannot_be_installed_no_suite_runs(
    listed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    listed.write_text("servers check touch ran")
    monkeypatch.setattr(run_suites, "SERVERS", {"servers": ("no-such-server",)})
    assert run_suites.main([]) == 3
    assert "could not be installed" in capsys.readouterr().out
    assert not (run_suites.ROOT / "ran").exists()


def test_every_kind_of_server_is_started_by_a_suite() -> None:
    assert {name for names in run_suites.SERVERS.values() for name in names} == {kind.name for kind in KINDS}


def test_the_suites_that_start_servers_are_in_the_list() -> None:
    assert set(run_suites.SERVERS) <= {suite.name for suite in read_suites(run_suites.LIST.read_text())}
