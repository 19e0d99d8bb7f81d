"""Runs the suites that `script/suites` expects and says, last, how many checks passed and failed.

A suite fails when a test fails or is skipped, when it ran fewer tests than the list says it has at least, when it ends
otherwise than its results say, and when it takes too long. A run of the whole list fails when any of that happened, so
a suite that cannot start is never taken for one that passed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIST = ROOT / "script" / "suites"
LOGS = ROOT / ".cache" / "suites"
LIMIT_SECONDS = 900
LOG_TAIL_LINES = 400

SERVERS: dict[str, tuple[str, ...]] = {
    "servers": ("cassandra", "kafka", "memcached", "redis"),
    "cassandra": ("cassandra",),
    "engines": ("cassandra", "memcached"),
    "runtime": ("memcached",),
    "testing": ("memcached",),
    "surface": ("memcached",),
    "docs": ("memcached",),
    "examples": ("cassandra",),
    "demo": ("cassandra",),
    "benchmarks": ("cassandra", "memcached"),
}
"""The real servers that a suite starts, by the names of `soundstage servers`: they are installed before it runs."""


class BadList(Exception):
    """The list of suites, or a name asked for, is not as it should be."""


@dataclass(frozen=True)
class Suite:
    """One line of the list. `at_least` is the least number of tests; None for a command that is one check."""

    name: str
    at_least: int | None
    command: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """What a suite came to. `reason` is empty when it passed."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    reason: str = ""

    @property
    def ok(self) -> bool:
        return not self.reason


def read_suites(text: str) -> list[Suite]:
    """The suites of a list: lines of `name at-least command`, where `check` in place of a number means one check."""
    suites: list[Suite] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            name, least, command = line.split(maxsplit=2)
            at_least = None if least == "check" else int(least)
        except ValueError:
            raise BadList(f"line {number} is not `name at-least command`: {line!r}") from None
        if at_least is not None and at_least < 1:
            raise BadList(f"line {number}: a suite of tests has at least 1, not {at_least}")
        if any(suite.name == name for suite in suites):
            raise BadList(f"line {number}: {name!r} is in the list twice")
        suites.append(Suite(name, at_least, tuple(command.split())))
    return suites


def chosen(suites: Sequence[Suite], names: Sequence[str]) -> list[Suite]:
    """The suites called `names`, in the list's order; all of them when no name is given."""
    unknown = sorted(set(names) - {suite.name for suite in suites})
    if unknown:
        raise BadList(f"no such suite: {', '.join(unknown)}; there are {', '.join(suite.name for suite in suites)}")
    return [suite for suite in suites if not names or suite.name in names]


def judge(suite: Suite, status: int | None, report: Path) -> Outcome:
    """The outcome of a suite that ended with `status` (None: it was stopped for its time) and wrote `report`."""
    if suite.at_least is None:
        return Outcome(passed=1) if status == 0 else Outcome(failed=1, reason=ending(status))
    try:
        root = ElementTree.parse(report).getroot()
    except (OSError, ElementTree.ParseError):
        return Outcome(failed=1, reason=f"left no results; {ending(status)}")
    counts = {
        key: sum(int(part.get(key, 0)) for part in root.iter("testsuite"))
        for key in ("tests", "failures", "errors", "skipped")
    }
    failed, skipped = counts["failures"] + counts["errors"], counts["skipped"]
    passed = max(0, counts["tests"] - failed - skipped)
    reasons: list[str] = []
    if failed:
        reasons.append(f"{failed} failed")
    if skipped:
        reasons.append(f"{skipped} skipped, and a skipped test fails its suite")
    if passed + failed + skipped < suite.at_least:
        reasons.append(f"ran {passed + failed + skipped} tests, expected at least {suite.at_least}")
    if status != 0 and not failed:
        reasons.append(ending(status))
    return Outcome(passed, max(failed, 1 if reasons and not skipped else 0), skipped, "; ".join(reasons))


def ending(status: int | None) -> str:
    return f"stopped after {LIMIT_SECONDS} s" if status is None else f"ended with status {status}"


def clean_environment() -> dict[str, str]:
    """The environment without settings of Soundstage's own, which would reach the programs under test."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SOUNDSTAGE_")}


def run(suite: Suite, logs: Path, limit_seconds: float = LIMIT_SECONDS) -> Outcome:
    """The suite ran in a process group of its own, of which nothing is left; its output is in `logs`."""
    report = logs / f"{suite.name}.xml"
    report.unlink(missing_ok=True)
    command = [*suite.command] if suite.at_least is None else [*suite.command, f"--junitxml={report}"]
    with (logs / f"{suite.name}.log").open("wb") as log:
        try:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=clean_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            return Outcome(failed=1, reason=f"cannot start {command[0]}: {error.strerror}")
        try:
            status = process.wait(limit_seconds)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            end_group(process)
    return judge(suite, status, report)


def end_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def run_all(suites: Sequence[Suite], logs: Path) -> list[Outcome]:
    logs.mkdir(parents=True, exist_ok=True)
    outcomes: list[Outcome] = []
    for suite in suites:
        print(f"{suite.name:<16}", end="", flush=True)
        started = time.monotonic()
        outcome = run(suite, logs)
        seconds = time.monotonic() - started
        print(
            f"{outcome.passed:>6} passed {seconds:>7.1f} s  {'' if outcome.ok else 'FAILED: ' + outcome.reason}",
            flush=True,
        )
        if not outcome.ok:
            print_log(logs / f"{suite.name}.log")
        outcomes.append(outcome)
    return outcomes


def bring_servers(suites: Sequence[Suite], command: Sequence[str] = ("soundstage", "servers", "install")) -> int:
    """What the `suites` start is installed; the exit status of whoever installs, who says what it could not bring."""
    names = sorted({name for suite in suites for name in SERVERS.get(suite.name, ())})
    if not names:
        return 0
    print(f"servers for the tests: {', '.join(names)}", flush=True)
    return subprocess.run([*command, *names], cwd=ROOT, stdout=subprocess.DEVNULL, check=False).returncode


def print_log(path: Path) -> None:
    lines = path.read_text(errors="replace").splitlines()
    if len(lines) > LOG_TAIL_LINES:
        print(f"    … the first {len(lines) - LOG_TAIL_LINES} lines are in {path}")
    for line in lines[-LOG_TAIL_LINES:]:
        print(f"    {line}")


def closing_line(outcomes: Sequence[Outcome]) -> str:
    passed, failed, skipped = (
        sum(getattr(outcome, count) for outcome in outcomes) for count in ("passed", "failed", "skipped")
    )
    return f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else "")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="script/test", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("suite", nargs="*", help="run only these suites")
    parser.add_argument("--list", action="store_true", help="print the suites and their commands")
    options = parser.parse_args(arguments)
    try:
        expected = read_suites(LIST.read_text())
        suites = chosen(expected, options.suite)
    except BadList as error:
        print(f"script/suites: {error}", file=sys.stderr)
        return 2
    if options.list:
        for suite in suites:
            print(f"{suite.name:<16}{' '.join(suite.command)}")
        return 0
    if bring_servers(suites):
        print("the servers that these suites start could not be installed; what to install by hand is said above")
        return 3
    outcomes = run_all(suites, LOGS)
    bad = [suite.name for suite, outcome in zip(suites, outcomes, strict=True) if not outcome.ok]
    if bad:
        print(f"failed suites: {', '.join(bad)}; again with: script/test {' '.join(bad)}")
    if len(suites) < len(expected):
        print(f"{len(suites)} of {len(expected)} suites ran, as asked")
    print(closing_line(outcomes))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
