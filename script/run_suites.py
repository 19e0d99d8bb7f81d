"""Runs the suites that `script/suites` expects and says, last, how many checks passed and failed.

A run of the whole list fails when one of its suites does (`suite_run` says when), so a suite that cannot start is
never taken for one that passed. Few failed tests have a second try (`second_try`).
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from lanes import lanes, run_in_lanes
from second_try import SecondTries
from suite_run import ROOT, Outcome, Suite, run

LIST = ROOT / "script" / "suites"
LOGS = ROOT / ".cache" / "suites"
LOG_TAIL_LINES = 400
LOG_WHOLE_LINES = 5000

SERVERS: dict[str, tuple[str, ...]] = {
    "e2e": ("memcached",),
    "servers": (
        "cassandra",
        "druid",
        "kafka",
        "memcached",
        "opensearch",
        "postgresql",
        "redis",
        "s3",
        "temporal",
    ),
    "cassandra": ("cassandra", "memcached"),
    "ring": ("cassandra",),
    "kafka": ("kafka",),
    "brokers": ("kafka",),
    "outbox": ("cassandra", "kafka", "memcached"),
    "opensearch": ("opensearch",),
    "s3": ("s3",),
    "tables": ("postgresql",),
    "engines": ("memcached",),
    "runtime": ("memcached",),
    "testing": ("memcached",),
    "surface": ("memcached",),
    "docs": ("memcached", "s3"),
    "examples": ("cassandra", "memcached"),
    "benchmarks": ("memcached",),
}
"""The real servers that a suite starts, by the names of `soundstage servers`: they are installed before it runs."""


class BadList(Exception):
    """The list of suites, or a name asked for, is not as it should be."""


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


def run_all(
    suites: Sequence[Suite], logs: Path, place: Path = ROOT, count: int = 1
) -> tuple[list[Outcome], SecondTries]:
    """What the suites came to, `count` at a time, told of when they end, and what of it is owed to second tries."""
    logs.mkdir(parents=True, exist_ok=True)
    tries, begun = SecondTries(), list[str]()

    def both(suite: Suite) -> tuple[Outcome, Outcome, float]:
        begun.append(suite.name)
        started = time.monotonic()
        first = run(suite, logs, place=place)
        return first, tries.outcome(suite, first, logs, place), time.monotonic() - started

    outcomes: dict[str, Outcome] = {}
    try:
        for suite, (first, outcome, seconds) in run_in_lanes(suites, count, servers_of, both):
            print(f"{suite.name:<21}{result_line(outcome, seconds)}", flush=True)
            if not first.ok:
                print_log(logs / f"{suite.name}.log", LOG_WHOLE_LINES if outcome.second_try else LOG_TAIL_LINES)
            if not outcome.ok and outcome is not first:
                print_log(logs / f"{suite.name}.again.log")
            outcomes[suite.name] = outcome
    except BaseException:
        print(f"stopped while these ran: {', '.join(name for name in begun if name not in outcomes)}", flush=True)
        raise
    return [outcomes[suite.name] for suite in suites], tries


def servers_of(suite: Suite) -> tuple[str, ...]:
    return SERVERS.get(suite.name, ())


def result_line(outcome: Outcome, seconds: float) -> str:
    """What is said of a suite behind its name: what passed, seconds by the clock and of processors, and why not all."""
    second = f", of which {len(outcome.second_try)} at the second try: {', '.join(outcome.second_try)}"
    passed = f"{outcome.passed:>6} passed{second if outcome.second_try else ''}"
    line = f"{passed} {seconds:>7.1f} s {outcome.cpu_seconds:>7.1f} s cpu"
    return line if outcome.ok else f"{line}  FAILED: {outcome.reason}"


def bring_servers(suites: Sequence[Suite], command: Sequence[str] = ("soundstage", "servers", "install")) -> int:
    """What the `suites` start is installed; the exit status of whoever installs, who says what it could not bring."""
    names = sorted({name for suite in suites for name in servers_of(suite)})
    if not names:
        return 0
    print(f"servers for the tests: {', '.join(names)}", flush=True)
    return subprocess.run([*command, *names], cwd=ROOT, stdout=subprocess.DEVNULL, check=False).returncode


def print_log(path: Path, lines_max: int = LOG_TAIL_LINES) -> None:
    lines = path.read_text(errors="replace").splitlines()
    if len(lines) > lines_max:
        print(f"    … the first {len(lines) - lines_max} lines are in {path}")
    for line in lines[-lines_max:]:
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
    parser.add_argument("--lanes", type=int, default=lanes(), help="run so many suites at once (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        expected = read_suites(LIST.read_text())
        suites = chosen(expected, options.suite)
    except BadList as error:
        print(f"script/suites: {error}", file=sys.stderr)
        return 2
    if options.list:
        for suite in suites:
            print(f"{suite.name:<21}{' '.join(suite.command)}")
        return 0
    if bring_servers(suites):
        print("the servers that these suites start could not be installed; what to install by hand is said above")
        return 3
    began = time.monotonic()
    outcomes, tries = run_all(suites, LOGS, count=max(1, options.lanes))
    print(f"{time.monotonic() - began:.0f} s, {sum(outcome.cpu_seconds for outcome in outcomes):.0f} s cpu")
    bad = [suite.name for suite, outcome in zip(suites, outcomes, strict=True) if not outcome.ok]
    if bad:
        print(f"failed suites: {', '.join(bad)}; again with: script/test {' '.join(bad)}")
    if len(suites) < len(expected):
        print(f"{len(suites)} of {len(expected)} suites ran, as asked")
    print("".join(f"{line}\n" for line in tries.lines()), end="")
    print(closing_line(outcomes))
    return 1 if bad else 0


def stopped(number: int, _: object) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    # Whoever ends it by a signal leaves nothing running.
    signal.signal(signal.SIGTERM, stopped)
    sys.exit(main())
