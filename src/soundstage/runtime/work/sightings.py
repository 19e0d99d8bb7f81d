"""Jobs that somebody in this process waits for: each is read once for all of them.

What this process writes is told at once. What others write is found by one look at all jobs that are waited for,
taken often after something changed and ever more seldom while nothing does, up to the poll interval.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager

from soundstage.core.environment import Environment
from soundstage.core.errors import SoundstageError
from soundstage.core.signal import Signal
from soundstage.runtime.work.store import Found, JobStore, unknown

QUICK_S = 0.05
"""How soon others' changes are looked for after there was one."""

AT_ONCE = 500
"""Jobs that are read at once."""


class Sighting:
    """One job as it was seen last, and how many wait for it to change."""

    def __init__(self) -> None:
        self.waiting: int = 0
        self.changed: Signal = Signal()
        self._found: Found | None = None
        self._error: SoundstageError | None = None

    def take(self, found: Found) -> bool:
        """Whether `found` is later than what was known; those who wait are woken then."""
        known = -1 if self._found is None else self._found.stored.revision
        if self._error is None and found.stored.revision <= known:
            return False
        self._found, self._error = found, None
        self.changed.notify()
        return True

    def fail(self, error: SoundstageError) -> None:
        """Those who wait are told `error`."""
        self._error = error
        self.changed.notify()

    def found(self) -> Found:
        """The job, or why it is not known."""
        if self._error is not None or self._found is None:
            raise self._error or RuntimeError("the job was not read yet")
        return self._found


class Sightings:
    """The jobs that are waited for in one process; while there are none nothing is read."""

    def __init__(self, store: JobStore, environment: Environment, poll_s: float) -> None:
        self._store = store
        self._environment = environment
        self._poll_s = poll_s
        self._pause_s = QUICK_S
        self._sightings: dict[str, Sighting] = {}
        self._polling: asyncio.Task[None] | None = None
        store.listeners.append(self._told)

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(each.waiting for each in self._sightings.values())

    async def of(self, job_id: str) -> AsyncGenerator[Found]:
        """The job as it is, and again after it was changed, several changes at a time where they come quickly.

        Raises `NotFound` once it is forgotten, and why it cannot be read.
        """
        with self._entered(job_id) as sighting:
            sighting.take(await self._store.find(job_id))
            while True:
                seen = sighting.changed.count
                yield sighting.found()
                await sighting.changed.wait(seen)

    @contextmanager
    def _entered(self, job_id: str) -> Generator[Sighting]:
        sighting = self._sightings.setdefault(job_id, Sighting())
        sighting.waiting += 1
        self._pause_s = QUICK_S
        if self._polling is None:
            self._polling = asyncio.ensure_future(self._poll())
        try:
            yield sighting
        finally:
            sighting.waiting -= 1
            if not sighting.waiting:
                del self._sightings[job_id]
            if not self._sightings:
                self._rest()

    def _rest(self) -> None:
        if self._polling is not None:
            self._polling.cancel()
            self._polling = None

    def _told(self, found: Found) -> None:
        sighting = self._sightings.get(found.stored.info.job_id)
        if sighting is not None:
            sighting.take(found)

    async def _poll(self) -> None:
        while True:
            await self._environment.sleep(min(self._pause_s, self._poll_s))
            changed = False
            waited_for = list(self._sightings)
            for at in range(0, len(waited_for), AT_ONCE):
                changed |= await self._look(waited_for[at : at + AT_ONCE])
            self._pause_s = QUICK_S if changed else min(self._poll_s, 2 * self._pause_s)

    async def _look(self, job_ids: list[str]) -> bool:
        """Whether another process changed any of the jobs."""
        try:
            found = await self._store.find_many(job_ids)
        except SoundstageError as error:
            for job_id in job_ids:
                self._fail(job_id, error)
            return False
        changed = False
        for job_id in job_ids:
            sighting = self._sightings.get(job_id)
            if job_id not in found:
                self._fail(job_id, unknown(job_id))
            elif sighting is not None:
                changed |= sighting.take(found[job_id])
        return changed

    def _fail(self, job_id: str, error: SoundstageError) -> None:
        if job_id in self._sightings:
            self._sightings[job_id].fail(error)
