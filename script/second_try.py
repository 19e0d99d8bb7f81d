"""The second try of the few tests that failed in a suite.

Among sixteen thousand tests on a busy machine one may fail by chance, and would hide what the others say. So where few
failed, those run once more, alone in a fresh process. One that passes then is counted as passed, and told of aloud
with the output of its failure, for it is a defect all the same: of the test or of what it tests. One that fails twice
has failed. What has no chance in it is never tried again: checks, suites that crashed, hung, skipped, or ran too few.
"""

from __future__ import annotations

import threading
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from suite_run import ROOT, Outcome, Suite, run

SUITE_MAX = 3
"""With more failed tests than these in a suite, none of it is tried again."""

RUN_MAX = 5
"""So many failed tests are tried again in a whole run."""

LIMIT_SECONDS = 300


class SecondTries:
    """What is left to be tried again in a run, and `passed`, the tests that passed only then."""

    def __init__(self) -> None:
        self.left = RUN_MAX
        self._deciding = threading.Lock()
        self.passed: list[str] = []

    def outcome(self, suite: Suite, first: Outcome, logs: Path, place: Path = ROOT) -> Outcome:
        """The outcome of a suite that came to `first`, when those of its tests that failed had their second try.

        It is `first` itself when nothing failed, and when nothing may be tried again.
        """
        tests = failed_tests(logs / f"{suite.name}.xml") if first.only_tests_failed else []
        with self._deciding:
            if not 0 < len(tests) <= min(SUITE_MAX, self.left):
                return first
            self.left -= len(tests)
        second = again(suite, tests)
        result = run(second, logs, LIMIT_SECONDS, place)
        twice = failed_tests(logs / f"{second.name}.xml") if result.only_tests_failed else tests
        passed = tuple(test for test in tests if not result.reason or test not in twice)
        self.passed.extend(passed)
        failed = len(tests) - len(passed)
        return replace(
            first,
            passed=first.passed + len(passed),
            failed=failed,
            reason=f"{failed} failed, at the second try too" if failed else "",
            only_tests_failed=False,
            second_try=passed,
            cpu_seconds=first.cpu_seconds + result.cpu_seconds,
        )

    def lines(self) -> list[str]:
        """What the end of a run says of them; nothing when no test needed a second try."""
        if not self.passed:
            return []
        return ["passed only at the second try (each is a defect: mend it):", *(f"    {test}" for test in self.passed)]


def again(suite: Suite, tests: Sequence[str]) -> Suite:
    """The suite of `tests` alone: the command of `suite` with them in place of the folders and files they are in."""
    options = [part for part in suite.command if not any(is_of(test, part) for test in tests)]
    return Suite(f"{suite.name}.again", len(tests), (*options, *tests))


def is_of(test: str, part: str) -> bool:
    path = test.partition("::")[0]
    return part == path or path.startswith(f"{part.rstrip('/')}/")


def failed_tests(report: Path) -> list[str]:
    """The ids of the tests that failed by a report, each once; none when something failed that is not a test."""
    tests: dict[str, None] = {}
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        if case.find("failure") is None and case.find("error") is None:
            continue
        file, scope, name = case.get("file", ""), case.get("classname", ""), case.get("name", "")
        module = file.removesuffix(".py").replace("/", ".")
        if not module or not f"{scope}.".startswith(f"{module}."):
            return []
        classes = scope.removeprefix(module).strip(".")
        tests["::".join([file, *classes.split("."), name] if classes else [file, name])] = None
    return list(tests)
