"""Starts jobs, finds them for those who may see them, and cancels them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

import msgspec

from soundstage.core.call import LOCAL, Access, Call, Principal
from soundstage.core.codec import decoder, msgpack_encode
from soundstage.core.environment import Environment
from soundstage.core.errors import Exhausted, Forbidden, TooLarge
from soundstage.core.ids import uuid7
from soundstage.core.job import ENDED, JobInfo, JobOperation, JobStarted, JobState
from soundstage.core.time import Instant
from soundstage.runtime.access import allows
from soundstage.runtime.config import JobsConfig
from soundstage.runtime.leases import Leases
from soundstage.runtime.patience import within
from soundstage.runtime.work.outputs import JobFiles
from soundstage.runtime.work.places import Places
from soundstage.runtime.work.sightings import Sightings
from soundstage.runtime.work.store import DAY_MS, Found, JobStore, Raced, Stored, day_of

LOOKED_MAX = 1_000
"""Jobs looked at for one page of a list."""

LOOKED_PER_TURN = 50
"""Read at once, before others get their turn."""

REQUEST_MAX_BYTES = 1 << 20


class JobControl:
    """The jobs of a stage."""

    def __init__(
        self,
        store: JobStore,
        places: Places,
        leases: Leases,
        config: JobsConfig,
        files: JobFiles,
        environment: Environment,
    ) -> None:
        self.store = store
        self.places = places
        self.config = config
        self.files = files
        self.sightings: Sightings = Sightings(store, environment, config.poll_interval / 1e9)
        self._leases = leases
        self._environment = environment

    async def start(
        self, operation: JobOperation[..., Any], call: Call, request: Any, namespaces: Sequence[str]
    ) -> JobStarted:
        """The job is queued. Raises `Exhausted` when too many have not ended, `TooLarge` for a huge request."""
        encoded = msgpack_encode(request)
        if len(encoded) > REQUEST_MAX_BYTES:
            raise TooLarge(f"a job's request has at most {REQUEST_MAX_BYTES} bytes", hint="send data as a file")
        info = JobInfo(
            job_id=call.job_id or uuid7(self._environment),
            system=operation.system,
            operation=operation.name,
            state="queued",
            created_at=self.now(),
            created_by=call.principal.name,
            namespaces=list(namespaces),
        )
        stored = Stored(
            info=info,
            request=encoded,
            access=operation.access,
            restart=operation.restart,
            owner=call.principal.id,
            grants=call.principal.grants,
        )
        if await self.store.add(stored, self.config.queued) is None:
            raise Exhausted(
                f"{self.config.queued} jobs have not ended, the limit",
                hint="wait for some, cancel some, or raise jobs.queued",
                retry_after_ms=10_000,
            )
        return JobStarted(job_id=info.job_id)

    async def is_known(self, job_id: str) -> bool:
        """Whether there is such a job, ended or not."""
        return await self._known(job_id) is not None

    async def is_busy(self, job_id: str) -> bool:
        """Whether the job may still go on, here or elsewhere."""
        stored = await self._known(job_id)
        return stored is not None and stored.info.state not in ENDED

    async def visible(self, principal: Principal, job_id: str) -> Found:
        """The job. Raises `NotFound`, and `Forbidden` for who may not see it."""
        return _visible(principal, await self.store.find(job_id))

    async def listed(
        self, principal: Principal, state: JobState | None, operation: str | None, before: str | None, size: int
    ) -> tuple[list[JobInfo], str | None]:
        """Up to `size` jobs, the newest first, those before the id `before`; and the id to go on before."""
        page: list[JobInfo] = []
        looked = 0
        async with aclosing(self._ids(state, before)) as ids:
            async for some in ids:
                found = await self.store.find_many(some)
                for job_id in some:
                    stored = found[job_id].stored if job_id in found else None
                    looked += 1
                    if stored is not None and _wanted(stored.info, state, operation) and _sees(principal, stored):
                        page.append(stored.info)
                    if len(page) >= size or looked >= LOOKED_MAX:
                        return page, job_id
                await self._environment.sleep(0)
        return page, None

    async def _ids(self, state: JobState | None, before: str | None) -> AsyncGenerator[list[str]]:
        """The ids of jobs that may have that state, the newest first, a few at a time."""
        if state is not None and state not in ENDED:
            waiting = [each for each in reversed(await self.store.open()) if before is None or each < before]
            for at in range(0, len(waiting), LOOKED_PER_TURN):
                yield waiting[at : at + LOOKED_PER_TURN]
            return
        newest = self._today() if before is None else day_of(before)
        for day in range(newest, self._first_day() - 1, -1):
            last = before if day == newest else None
            while some := await self.store.of_day(day, last, LOOKED_PER_TURN):
                yield some
                last = some[-1]

    async def cancel(self, principal: Principal, job_id: str) -> JobInfo:
        """See `JobsCalls.cancel`. Raises `NotFound`, `Forbidden`."""
        while True:
            found = await self.visible(principal, job_id)
            stored, info = found.stored, found.stored.info
            if not _may(principal, stored):
                raise Forbidden(
                    f"{principal.name!r} may not cancel the job {job_id}",
                    hint=f"it takes the role {stored.access!r} on its namespaces",
                )
            if info.state in ENDED or info.cancelling:
                return info
            if info.state == "queued":
                changed = msgspec.structs.replace(info, state="cancelled", ended_at=self.now(), files=[])
            else:
                changed = msgspec.structs.replace(info, cancelling=True)
            try:
                changed = (await self.store.put(found, msgspec.structs.replace(stored, info=changed))).stored.info
            except Raced:
                continue
            if changed.state in ENDED:
                # It may have been begun before, by a process that stopped.
                await self.files.clear(info)
                await self._leases.forget(lease_of(job_id))
            return changed

    async def ended(self, principal: Principal, job_id: str, wait_s: float) -> JobInfo:
        """The job once it has ended, or as it is after `wait_s`."""
        info = (await self.visible(principal, job_id)).stored.info
        if info.state in ENDED or wait_s <= 0:
            return info
        ended = await within(self._environment, wait_s, self._end_of(principal, job_id))
        return ended or (await self.visible(principal, job_id)).stored.info

    async def changes(self, principal: Principal, job_id: str, revision: int) -> AsyncGenerator[tuple[int, JobInfo]]:
        """The job after every change behind `revision` with its own, until it has ended."""
        async with aclosing(self.sightings.of(job_id)) as sightings:
            async for found in sightings:
                stored = _visible(principal, found).stored
                if stored.revision > revision:
                    revision = stored.revision
                    yield revision, stored.info
                if stored.info.state in ENDED:
                    return

    async def _end_of(self, principal: Principal, job_id: str) -> JobInfo | None:
        async with aclosing(self.changes(principal, job_id, 0)) as changes:
            async for _, info in changes:
                if info.state in ENDED:
                    return info
        return None

    async def result(self, operation: JobOperation[..., Any], job_id: str) -> Any:
        """The result message of a job that succeeded."""
        encoded = await self.store.result(job_id)
        return (
            None if encoded is None else decoder(operation.reply, "application/msgpack", strict=False).decode(encoded)
        )

    def now(self) -> Instant:
        return Instant(self._environment.now_us() * 1_000)

    async def _known(self, job_id: str) -> Stored | None:
        try:
            return (await self.store.find(job_id)).stored
        except LookupError:
            return None

    def _today(self) -> int:
        return self._environment.now_us() // 1_000 // DAY_MS + 1

    def _first_day(self) -> int:
        return self._today() - 2 - self.config.history_ttl // 1_000_000 // DAY_MS


def lease_of(job_id: str) -> str:
    """The name of the lease under which a job is carried out."""
    return f"job/{job_id}"


def _visible(principal: Principal, found: Found) -> Found:
    """`found`, for who may see it; else `Forbidden`."""
    if not _sees(principal, found.stored):
        raise Forbidden(
            f"{principal.name!r} may not see the job {found.stored.info.job_id}",
            hint="ask who started it, or may read its namespaces",
        )
    return found


def _sees(principal: Principal, stored: Stored) -> bool:
    if principal is LOCAL or principal.owns(stored.owner) or allows(principal, "admin", None):
        return True
    return any(allows(principal, "read", namespace) for namespace in stored.info.namespaces)


def _may(principal: Principal, stored: Stored) -> bool:
    if principal is LOCAL or principal.owns(stored.owner):
        return True
    access: Access = stored.access  # pyright: ignore[reportAssignmentType]
    return all(allows(principal, access, namespace) for namespace in stored.info.namespaces or (None,))


def _wanted(info: JobInfo, state: JobState | None, operation: str | None) -> bool:
    return state in (None, info.state) and operation in (None, f"{info.system}/{info.operation}")
