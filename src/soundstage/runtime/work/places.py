"""Places of running jobs: how many run at once, in all and of each operation, whichever processes carry them out.

Data on disk: partition `places` of `system/jobs`, one row `taken` -> {job id: [operation, fence]}, each change of
which names the write that it replaces.

A place belongs to a job, not to a process. When the process dies, whoever goes on with the job finds its place, so
that a job which has begun never waits for one. A place whose job has ended was left by a process that died just
then; it is found and freed when places are wanted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec

from soundstage.core.environment import Environment
from soundstage.core.errors import PreconditionFailed
from soundstage.core.job import ENDED
from soundstage.engines.records.port import Stamp
from soundstage.runtime.config import JobsConfig
from soundstage.runtime.system_table import SystemTable
from soundstage.runtime.work.store import JobStore

_PLACES = "places"
_TAKEN = "taken"


class Place(msgspec.Struct, frozen=True, array_like=True):
    """What a job has that runs. `fence` is that of the lease under which it was taken last."""

    operation: str
    fence: int


class Places:
    """The places of a stage, as this process saw them last."""

    def __init__(self, table: SystemTable, store: JobStore, config: JobsConfig, environment: Environment) -> None:
        self._table = table
        self._store = store
        self._config = config
        self._environment = environment
        self._taken: dict[str, Place] = {}
        self._stamp: Stamp | None = None
        self._tidied_ns: int | None = None
        self._changing = asyncio.Lock()

    async def look(self) -> None:
        """They are known as they are now."""
        async with self._changing:
            await self._look()

    async def _look(self) -> None:
        entry = await self._table.get(_PLACES, _TAKEN)
        self._taken = {} if entry is None else _decode(entry.value)
        self._stamp = None if entry is None else entry.stamp

    def fits(self, job_id: str, operation: str | None) -> bool:
        """Whether the job has a place or may have one, as far as its operation is known."""
        if job_id in self._taken:
            return True
        if len(self._taken) >= self._config.running_in_all:
            return False
        most = None if operation is None else self._config.per_operation.get(operation)
        return most is None or sum(each.operation == operation for each in self._taken.values()) < most

    async def take(self, job_id: str, operation: str, fence: int) -> bool:
        """Whether the job has a place, which it keeps until it is given back; no, too, when `fence` is surpassed."""
        async with self._changing:
            while self.fits(job_id, operation):
                known = self._taken.get(job_id)
                if known is not None and known.fence > fence:
                    return False
                if await self._replace({**self._taken, job_id: Place(operation, fence)}):
                    return True
        return False

    async def give_back(self, job_id: str, fence: int) -> None:
        """The job has no place; that of one who holds it under a greater fence is left alone. Idempotent."""
        async with self._changing:
            while True:
                known = self._taken.get(job_id)
                if known is None or known.fence > fence or await self._replace(self._without({job_id})):
                    return

    async def tidy_up(self) -> None:
        """Places of jobs that have ended are free; looked for at most once in the time of a lease."""
        now_ns = self._environment.monotonic_ns()
        if self._tidied_ns is not None and now_ns - self._tidied_ns < self._config.lease:
            return
        self._tidied_ns = now_ns
        # Others may take places meanwhile, whose jobs were not asked about.
        asked = list(self._taken)
        found = await self._store.find_many(asked)
        over = {job_id for job_id in asked if job_id not in found or found[job_id].stored.info.state in ENDED}
        async with self._changing:
            while over & self._taken.keys():
                if await self._replace(self._without(over)):
                    return

    def _without(self, job_ids: set[str]) -> dict[str, Place]:
        return {job_id: place for job_id, place in self._taken.items() if job_id not in job_ids}

    async def _replace(self, taken: Mapping[str, Place]) -> bool:
        """Whether `taken` is what counts from now on; else another was first, and what counts has been looked at."""
        encoded = msgspec.msgpack.encode(taken)
        try:
            self._stamp = await self._table.write(_PLACES, {_TAKEN: encoded}, {_TAKEN: self._stamp}, onward=True)
        except PreconditionFailed:
            await self._look()
            return False
        self._taken = dict(taken)
        return True


_decode: Any = msgspec.msgpack.Decoder(dict[str, Place]).decode
