"""Timed work: done when it is due, once for all processes of a stage.

Data on disk: table `system/schedule`, one partition per name, one row `done` with the due time up to which the
work was done. It is written after the work, so work whose process died is done again: let it be repeatable.
Due times that passed while nobody ran are made up for by doing the work once. A due time that was written by a
clock far ahead counts as the moment at which a process first saw it.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from soundstage.core.environment import Environment
from soundstage.core.errors import PreconditionFailed, SoundstageError
from soundstage.runtime.leases import Lease, LeaseLost, Leases
from soundstage.runtime.system_table import Entry, SystemTable
from soundstage.runtime.timetable import Timetable

log: logging.Logger = logging.getLogger("soundstage.runtime")

LEASE_S = 30.0
LOOK_S = 10.0
"""The longest sleep before another look, so that a clock that was set is noticed."""

FAILED_PAUSE_S = 5.0

_DONE = "done"


class Timed(NamedTuple):
    """Work with a name that no other work of the stage has. It starts up to `jitter_s` late, at random."""

    name: str
    timetable: Timetable
    work: Callable[[], Awaitable[None]]
    jitter_s: float = 0.0


class Schedule:
    """Does timed work; `follow` is one endless task for each."""

    def __init__(self, table: SystemTable, leases: Leases, environment: Environment) -> None:
        self.runs: int = 0
        self.failures: int = 0
        self._table = table
        self._leases = leases
        self._environment = environment
        self._since_us = environment.now_us()
        self._ahead: dict[str, tuple[int, int]] = {}

    async def follow(self, timed: Timed) -> None:
        """`timed` is done whenever it is due; never returns."""
        while True:
            await self._environment.sleep(await self.turn(timed))

    async def turn(self, timed: Timed) -> float:
        """`timed` was done if it is due and nobody else does it; returns the seconds until the next look."""
        try:
            due_us = await self._due_us(timed)
            wait_s = (due_us - self._environment.now_us()) / 1e6
            if wait_s > 0:
                return min(LOOK_S, wait_s + self._environment.random.uniform(0, timed.jitter_s))
            done = await self._leases.while_held(
                f"schedule/{timed.name}", LEASE_S, lambda lease: self._do(timed, lease)
            )
        except LeaseLost:
            return 0.0
        except SoundstageError as error:
            log.warning("timed work is put off", extra={"work": timed.name, "reason": str(error)})
            return FAILED_PAUSE_S
        return LOOK_S if done is None else 0.0

    async def _do(self, timed: Timed, lease: Lease) -> bool:
        """The work is done, unless another process was first; the lease is held."""
        found = await self._table.get(timed.name, _DONE)
        now_us = self._environment.now_us()
        due_us = timed.timetable.next_after(self._done_us(timed, found))
        if due_us > now_us:
            return False
        await self._work(timed)
        lease.check()
        latest_us = _latest(timed.timetable, due_us, self._environment.now_us())
        try:
            await self._table.write(
                timed.name,
                {_DONE: str(latest_us).encode()},
                {_DONE: None if found is None else found.stamp},
                onward=True,
            )
        except PreconditionFailed:
            # Another process did it too: this one was taken for dead.
            return False
        return True

    async def _work(self, timed: Timed) -> None:
        self.runs += 1
        try:
            await timed.work()
        except SoundstageError as error:
            self.failures += 1
            log.warning("timed work failed", extra={"work": timed.name, "reason": str(error)})
        except Exception:
            self.failures += 1
            log.exception("timed work failed by a defect", extra={"work": timed.name})

    async def _due_us(self, timed: Timed) -> int:
        return timed.timetable.next_after(self._done_us(timed, await self._table.get(timed.name, _DONE)))

    def _done_us(self, timed: Timed, found: Entry | None) -> int:
        """The due time up to which the work was done; work that never was begins with this process."""
        if found is None:
            return self._since_us
        done_us, now_us = int(found.value), self._environment.now_us()
        if done_us <= timed.timetable.next_after(now_us):
            self._ahead.pop(timed.name, None)
            return done_us
        seen_us, since_us = self._ahead.get(timed.name, (None, now_us))
        since_us = min(since_us, now_us) if seen_us == done_us else now_us
        self._ahead[timed.name] = done_us, since_us
        return since_us


def _latest(timetable: Timetable, due_us: int, now_us: int) -> int:
    """The last due time up to `now_us`, from a due one on; in few steps however many passed."""
    step_us = max(1, timetable.next_after(due_us) - due_us)
    skipped = max(due_us, now_us - 2 * step_us)
    if skipped > due_us:
        due_us = timetable.next_after(skipped - 1)
    while due_us <= now_us and (following := timetable.next_after(due_us)) <= now_us:
        due_us = following
    return min(due_us, now_us)
