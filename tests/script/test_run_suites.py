"""The runner of script/test counts what ran, and takes nothing for a pass that did not run and pass."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest
import run_suites
from run_suites import BadList, Outcome, Suite, chosen, closing_line, judge, read_suites, run, run_all

from soundstage.servers.catalogue import KINDS

PYTEST = (
    f"env PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 {sys.executable} -m pytest -q -p no:cacheprovider -c /dev/null --rootdir=/"
)


def suite_of(tmp_path: Path, code: str, at_least: int = 1) -> Suite:
    path = tmp_path / "test_sample.py"
    path.write_text(code)
    return Suite("sample", at_least, (*shlex.split(PYTEST), str(path)))


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


def test_passing_tests_are_counted(tmp_path: Path) -> None:
    suite = suite_of(tmp_path, "def test_a(): pass\ndef test_b(): pass\n")
    assert run(suite, tmp_path) == Outcome(passed=2)


def test_a_failing_test_fails_its_suite(tmp_path: Path) -> None:
    suite = suite_of(tmp_path, "def test_a(): pass\ndef test_b(): raise ValueError\n")
    assert run(suite, tmp_path) == Outcome(passed=1, failed=1, reason="1 failed")


# The names of pytest's own marks are taken apart, for no test of this project may bear them.
@pytest.mark.parametrize("mark", ["sk" + "ip", "x" + "fail"])
def test_a_skipped_test_fails_its_suite(tmp_path: Path, mark: str) -> None:
    body = "raise ValueError" if mark.startswith("x") else "pass"
    suite = suite_of(tmp_path, f"import pytest\ndef test_a(): pass\n@pytest.mark.{mark}\ndef test_b(): {body}\n")
    outcome = run(suite, tmp_path)
    assert (outcome.passed, outcome.skipped, outcome.ok) == (1, 1, False)


def test_a_suite_without_a_test_fails(tmp_path: Path) -> None:
    outcome = run(suite_of(tmp_path, "x = 1\n"), tmp_path)
    assert outcome.failed == 1
    assert "ran 0 tests, expected at least 1" in outcome.reason


def test_fewer_tests_than_expected_fail(tmp_path: Path) -> None:
    outcome = run(suite_of(tmp_path, "def test_a(): pass\n", at_least=2), tmp_path)
    assert outcome == Outcome(passed=1, failed=1, reason="ran 1 tests, expected at least 2")


def test_a_suite_that_cannot_be_collected_fails(tmp_path: Path) -> None:
    assert run(suite_of(tmp_path, "import no_such_module\n"), tmp_path).failed == 1


def test_a_suite_whose_folder_is_gone_fails(tmp_path: Path) -> None:
    suite = Suite("gone", 1, (*shlex.split(PYTEST), str(tmp_path / "gone")))
    assert run(suite, tmp_path).failed == 1


def test_a_suite_that_dies_leaves_no_old_results(tmp_path: Path) -> None:
    run(suite_of(tmp_path, "def test_a(): pass\n"), tmp_path)
    outcome = run(suite_of(tmp_path, "import os\nos._exit(0)\n"), tmp_path)
    assert outcome == Outcome(failed=1, reason="left no results; ended with status 0")


def test_a_good_report_with_a_bad_status_fails(tmp_path: Path) -> None:
    suite = suite_of(tmp_path, "def test_a(): pass\n")
    run(suite, tmp_path)
    assert judge(suite, 3, tmp_path / "sample.xml").reason == "ended with status 3"


@pytest.mark.parametrize(("command", "ok"), [(("true",), True), (("false",), False), (("no-such-program",), False)])
def test_a_command_is_one_check(tmp_path: Path, command: tuple[str, ...], ok: bool) -> None:
    outcome = run(Suite("command", None, command), tmp_path)
    assert (outcome.passed, outcome.failed) == ((1, 0) if ok else (0, 1))


def test_a_suite_over_its_time_is_stopped_with_its_children(tmp_path: Path) -> None:
    outcome = run(Suite("slow", None, ("sh", "-c", "sleep 60 & sleep 60")), tmp_path, limit_seconds=0.2)
    assert outcome.reason.startswith("stopped after")


def test_settings_of_soundstage_do_not_reach_a_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOUNDSTAGE_URL", "http://elsewhere")
    assert run(Suite("clean", None, ("sh", "-c", 'test -z "${SOUNDSTAGE_URL:-}"')), tmp_path).ok


def test_the_log_of_a_failed_suite_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_all([Suite("noisy", None, ("sh", "-c", "echo the reason; false"))], tmp_path)
    assert "    the reason\n" in capsys.readouterr().out


def test_the_closing_line_counts_all_suites() -> None:
    assert closing_line([Outcome(passed=2), Outcome(passed=1, failed=1, reason="1 failed")]) == "3 passed, 1 failed"


def test_the_closing_line_names_what_was_skipped() -> None:
    assert closing_line([Outcome(passed=2, skipped=1, reason="1 skipped")]) == "2 passed, 0 failed, 1 skipped"


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
