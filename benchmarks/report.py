"""The convention of all benchmarks: interleaved rounds, a table, and one line of JSON per figure."""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

import msgspec
from rich.console import Console
from rich.table import Table

Better = Literal["higher", "lower"]


class Figure(msgspec.Struct, kw_only=True):
    """One result. `ratio` above 1 always means that ours is better.

    `target` is what we promise: the least ratio where there is a rival, else the bound of `ours` itself.
    """

    bench: str
    ours: float
    rival: float | None
    ratio: float | None
    unit: str
    better: Better
    target: float | None = None
    note: str | None = None

    @property
    def held(self) -> bool | None:
        """Whether the promise is kept; None where nothing is promised."""
        if self.target is None:
            return None
        if self.ratio is not None:
            return self.ratio >= self.target
        return self.ours >= self.target if self.better == "higher" else self.ours <= self.target


def figure(
    bench: str,
    ours: float,
    rival: float | None,
    unit: str,
    better: Better,
    *,
    target: float | None = None,
    note: str | None = None,
) -> Figure:
    """A figure with its ratio; without a rival it stands alone."""
    ratio = None
    if rival is not None and ours > 0 and rival > 0:
        ratio = ours / rival if better == "higher" else rival / ours
    return Figure(bench=bench, ours=ours, rival=rival, ratio=ratio, unit=unit, better=better, target=target, note=note)


def slowness(
    bench: str,
    ours: Sequence[float],
    rival: Sequence[float],
    *,
    targets: tuple[float | None, float | None] = (None, None),
    note: str | None = None,
) -> list[Figure]:
    """The median and the slowest hundredth of what calls took, in milliseconds; the note stands at the first."""
    figures: list[Figure] = []
    for name, share, target, said in zip(("p50", "p99"), (0.5, 0.99), targets, (note, None), strict=True):
        mine, theirs = percentile(ours, share), percentile(rival, share)
        figures.append(figure(f"{bench}_{name}", mine, theirs, "ms", "lower", target=target, note=said))
    return figures


def options(description: str, arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line that every benchmark has; `--quick` ends within a minute."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="smaller and fewer rounds; under 60 s")
    return parser.parse_args(arguments)


def interleaved(rounds: int, *sides: Callable[[], float], warm: int = 0) -> list[float]:
    """The median of what each side returned over `rounds` turns, taken one after the other, after `warm` others.

    Turns alternate so that a machine that slows down slows down all sides. Those that do not count are for what is
    slower at first: a server that compiles itself, a cache that is empty.
    """
    results: list[list[float]] = [[] for _ in sides]
    for number in range(warm + rounds):
        for index in _order(number, len(sides)):
            gc.collect()
            results[index].append(sides[index]())
    return _medians(results, warm)


async def turns(rounds: int, *sides: Callable[[], Awaitable[float]], warm: int = 0) -> list[float]:
    """The same for sides that are awaited."""
    results: list[list[float]] = [[] for _ in sides]
    for number in range(warm + rounds):
        for index in _order(number, len(sides)):
            gc.collect()
            results[index].append(await sides[index]())
    return _medians(results, warm)


def _order(number: int, sides: int) -> Sequence[int]:
    """Whose turn it is in a round, by place: who was last is first in the next."""
    return range(sides) if number % 2 == 0 else range(sides - 1, -1, -1)


def _medians(results: Sequence[Sequence[float]], warm: int) -> list[float]:
    return [statistics.median(each[warm:]) for each in results]


def cpu_rate(work: Callable[[], int]) -> float:
    """Units of work per second of this process's CPU time."""
    began = time.process_time()
    done = work()
    return done / max(time.process_time() - began, 1e-9)


def wall_rate(work: Callable[[], int]) -> float:
    """Units of work per second of the wall clock."""
    began = time.perf_counter()
    done = work()
    return done / max(time.perf_counter() - began, 1e-9)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of `values` lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def number(value: float) -> str:
    """With the digits that matter to a reader."""
    return f"{value:,.3g}" if value < 100 else f"{value:,.0f}"


def show(title: str, figures: Sequence[Figure]) -> None:
    """Print the table, then each figure as a line of JSON."""
    table = Table(title=title)
    for column in ("figure", "ours", "rival", "ratio", "target", "held", "unit", "note"):
        table.add_column(column, justify="right" if column in {"ours", "rival", "ratio", "target"} else "left")
    for each in figures:
        table.add_row(
            each.bench,
            number(each.ours),
            "" if each.rival is None else number(each.rival),
            "" if each.ratio is None else f"{each.ratio:.2f}",
            "" if each.target is None else f"{each.target:g}",
            {None: "", True: "yes", False: "NO"}[each.held],
            each.unit,
            each.note or "",
        )
    Console(width=140).print(table)
    for each in figures:
        print(msgspec.json.encode(each).decode(), flush=True)
