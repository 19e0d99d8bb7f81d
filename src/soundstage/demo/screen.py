"""What the demo shows: bars while it works on a terminal, and a line for each step that is done."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, TypeAlias

Advance: TypeAlias = Callable[[int], None]


class Screen:
    """Standard output for what was done; standard error for the bars, where somebody watches."""

    def __init__(self) -> None:
        self.watched: bool = sys.stderr.isatty()

    @contextmanager
    def step(self, name: str, total: int, unit: str) -> Generator[Advance]:
        """A step of `total` units; afterwards a line says how long it took."""
        began_s = time.perf_counter()
        if self.watched:
            with _bar(name, total) as advance:
                yield advance
        else:
            yield lambda count: None
        took_s = time.perf_counter() - began_s
        self.say(name, f"{total:,} {unit} in {took_s:.1f} s, {total / max(took_s, 1e-9):,.0f} a second")

    def say(self, name: str, text: str) -> None:
        """One line: what it is about, and what there is to say."""
        print(f"{name:<9} {text}", flush=True)


@contextmanager
def _bar(name: str, total: int) -> Generator[Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns: tuple[Any, ...] = (
        TextColumn("{task.description:<9}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(name, total=total)

        def advance(count: int) -> None:
            progress.advance(task, count)

        yield advance
