"""Few failed tests have a second try, and nothing is made to pass that did not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import second_try
from second_try import SecondTries, again, failed_tests
from suite_run import Outcome, Suite
from tests.script.sample_suites import ran, suite_of

ONCE = """
from pathlib import Path

def fails_once(name):
    before = Path(name)
    if not before.exists():
        before.touch()
        raise ValueError(name)
"""


def code_of(*bodies: str) -> str:
    """A test file whose tests have these bodies; `fails_once(name)` raises when it is called first."""
    return ONCE + "".join(f"\ndef test_{number}(): {body}\n" for number, body in enumerate(bodies))


def tried(suite: Suite, folder: Path, tries: SecondTries | None = None) -> Outcome:
    return (tries or SecondTries()).outcome(suite, ran(suite, folder), folder, folder)


def test_a_test_that_passes_at_the_second_try_has_passed_and_is_named(tmp_path: Path) -> None:
    suite = suite_of(tmp_path, code_of("pass", "fails_once('a')"))
    assert tried(suite, tmp_path) == Outcome(passed=2, second_try=("test_sample.py::test_1",))


def test_a_test_that_fails_twice_has_failed(tmp_path: Path) -> None:
    suite = suite_of(tmp_path, code_of("pass", "fails_once('a')", "1 / 0"))
    assert tried(suite, tmp_path) == Outcome(
        passed=2, failed=1, reason="1 failed, at the second try too", second_try=("test_sample.py::test_1",)
    )


def test_only_the_failed_tests_run_again(tmp_path: Path) -> None:
    suite = suite_of(tmp_path, code_of("fails_once('a')", "open('others', 'a').write('ran ')"))
    tried(suite, tmp_path)
    assert (tmp_path / "others").read_text() == "ran "


def test_a_suite_that_passed_stays_as_it_is(tmp_path: Path) -> None:
    assert tried(suite_of(tmp_path, code_of("pass")), tmp_path) == Outcome(passed=1)


def test_a_failed_fixture_has_a_second_try(tmp_path: Path) -> None:
    fixture = "\nimport pytest\n@pytest.fixture\ndef once(): fails_once('a')\ndef test_1(once): pass\n"
    assert tried(suite_of(tmp_path, code_of("pass") + fixture), tmp_path).second_try == ("test_sample.py::test_1",)


def test_a_test_that_failed_and_could_not_be_cleaned_up_counts_once(tmp_path: Path) -> None:
    fixture = "\nimport pytest\n@pytest.fixture\ndef f():\n yield\n fails_once('a')\ndef test_1(f): fails_once('b')\n"
    assert tried(suite_of(tmp_path, code_of("pass") + fixture), tmp_path) == Outcome(
        passed=2, second_try=("test_sample.py::test_1",)
    )


def test_more_failed_tests_than_chance_explains_are_not_tried_again(tmp_path: Path) -> None:
    suite = suite_of(tmp_path, code_of(*(f"fails_once('{number}')" for number in range(second_try.SUITE_MAX + 1))))
    assert tried(suite, tmp_path).reason == f"{second_try.SUITE_MAX + 1} failed"


def test_a_run_has_second_tries_for_so_many_tests_only(tmp_path: Path) -> None:
    tries = SecondTries()
    tries.left = 3
    suites = [replace(suite_of(tmp_path, code_of("fails_once('a')", "fails_once('b')")), name=name) for name in "xy"]
    first = tried(suites[0], tmp_path, tries)
    (tmp_path / "a").unlink()
    (tmp_path / "b").unlink()
    assert (first.ok, tried(suites[1], tmp_path, tries).reason) == (True, "2 failed")


def test_a_run_begins_with_all_its_second_tries() -> None:
    assert SecondTries().left == second_try.RUN_MAX


@pytest.mark.parametrize(
    ("bodies", "at_least"),
    [
        (("fails_once('a')",), 2),
        (("fails_once('a')", "__import__('pytest').exit('no more', 3)"), 1),
        (("fails_once('a')", "__import__('os')._exit(1)"), 1),
        (("fails_once('a')", "__import__('pytest').sk" + "ip('not today')"), 1),
    ],
    ids=["too few tests", "stopped early", "crashed", "left one out"],
)
def test_a_suite_with_more_wrong_than_failed_tests_has_no_second_try(
    tmp_path: Path, bodies: tuple[str, ...], at_least: int
) -> None:
    outcome = tried(suite_of(tmp_path, code_of(*bodies), at_least), tmp_path)
    assert (outcome.ok, outcome.second_try) == (False, ())


def test_a_file_that_cannot_be_collected_has_no_second_try(tmp_path: Path) -> None:
    code = ONCE + "fails_once('a')\ndef test_0(): pass\n"
    assert not tried(suite_of(tmp_path, code), tmp_path).ok


def test_a_check_has_no_second_try(tmp_path: Path) -> None:
    check = Suite("check", None, ("sh", "-c", "test -e before || { touch before; false; }"))
    assert not tried(check, tmp_path).ok


CRASHES_AGAIN = """
import os
from pathlib import Path

def test_a(): pass

def test_b():
    if Path("before").exists():
        os._exit(0)
    Path("before").touch()
    raise ValueError
"""


def test_a_second_try_that_crashes_is_no_pass(tmp_path: Path) -> None:
    outcome = tried(suite_of(tmp_path, CRASHES_AGAIN), tmp_path)
    assert outcome == Outcome(passed=1, failed=1, reason="1 failed, at the second try too")


def test_the_processors_seconds_of_both_tries_are_counted(tmp_path: Path) -> None:
    suite = suite_of(tmp_path, code_of("fails_once('a')"))
    first = ran(suite, tmp_path)
    assert SecondTries().outcome(suite, first, tmp_path, tmp_path).cpu_seconds > first.cpu_seconds


NESTED = """
import pytest

class TestOuter:
    class TestInner:
        @pytest.mark.parametrize("text", ["a.b/c::d", "x[y]z", "tab\\t\u00e9"])
        def test_it(self, text): fails_once(text.encode().hex())
"""


def test_tests_of_classes_and_with_odd_parameters_are_found_again(tmp_path: Path) -> None:
    folder = tmp_path / "a.b"
    folder.mkdir()
    suite = suite_of(tmp_path, ONCE + NESTED)
    (tmp_path / "test_sample.py").rename(folder / "test_sample.py")
    command = (*suite.command[:-1], "a.b")
    outcome = tried(replace(suite, command=command), tmp_path)
    assert (outcome.passed, len(outcome.second_try), outcome.reason) == (3, 3, "")


def test_the_command_of_a_second_try_names_tests_in_place_of_folders() -> None:
    suite = Suite("core", 800, ("pytest", "-q", "tests/core", "tests/cores/test_b.py"))
    assert again(suite, ["tests/core/test_a.py::test_x"]) == Suite(
        "core.again", 1, ("pytest", "-q", "tests/cores/test_b.py", "tests/core/test_a.py::test_x")
    )


def test_a_report_without_failures_has_no_failed_tests(tmp_path: Path) -> None:
    ran(suite_of(tmp_path, code_of("pass")), tmp_path)
    assert failed_tests(tmp_path / "sample.xml") == []


def test_nothing_is_said_where_no_test_needed_a_second_try() -> None:
    assert SecondTries().lines() == []


def test_what_passed_only_then_is_called_a_defect() -> None:
    tries = SecondTries()
    tries.passed.append("tests/test_a.py::test_b")
    assert tries.lines() == [
        "passed only at the second try (each is a defect: mend it):",
        "    tests/test_a.py::test_b",
    ]
