"""Jobs as the stage keeps them.

Data on disk: table `system/jobs`, conditional.

    partition open              row <job id> -> empty: jobs that have not ended; at most `queued`
    partition job/<job id>      row job -> Stored, row state -> the last checkpoint, row result -> the result
    partition day/<days>        row <job id> -> empty: all jobs that were started on a day since 1970

A job id is a UUID of version 7: ids sort by the time at which jobs were started, and tell the day. A job is
put into `open` first and taken out last, so whatever a process that died left half-way is found there.
Every change of a job names the write that it replaces, and none is made under a lower fencing number than the
row carries. Rows of ended jobs expire together.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

import msgspec

from soundstage.core.call import Access, Principal
from soundstage.core.codec import decoder, msgpack_encode
from soundstage.core.environment import Environment
from soundstage.core.errors import DataLoss, InvalidArgument, NotFound, PreconditionFailed
from soundstage.core.ids import UUID_PATTERN, uuid7_ms
from soundstage.core.job import ENDED, JobInfo, Restart
from soundstage.core.signal import Signal
from soundstage.engines.records.port import Stamp
from soundstage.runtime.system_table import Entry, SystemTable

STATE_MAX_BYTES = 256 << 10
RESULT_MAX_BYTES = 1 << 20
DAY_MS = 86_400_000
COUNTED_NS = 1_000_000_000
"""How old a count of the queue may be."""

COUNTED_ALWAYS = 1_000
"""A queue bounded by so many is counted at each start; a longer one once it is half full as last counted."""

MARKERS_KEPT_US = 60_000_000, 600_000_000
"""How long it is remembered, from and to, that jobs have left the queue; the time for late writes comes before."""

LATE_MS = 60_000
"""How far behind clocks of processes that start jobs may be before their jobs are found by whole looks only."""

WHOLE_NS = 600_000_000_000
"""How often the queue is looked through from its very beginning, past all that has left it."""

_ID = re.compile(UUID_PATTERN)
_OPEN = "open"
_JOB = "job"
_STATE = "state"
_RESULT = "result"


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """A job and what is needed to carry it out. `revision` counts its changes, `fence` is its last runner's.

    `owner` is the id of the principal who started it, `grants` what that one had then.
    """

    info: JobInfo
    request: bytes
    access: str
    restart: Restart
    revision: int = 1
    fence: int = 0
    owner: str = ""
    grants: dict[str, tuple[Access, ...]] = {}
    schema: int = 1

    @property
    def owner_of_files(self) -> Principal:
        """Whoever started the job, let keep what the job leaves: it asks for no grants of their own."""
        return Principal(self.info.created_by, {"*": ("admin",)}, self.owner)


class Found(NamedTuple):
    """A job and the write it is from."""

    stored: Stored
    stamp: Stamp


class Raced(Exception):
    """Somebody else changed the job first; nothing was written."""


def day_of(job_id: str) -> int:
    """The days from 1970 to the start of a job. Raises `NotFound` for what is no id of a job."""
    if not _ID.fullmatch(job_id):
        raise unknown(job_id)
    return uuid7_ms(job_id) // DAY_MS


def unknown(job_id: str) -> NotFound:
    """That there is no such job."""
    return NotFound(
        f"there is no job {job_id[:40]!r}", field="job_id", hint="ended jobs are forgotten after a while; see jobs/list"
    )


class JobStore:
    """Reads and writes `system/jobs`.

    Every one of `listeners` is told of each change by this process. `queue` tells that a job may begin: one was
    queued here, or whoever carries jobs out has room again.
    """

    def __init__(self, table: SystemTable, environment: Environment, history_ttl_us: int) -> None:
        self.queue: Signal = Signal()
        self.listeners: list[Callable[[Found], None]] = []
        self._table = table
        self._environment = environment
        self._history_ttl_us = history_ttl_us
        self._waiting = 0
        self._counted_ns: int | None = None
        self._counting = asyncio.Lock()
        self._whole_ns: int | None = None
        self._beginning = ""

    async def add(self, stored: Stored, most: int) -> Found | None:
        """The job is queued; None when `most` have not ended, here or in other processes."""
        job_id, before = stored.info.job_id, await self.waiting()
        if before >= most:
            return None
        await self._table.write(_OPEN, {job_id: b""}, {})
        self._waiting += 1
        # Who comes last sees all the others: however many are added at once, no more than `most` stay.
        if (most <= COUNTED_ALWAYS or before >= most // 2) and len(await self.open()) > most:
            await self._table.write(_OPEN, {job_id: None}, {})
            self._waiting -= 1
            return None
        # The job itself comes last: whatever failed before it has started none.
        await self._index(job_id)
        stamp = await self._table.write(_place(job_id), {_JOB: msgpack_encode(stored)}, {_JOB: None})
        self.queue.notify()
        return Found(stored, stamp)

    async def find(self, job_id: str) -> Found:
        """The job. Raises `NotFound`, and `DataLoss` for one that cannot be read."""
        day_of(job_id)
        entry = await self._table.get(_place(job_id), _JOB)
        if entry is None:
            raise unknown(job_id)
        try:
            return _found(entry)
        except InvalidArgument as error:
            raise DataLoss(
                f"what is stored of the job {job_id} cannot be read: {error.detail}",
                hint="ask a process of the release that started it",
            ) from None

    async def find_many(self, job_ids: Sequence[str]) -> dict[str, Found]:
        """Those of the jobs that are known and can be read, by id."""
        entries = await self._table.get_many([_place(job_id) for job_id in job_ids], _JOB)
        found: dict[str, Found] = {}
        for job_id, entry in zip(job_ids, entries, strict=True):
            if entry is not None:
                # One that cannot be read hides none of the others.
                with suppress(InvalidArgument):
                    found[job_id] = _found(entry)
        return found

    async def put(self, found: Found, stored: Stored, *, result: bytes | None = None) -> Found:
        """`stored` replaces `found`, at the next revision; one that has ended leaves the queue. Raises `Raced`."""
        if found.stored.fence > stored.fence:
            raise Raced
        stored = msgspec.structs.replace(stored, revision=found.stored.revision + 1)
        job_id, ended = stored.info.job_id, stored.info.state in ENDED
        changes: dict[str, bytes | None] = {_JOB: msgpack_encode(stored)}
        if result is not None:
            changes[_RESULT] = result
        if ended:
            changes[_STATE] = None
        ttls = dict.fromkeys(changes, self._history_ttl_us) if ended else {}
        stamp = await self._write(job_id, changes, found.stamp, ttls)
        if ended:
            await self.leave_queue(job_id)
        return self._told(Found(stored, stamp))

    async def checkpoint(self, found: Found, state: bytes) -> Found:
        """`state` is what the job goes on from, should its process die now. Raises `Raced`."""
        stored = msgspec.structs.replace(found.stored, revision=found.stored.revision + 1)
        changes: Mapping[str, bytes | None] = {_STATE: state, _JOB: msgpack_encode(stored)}
        return self._told(Found(stored, await self._write(stored.info.job_id, changes, found.stamp, {})))

    async def state(self, job_id: str) -> bytes | None:
        """The last checkpoint."""
        entry = await self._table.get(_place(job_id), _STATE)
        return None if entry is None else entry.value

    async def result(self, job_id: str) -> bytes | None:
        """The result of a job that succeeded."""
        entry = await self._table.get(_place(job_id), _RESULT)
        return None if entry is None else entry.value

    async def open(self) -> list[str]:
        """The ids of jobs that have not ended, the oldest first.

        What has left the queue is passed over by beginning at the oldest that was found last; only now and then
        the queue is looked through as a whole, for jobs of a process whose clock is far behind.
        """
        now_ns = self._environment.monotonic_ns()
        whole = self._whole_ns is None or now_ns - self._whole_ns >= WHOLE_NS
        found = list(await self._table.read(_OPEN, "", after=None if whole else self._beginning))
        if whole:
            self._whole_ns = now_ns
        recent = _beginning(self._environment.now_us() // 1_000 - LATE_MS)
        self._beginning = min(recent, found[0][: len(recent)]) if found else recent
        self._waiting, self._counted_ns = len(found), now_ns
        return found

    async def waiting(self) -> int:
        """How many jobs have not ended; what other processes did in the last second may not be counted."""
        if self._counted_ns is None or (self._is_old() and not self._counting.locked()):
            # Of many who start jobs at once one counts, and the others go by what was counted last.
            async with self._counting:
                if self._is_old():
                    await self.open()
        return self._waiting

    def _is_old(self) -> bool:
        return self._counted_ns is None or self._environment.monotonic_ns() - self._counted_ns > COUNTED_NS

    async def leave_queue(self, job_id: str) -> None:
        """The job is not among those that have not ended; it stays in the history."""
        await self._index(job_id)
        await self._table.write(_OPEN, {job_id: None}, {})

    async def of_day(self, day: int, before: str | None, limit: int) -> list[str]:
        """Up to `limit` ids of jobs that were started on a day, the newest first, those before `before`."""
        return list(await self._table.read(f"day/{day}", "", newest=limit, before=before))

    def _told(self, found: Found) -> Found:
        for listener in self.listeners:
            listener(found)
        return found

    async def _index(self, job_id: str) -> None:
        # The history of a job that runs for very long begins to count when it ends.
        ttl_us = {job_id: self._history_ttl_us + 86_400_000_000}
        await self._table.write(f"day/{day_of(job_id)}", {job_id: b""}, {}, ttls_us=ttl_us)

    async def _write(
        self, job_id: str, changes: Mapping[str, bytes | None], replaces: Stamp, ttls_us: Mapping[str, int]
    ) -> Stamp:
        try:
            return await self._table.write(_place(job_id), changes, {_JOB: replaces}, ttls_us=ttls_us)
        except PreconditionFailed as error:
            raise Raced from error


def _beginning(time_ms: int) -> str:
    """What comes before the ids of all jobs that were started at that time or later."""
    digits = f"{max(0, time_ms):012x}"
    return f"{digits[:8]}-{digits[8:]}"


def _place(job_id: str) -> str:
    return f"job/{job_id}"


_STORED = decoder(Stored, "application/msgpack", strict=False)


def _found(entry: Entry) -> Found:
    return Found(_STORED.decode(entry.value), entry.stamp)
