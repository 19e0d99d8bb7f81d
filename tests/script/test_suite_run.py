"""One suite is run and judged, and nothing is taken for a pass that did not run and pass."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest
from suite_run import Outcome, Suite, judge, run
from tests.script.sample_suites import PYTEST, ran, suite_of


def test_passing_tests_are_counted(tmp_path: Path) -> None:
    suite = suite_of(tmp_path, "def test_a(): pass\ndef test_b(): pass\n")
    assert ran(suite, tmp_path) == Outcome(passed=2)


def test_a_failing_test_fails_its_suite(tmp_path: Path) -> None:
    suite = suite_of(tmp_path, "def test_a(): pass\ndef test_b(): raise ValueError\n")
    outcome = ran(suite, tmp_path)
    assert outcome == Outcome(passed=1, failed=1, reason="1 failed")
    assert outcome.only_tests_failed


def test_a_suite_that_ran_too_few_tests_has_more_wrong_than_a_failed_test(tmp_path: Path) -> None:
    outcome = ran(suite_of(tmp_path, "def test_a(): raise ValueError\n", at_least=2), tmp_path)
    assert outcome.reason == "1 failed; ran 1 tests, expected at least 2"
    assert not outcome.only_tests_failed


def test_a_suite_that_stops_at_a_failed_test_has_more_wrong_than_that(tmp_path: Path) -> None:
    code = "import os, pytest\ndef test_a(): raise ValueError\ndef test_b(): pytest.exit('no more', 3)\n"
    outcome = ran(suite_of(tmp_path, code), tmp_path)
    assert outcome.reason == "1 failed; ended with status 3"
    assert not outcome.only_tests_failed


# The names of pytest's own marks are taken apart, for no test of this project may bear them.
@pytest.mark.parametrize("mark", ["sk" + "ip", "x" + "fail"])
def test_a_skipped_test_fails_its_suite(tmp_path: Path, mark: str) -> None:
    body = "raise ValueError" if mark.startswith("x") else "pass"
    suite = suite_of(tmp_path, f"import pytest\ndef test_a(): pass\n@pytest.mark.{mark}\ndef test_b(): {body}\n")
    outcome = ran(suite, tmp_path)
    assert (outcome.passed, outcome.skipped, outcome.ok) == (1, 1, False)
    assert not outcome.only_tests_failed


def test_a_suite_without_a_test_fails(tmp_path: Path) -> None:
    outcome = ran(suite_of(tmp_path, "x = 1\n"), tmp_path)
    assert outcome.failed == 1
    assert "ran 0 tests, expected at least 1" in outcome.reason


def test_fewer_tests_than_expected_fail(tmp_path: Path) -> None:
    outcome = ran(suite_of(tmp_path, "def test_a(): pass\n", at_least=2), tmp_path)
    assert outcome == Outcome(passed=1, failed=1, reason="ran 1 tests, expected at least 2")


def test_a_suite_that_cannot_be_collected_fails(tmp_path: Path) -> None:
    outcome = ran(suite_of(tmp_path, "import no_such_module\n"), tmp_path)
    assert (outcome.failed, outcome.only_tests_failed) == (1, False)


def test_a_suite_whose_folder_is_gone_fails(tmp_path: Path) -> None:
    suite = Suite("gone", 1, (*shlex.split(PYTEST), "gone"))
    assert ran(suite, tmp_path).failed == 1


def test_a_suite_that_dies_leaves_no_old_results(tmp_path: Path) -> None:
    ran(suite_of(tmp_path, "def test_a(): pass\n"), tmp_path)
    outcome = ran(suite_of(tmp_path, "import os\nos._exit(0)\n"), tmp_path)
    assert outcome == Outcome(failed=1, reason="left no results; ended with status 0")


def test_a_good_report_with_a_bad_status_fails(tmp_path: Path) -> None:
    suite = suite_of(tmp_path, "def test_a(): pass\n")
    ran(suite, tmp_path)
    assert judge(suite, 3, tmp_path / "sample.xml").reason == "ended with status 3"


@pytest.mark.parametrize(("command", "ok"), [(("true",), True), (("false",), False), (("no-such-program",), False)])
def test_a_command_is_one_check(tmp_path: Path, command: tuple[str, ...], ok: bool) -> None:
    outcome = run(Suite("command", None, command), tmp_path)
    assert (outcome.passed, outcome.failed) == ((1, 0) if ok else (0, 1))


def test_a_suite_over_its_time_is_stopped_with_its_children(tmp_path: Path) -> None:
    outcome = run(Suite("slow", None, ("sh", "-c", "sleep 60 & sleep 60")), tmp_path, limit_seconds=0.2)
    assert outcome.reason == "took too long and was stopped"


def test_the_processors_seconds_are_those_of_all_processes_of_a_suite(tmp_path: Path) -> None:
    busy = f"{sys.executable} -c 'import time\nwhile time.process_time() < 0.2: pass'"
    assert run(Suite("busy", None, ("sh", "-c", f"{busy}; {busy}")), tmp_path).cpu_seconds >= 0.4


def test_settings_of_soundstage_do_not_reach_a_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOUNDSTAGE_URL", "http://elsewhere")
    assert run(Suite("clean", None, ("sh", "-c", 'test -z "${SOUNDSTAGE_URL:-}"')), tmp_path).ok


def test_what_a_suite_s_processes_compile_is_kept_for_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setattr("suite_run.BYTECODE", tmp_path / "kept")
    (tmp_path / "imported.py").write_text("VALUE = 1\n")
    command = (sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import imported")
    assert run(Suite("compiled", None, command), tmp_path).ok
    assert len([*(tmp_path / "kept").rglob("imported.*.pyc")]) == 1
