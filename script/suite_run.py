"""One suite, run in a process group of its own, and what came of it.

A suite fails when a test fails or is skipped, when it ran fewer tests than the list says it has at least, when it ends
otherwise than its results say, and when it takes too long.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import xml.etree.ElementTree as ElementTree
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIMIT_SECONDS = 1_500

BYTECODE = ROOT / ".cache" / "bytecode"
"""Where Python keeps what it compiled. Suites start hundreds of processes, most of whose work would be compiling."""

_running: set[subprocess.Popen[bytes]] = set()
_ending = threading.Event()


@dataclass(frozen=True)
class Suite:
    """One line of the list. `at_least` is the least number of tests; None for a command that is one check."""

    name: str
    at_least: int | None
    command: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """What a suite came to. `reason` is empty when it passed.

    `only_tests_failed` is true when it ran whole, and nothing is wrong but that tests failed. `second_try` names the
    tests among the passed that had failed before. `cpu_seconds` are those of its processes, without any that outlived
    whoever started them.
    """

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    reason: str = ""
    only_tests_failed: bool = field(default=False, compare=False)
    second_try: tuple[str, ...] = ()
    cpu_seconds: float = field(default=0.0, compare=False)

    @property
    def ok(self) -> bool:
        return not self.reason


def run(suite: Suite, logs: Path, limit_seconds: float = LIMIT_SECONDS, place: Path = ROOT) -> Outcome:
    """The suite ran in `place` in a process group of its own, of which nothing is left; its output is in `logs`."""
    report = logs / f"{suite.name}.xml"
    report.unlink(missing_ok=True)
    command = [*suite.command] if suite.at_least is None else [*suite.command, *reporting(report)]
    with (logs / f"{suite.name}.log").open("wb") as log:
        try:
            process = subprocess.Popen(
                command,
                cwd=place,
                env=clean_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            return Outcome(failed=1, reason=f"cannot start {command[0]}: {error.strerror}")
        _running.add(process)
        if _ending.is_set():
            kill_group(process)
        try:
            status, cpu_seconds = end_of(process, limit_seconds)
        finally:
            _running.discard(process)
            end_group(process)
    return replace(judge(suite, status, report), cpu_seconds=cpu_seconds)


def reporting(report: Path) -> tuple[str, ...]:
    """The options that make pytest write `report`, in the family of reports that names the file of each test."""
    return (f"--junitxml={report}", "-o", "junit_family=xunit1")


def clean_environment() -> dict[str, str]:
    """The environment without settings of Soundstage's own, which would reach the programs under test.

    Python keeps what it compiles, whatever the environment of this process says of that.
    """
    left_out = "PYTHONDONTWRITEBYTECODE"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SOUNDSTAGE_", left_out))}
    return kept | {"PYTHONPYCACHEPREFIX": str(BYTECODE)}


def end_of(process: subprocess.Popen[bytes], limit_seconds: float) -> tuple[int | None, float]:
    """The status that `process` ended with (None: it was stopped for its time), and its seconds of processors."""
    late = threading.Event()

    def stop() -> None:
        late.set()
        kill_group(process)

    timer = threading.Timer(limit_seconds, stop)
    timer.start()
    try:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    finally:
        timer.cancel()
    return None if late.is_set() else process.returncode, usage.ru_utime + usage.ru_stime


def end_group(process: subprocess.Popen[bytes]) -> None:
    kill_group(process)
    process.wait()


def kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


@contextlib.contextmanager
def none_outlive(runners: ThreadPoolExecutor) -> Generator[None]:
    """No suite that a thread of `runners` began outlives the block, however it is left; the threads have ended too."""
    try:
        yield
    finally:
        _ending.set()
        for process in list(_running):
            kill_group(process)
        runners.shutdown(cancel_futures=True)
        _ending.clear()


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
    if skipped:
        reasons.append(f"{skipped} skipped, and a skipped test fails its suite")
    if passed + failed + skipped < suite.at_least:
        reasons.append(f"ran {passed + failed + skipped} tests, expected at least {suite.at_least}")
    if status != (1 if failed else 0):
        reasons.append(ending(status))
    only_tests_failed = failed > 0 and not reasons
    if failed:
        reasons.insert(0, f"{failed} failed")
    counted = max(failed, 1 if reasons and not skipped else 0)
    return Outcome(passed, counted, skipped, "; ".join(reasons), only_tests_failed)


def ending(status: int | None) -> str:
    return "took too long and was stopped" if status is None else f"ended with status {status}"
