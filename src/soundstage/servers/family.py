"""Processes by their numbers, and the families of servers: whoever a process started, and whom those started.

A family may be of several groups: each session of PostgreSQL has its own.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

POLL_S = 0.02


class Process(msgspec.Struct, frozen=True):
    """A process by its number, and the ticks of the machine's clock at which it started; 0: at once gone."""

    pid: int
    started: int

    @property
    def running(self) -> bool:
        """Whether it is there, paused or not."""
        return self.started != 0 and started_at(self.pid) == self.started


def started_at(pid: int) -> int:
    """When the process with this number started, in ticks since the machine did; 0 when it has ended."""
    fields = _fields(pid)
    return 0 if fields is None else int(fields[19])


def descendants(pid: int) -> list[int]:
    """Whoever `pid` started and whom those started, as of now."""
    children: dict[int, list[int]] = {}
    for number in map(int, filter(str.isdecimal, os.listdir("/proc"))):
        fields = _fields(number)
        if fields is not None:
            children.setdefault(int(fields[1]), []).append(number)
    found = children.get(pid, [])
    for each in found:
        found += children.get(each, [])
    return found


def kill(pid: int) -> list[Process]:
    """The group of `pid`, and whoever it started, have been sent SIGKILL. Returns the others, who may take a while.

    Who started others and ended before is not followed: nobody knows whose they were.
    """
    signal_group(pid, signal.SIGSTOP)
    others = [Process(each, started_at(each)) for each in descendants(pid)]
    signal_group(pid, signal.SIGKILL)
    send((each.pid for each in others), signal.SIGKILL)
    return others


def signal_group(pid: int, number: signal.Signals) -> None:
    """The group of `pid` has been sent `number`; nothing happens when it has ended."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)


def send(pids: Iterable[int], number: signal.Signals) -> None:
    """Each process has been sent `number`, unless it has ended."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def gone(processes: Sequence[Process], within_s: float) -> bool:
    """Whether none of them runs any more within `within_s`."""
    limit = time.monotonic() + within_s
    while any(process.running for process in processes):
        if time.monotonic() > limit:
            return False
        time.sleep(POLL_S)
    return True


def _fields(pid: int) -> list[str] | None:
    """What the kernel says of a process, from its state on; None when it has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return None
    # The program's name, in brackets, may hold anything.
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields
