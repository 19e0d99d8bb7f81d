"""Processes that tell every step they take, and may be killed right after one of them.

A step is a call of an engine's, or of a cache's, that was done. Steps count from when a life says so.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from typing import Any, TypeAlias

PATIENCE_S = 120.0

PRELOADED = ["truncating", "mutating", "replacing"]
"""The modules of lives, which each process begins with."""

At: TypeAlias = Callable[[str, Awaitable[Any]], Awaitable[Any]]


class Telling:
    """What a life tells to whoever began it.

    `last` is the step that is its last: the number of it, or its name and which of those of that name.
    """

    def __init__(self, ends: Connection, last: int | str | None) -> None:
        self._ends = ends
        self._last = last
        self._begun = False
        self._counts: Counter[str] = Counter()

    def begin(self) -> None:
        """From now on steps count."""
        self._begun = True

    def tell(self, what: str) -> None:
        """`what`, which is no step and has no spaces, was done."""
        self._ends.send(what)

    async def at(self, step: str, work: Awaitable[Any]) -> Any:
        """`work` is done, which may be the last that is."""
        done = await work
        if self._begun:
            self._counts[step] += 1
            self._ends.send(step)
            if self._last in (self._counts.total(), f"{step} {self._counts[step]}"):
                os.kill(os.getpid(), signal.SIGKILL)
        return done


def watch(at: At, owner: type, call: str, of: Callable[[Any], str] = str) -> None:
    """Whenever that call is made in this process it goes through `at`, under its name and what it is `of`."""
    own: Any = getattr(owner, call)

    def watched(self: Any, where: Any, *given: Any, **named: Any) -> Any:
        return at(f"{call} {of(where)}", own(self, where, *given, **named))

    setattr(owner, call, watched)


def lived(run: Callable[[Any, Connection], None], life: Any) -> tuple[list[str], int | None]:
    """What a process told that ran `run` with that life, and how it ended."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([f"{__package__}.{name}" for name in PRELOADED])
    mine, theirs = context.Pipe(duplex=False)
    process = context.Process(target=run, args=(life, theirs))
    process.start()
    theirs.close()
    told = _heard(mine)
    process.join(PATIENCE_S)
    return told, process.exitcode


async def killed_at(run: Callable[[Any, Connection], None], life: Any) -> list[str]:
    """What a process told before it was killed, which it must have been."""
    told, ended = await asyncio.to_thread(lived, run, life)
    assert ended == -signal.SIGKILL, f"it ended with {ended} after {told}"
    return told


def steps_of(told: list[str]) -> list[str]:
    """Of what a life told, the steps."""
    return [each for each in told if " " in each]


def numbered(told: list[str]) -> list[str]:
    """The steps, each with which of those of its name it is."""
    counts: Counter[str] = Counter()
    found: list[str] = []
    for step in steps_of(told):
        counts[step] += 1
        found.append(f"{step} {counts[step]}")
    return found


def _heard(ends: Connection) -> list[str]:
    told: list[str] = []
    try:
        while ends.poll(PATIENCE_S):
            told.append(ends.recv())
    except EOFError:
        return told
    raise AssertionError(f"a life hangs after {told}")
