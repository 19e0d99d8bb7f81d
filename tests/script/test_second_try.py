"""Few failed tests have a second try, and nothing is made to pass that did not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

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


def tried(suite: Suite, folder: Path) -> Outcome:
    return SecondTries().outcome(suite, ran(suite, folder), folder, folder)


FIXTURES = """
import pytest

@pytest.fixture
def before(): fails_once("before")

@pytest.fixture
def after():
    yield
    fails_once("after")
"""


class Mixed(NamedTuple):
    """What came of a suite in which four tests fail, of which three pass at the second try."""

    first: Outcome
    outcome: Outcome
    folder: Path


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Mixed:
    folder = tmp_path_factory.mktemp("mixed")
    code = code_of("fails_once('a')", "1 / 0", "open('others', 'a').write('ran ')") + FIXTURES
    suite = suite_of(folder, f"{code}\ndef test_before(before): pass\ndef test_after(after): fails_once('b')\n")
    first = ran(suite, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(second_try, "SUITE_MAX", 4)
        return Mixed(first, SecondTries().outcome(suite, first, folder, folder), folder)


@pytest.mark.parametrize("name", ["test_0", "test_before", "test_after"])
def test_a_test_that_passes_at_the_second_try_is_named(mixed: Mixed, name: str) -> None:
    """Also one whose fixture failed, and one that failed and could not be cleaned up."""
    assert f"test_sample.py::{name}" in mixed.outcome.second_try


def test_a_test_that_fails_twice_has_failed_and_the_others_have_passed(mixed: Mixed) -> None:
    outcome = mixed.outcome
    assert (outcome.failed, outcome.reason) == (1, "1 failed, at the second try too")
    assert len(outcome.second_try) == 3


def test_every_test_counts_once(mixed: Mixed) -> None:
    assert mixed.outcome.passed == 4


def test_only_the_failed_tests_run_again(mixed: Mixed) -> None:
    assert (mixed.folder / "others").read_text() == "ran "


def test_the_processors_seconds_of_both_tries_are_counted(mixed: Mixed) -> None:
    assert mixed.outcome.cpu_seconds > mixed.first.cpu_seconds


def test_a_suite_whose_failed_tests_all_pass_then_has_passed(tmp_path: Path) -> None:
    suite = suite_of(tmp_path, code_of("pass", "fails_once('a')"))
    assert tried(suite, tmp_path) == Outcome(passed=2, second_try=("test_sample.py::test_1",))


@pytest.mark.parametrize("first", [Outcome(passed=1), Outcome(failed=1, reason="1 failed; ended with status 3")])
def test_a_suite_that_passed_or_has_more_wrong_than_failed_tests_stays_as_it_is(tmp_path: Path, first: Outcome) -> None:
    assert SecondTries().outcome(Suite("sample", 1, ("false",)), first, tmp_path, tmp_path) is first


def test_more_failed_tests_than_chance_explains_are_not_tried_again(tmp_path: Path) -> None:
    suite = suite_of(tmp_path, code_of(*(f"fails_once('{number}')" for number in range(second_try.SUITE_MAX + 1))))
    assert tried(suite, tmp_path).reason == f"{second_try.SUITE_MAX + 1} failed"


def test_a_run_has_second_tries_for_so_many_tests_only(tmp_path: Path) -> None:
    tries, suite = SecondTries(), suite_of(tmp_path, code_of("fails_once('a')", "fails_once('b')"))
    tries.left = 3
    first = ran(suite, tmp_path)
    outcomes = [tries.outcome(suite, first, tmp_path, tmp_path) for _ in range(2)]
    assert [outcome.reason for outcome in outcomes] == ["", "2 failed"]


def test_a_run_begins_with_all_its_second_tries() -> None:
    assert SecondTries().left == second_try.RUN_MAX


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
